"""Stretches: a thread moves the bytes of a busy stream from one socket to another, for a while at a time.

An engine writes 32 KiB at a time, and a relay is woken for each. A round of trio's loop takes more processor time than
the system calls that it is made for. So a thread waits and moves the bytes instead. What is sent as it came is spliced
(splice(2)): it goes through a pipe of the kernel's, and never enters this process. A body, whose framing is read and
written anew, is copied.

The thread knows nothing but descriptors. They are duplicates, so that either socket may be closed meanwhile: its number
is not another connection's before the thread is done.
"""

from __future__ import annotations

import os
import select
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import trio

from .pieces import LOOK_SECONDS, PIECE, Buffer, Stretch, unsent, write

STRETCH_SECONDS: Final = 1.0
"""How long a thread moves bytes, at most: stages that count them learn only then how many there were. To begin a
stretch takes as much processor time as dozens of pieces."""
MOST_THREADS: Final = 2
"""Streams that have a thread at the same time, at most; the others are relayed by the loop meanwhile. Each system call
needs Python's lock for a moment, so that more threads would only wait for each other."""
_PIPE_BYTES: Final = 1024 * 1024
"""The most that a user may ask for by default (pipe(7))."""

_limiter: Final[trio.lowlevel.RunVar[trio.CapacityLimiter]] = trio.lowlevel.RunVar("stretches")


async def run(stretch: Stretch, source: Callable[[], int]) -> None:
    """Move what comes on a socket into the sink's, both in non-blocking mode, for STRETCH_SECONDS at most, or until the
    source, or the body that is read from it, has ended. Return at once if no thread or no descriptors can be spared.

    Every LOOK_SECONDS the thread looks whether to go on. It ends if the stream is no longer busy, a socket was closed,
    or this was cancelled; a cancellation has no effect before, so that it is always known what was moved. If the sink
    breaks, this returns what could not be sent as held; the next send to the sink will fail again.

    source: gives the descriptor of the socket; below 0 if it is closed.

    Raises:
        OSError: nothing can be received any more. What came before has been sent or is held.
    """
    threads = _threads()
    if not threads.available_tokens:
        return
    with _borrowed(stretch, source) as mover:
        if mover is not None:
            await trio.to_thread.run_sync(mover.run, limiter=threads)


def _threads() -> trio.CapacityLimiter:
    """Return what counts the threads of this run of trio."""
    try:
        return _limiter.get()
    except LookupError:
        _limiter.set(made := trio.CapacityLimiter(MOST_THREADS))
        return made


@contextmanager
def _borrowed(stretch: Stretch, source: Callable[[], int]) -> Generator[_Mover | None]:
    """Give what moves the bytes, with duplicates of the descriptors; None if there are too few to spare."""

    def still_open() -> bool:
        return min(source(), stretch.sink()) >= 0

    made: list[int] = []
    mover: _Mover | None = None
    try:
        with suppress(OSError):
            made.append(os.dup(source()))
            made.append(os.dup(stretch.sink()))
            if stretch.cut is None and stretch.frame is None:
                made += os.pipe()
                _widen(made[-1])
                mover = _Splicer(stretch, still_open, *made)
            else:
                mover = _Copier(stretch, still_open, *made)
        yield mover
    finally:
        for descriptor in made:
            os.close(descriptor)


