"""Splicing: the bytes of a busy stream go from one socket to another through a pipe of the kernel's (splice(2)), and
never enter this process.

An engine writes 32 KiB at a time, and a relay is woken for each. A round of trio's loop takes more processor time than
the two splices that it is made for. So a thread waits and splices instead, for a short while at a time.

The thread knows nothing but descriptors. They are duplicates, so that either socket may be closed meanwhile: its number
is not another connection's before the thread is done.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import trio

STRETCH_SECONDS: Final = 0.05
"""How long a thread splices at most. It may take as long until a cancellation, or the closing of one of the sockets,
has its effect."""
MOST_THREADS: Final = 2
"""Streams that are spliced at the same time, at most; the others are copied meanwhile. Each splice needs Python's lock
for a moment, so that more threads would only wait for each other."""
_PIPE_BYTES: Final = 1024 * 1024
"""The most that a user may ask for by default (pipe(7))."""

_limiter: Final[trio.lowlevel.RunVar[trio.CapacityLimiter]] = trio.lowlevel.RunVar("splicing")


@dataclass
class Stretch:
    """What was moved at one time.

    Attributes:
        received, sent: bytes.
        held: what was received and is not sent, because the sink is full.
        error: why no more can be received or sent.
    """

    received: int = 0
    sent: int = 0
    held: bytes = b""
    error: OSError | None = None


async def splice(source: int, sink: int) -> Stretch | None:
    """Splice what comes on a socket into another one, both in non-blocking mode, for STRETCH_SECONDS at most, or until
    the source has ended. Return None at once if no thread or no descriptors can be spared for it.

    A stretch is not cancelled once it has begun, so that it is known what was moved.
    """
    threads = _threads()
    if not threads.available_tokens:
        return None
    with _borrowed(source, sink) as descriptors:
        if not descriptors:
            return None
        return await trio.to_thread.run_sync(_Splicer(*descriptors).run, limiter=threads)


def _threads() -> trio.CapacityLimiter:
    """Return what counts the threads of this run of trio."""
    try:
        return _limiter.get()
    except LookupError:
        _limiter.set(made := trio.CapacityLimiter(MOST_THREADS))
        return made


@contextmanager
def _borrowed(source: int, sink: int) -> Generator[list[int]]:
    """Give the duplicates of two descriptors, and a pipe's exit and entrance; nothing if there are too few to spare."""
    made: list[int] = []
    try:
        with suppress(OSError):
            made.append(os.dup(source))
            made.append(os.dup(sink))
            made += os.pipe()
            _widen(made[-1])
        yield made if len(made) == 4 else []
    finally:
        for descriptor in made:
            os.close(descriptor)


def _widen(pipe: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # this user has many pipes, and gets no larger ones
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class _Splicer:
    """Splices from one socket to another in a thread: what comes goes into a pipe first."""

    def __init__(self, source: int, sink: int, exit: int, entrance: int) -> None:
        self._source, self._sink, self._exit, self._entrance = source, sink, exit, entrance
        self._comes, self._fits = select.poll(), select.poll()
        self._comes.register(source, select.POLLIN)
        self._fits.register(sink, select.POLLOUT)
        self._end = time.monotonic() + STRETCH_SECONDS

    def run(self) -> Stretch:
        """Splice until the end of the stretch."""
        moved = Stretch()
        try:
            self._move(moved)
            if moved.sent < moved.received:
                moved.held = os.read(self._exit, moved.received - moved.sent)
        except OSError as exc:
            moved.error = exc
        return moved

    def _move(self, moved: Stretch) -> None:
        while self._until(self._comes):
            try:
                count = os.splice(self._source, self._entrance, _PIPE_BYTES, flags=os.SPLICE_F_NONBLOCK)
            except BlockingIOError:
                continue  # woken in vain, which the kernel allows itself
            if not count:
                return
            moved.received += count
            while moved.sent < moved.received:
                try:
                    moved.sent += os.splice(self._exit, self._sink, _PIPE_BYTES, flags=os.SPLICE_F_NONBLOCK)
                except BlockingIOError:
                    if not self._until(self._fits):
                        return

    def _until(self, ready: select.poll) -> bool:
        """Wait until a socket is ready; return False if the stretch ends before."""
        left = self._end - time.monotonic()
        return left > 0 and bool(ready.poll(left * 1000))