def _widen(pipe: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # this user has many pipes, and gets no larger ones
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class _Mover(ABC):
    """Moves bytes from one socket to another in a thread."""

    def __init__(self, stretch: Stretch, still_open: Callable[[], bool], source: int, sink: int) -> None:
        self._stretch = stretch
        self._still_open = still_open
        self._source, self._sink = source, sink
        self._comes, self._fits = select.poll(), select.poll()
        self._comes.register(source, select.POLLIN)
        self._fits.register(sink, select.POLLOUT)
        self._unsent = 0
        """Bytes that came, with their framing, and are not sent."""
        self._seen = 0
        """Bytes that had come at the last look."""
        now = time.monotonic()
        self._look, self._end = now + LOOK_SECONDS, now + STRETCH_SECONDS

    def run(self) -> None:
        """Move bytes until the end of the stretch.

        Raises:
            OSError: as the module's `run`; so does what `cut` raises.
            trio.Cancelled: the task that waits for the stretch was cancelled.
        """
        try:
            more = True
            while more and self._until(self._comes):
                try:
                    more = self._receive()
                except BlockingIOError:
                    continue  # woken in vain, which the kernel allows itself
                if not self._sent():
                    return
        finally:
            if self._unsent:
                self._stretch.held = self._held()

    def _sent(self) -> bool:
        """Send all that came; return False if the stretch ends before, or the sink breaks."""
        while self._unsent:
            try:
                self._unsent -= self._send()
            except BlockingIOError:
                if not self._until(self._fits):
                    return False
            except OSError:
                return False
        return True

    def _until(self, ready: select.poll) -> bool:
        """Wait until a socket is ready; return False if the stretch ends before."""
        while (left := self._look - time.monotonic()) <= 0 or not ready.poll(left * 1000):
            if not self._goes_on():
                return False
        return True

    def _goes_on(self) -> bool:
        """Look whether the stream is still busy, and both sockets are still open."""
        trio.from_thread.check_cancelled()
        now = time.monotonic()
        came, self._seen = self._stretch.received - self._seen, self._stretch.received
        self._look = now + LOOK_SECONDS
        return came >= PIECE and now < self._end and self._still_open()

    @abstractmethod
    def _receive(self) -> bool:
        """Receive what there is; return False at the end."""

    @abstractmethod
    def _send(self) -> int:
        """Send what the sink takes at once; return how many bytes that is."""

    @abstractmethod
    def _held(self) -> Sequence[Buffer]:
        """Return what is not sent."""


class _Splicer(_Mover):
    """Moves what is sent as it came: into a pipe, and out of it."""

    def __init__(
        self, stretch: Stretch, still_open: Callable[[], bool], source: int, sink: int, exit: int, entrance: int
    ) -> None:
        super().__init__(stretch, still_open, source, sink)
        self._exit, self._entrance = exit, entrance

    def _receive(self) -> bool:
        self._unsent = os.splice(self._source, self._entrance, _PIPE_BYTES, flags=os.SPLICE_F_NONBLOCK)
        self._stretch.received += self._unsent
        return self._unsent > 0

    def _send(self) -> int:
        return os.splice(self._exit, self._sink, _PIPE_BYTES, flags=os.SPLICE_F_NONBLOCK)

    def _held(self) -> Sequence[Buffer]:
        return [os.read(self._exit, self._unsent)]


class _Copier(_Mover):
    """Moves what is framed, in memory that is used again."""

    def __init__(self, stretch: Stretch, still_open: Callable[[], bool], source: int, sink: int) -> None:
        super().__init__(stretch, still_open, source, sink)
        self._view = stretch.memory.take()
        self._pieces: Sequence[Buffer] = ()

    def _receive(self) -> bool:
        os.sched_yield()  # a sender that writes in parts may wait for this processor: one read brings all that it has
        count = os.readv(self._source, [self._view])
        if not count:
            return False
        stretch, came = self._stretch, self._view[:count]
        pieces, more = stretch.cut(came) if stretch.cut is not None else ([came], True)
        if pieces:
            stretch.received += sum(map(len, pieces))
            self._pieces = stretch.frame(pieces) if stretch.frame is not None else pieces
            self._unsent = sum(map(len, self._pieces))
        return more

    def _send(self) -> int:
        sent = write(self._sink, self._pieces)
        self._pieces = unsent(self._pieces, sent)
        return sent

    def _held(self) -> Sequence[Buffer]:
        return self._pieces
