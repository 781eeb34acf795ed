"""Pieces of large streams, which are relayed without a copy: received into memory that is used again, and sent from
where they lie.

Bytes that no stage looks at need not even enter this process: from one socket to another they go through a pipe of the
kernel's (splice(2)), which takes half the processor time.

A stream that can do so is a `PieceReceiver` or a `PieceSender`; `receive_pieces` and `send_pieces` take any other
stream too. A stage that looks at the bytes of a stream wraps it in one that is neither, and gets them as it always did.
"""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Self, TypeAlias

import trio

Buffer: TypeAlias = bytes | bytearray | memoryview

PIECE: Final = 256 * 1024
"""Bytes of a large read. Larger ones are hardly ever filled: a unix socket holds about as many."""
SPLICED: Final = 1024 * 1024
"""Bytes of a pipe, the most that a user may ask for by default (pipe(7))."""
_BULK: Final = 64 * 1024
"""Bytes of one read from which on a stream is worth a pipe: a conversation is not."""
_MOST_FREE: Final = 8
_free: list[memoryview] = []
"""Memory that nobody uses now. The last that was used is taken first, as it is still in the processor's cache."""


class Memory:
    """The memory of one relay, used for one read after another; freed at the end of its context.

    It is taken only once there is something to read, so that the many streams on which nothing moves share a little.
    """

    def __init__(self) -> None:
        self._taken: memoryview | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()

    def take(self) -> memoryview:
        """Return PIECE bytes of memory, which are this relay's until `free`; what they held is overwritten."""
        if self._taken is None:
            self._taken = _free.pop() if _free else memoryview(bytearray(PIECE))
        return self._taken

    def free(self) -> None:
        """Let others use it: the pieces in it have been sent."""
        if self._taken is not None:
            if len(_free) < _MOST_FREE:
                _free.append(self._taken)
            self._taken = None


class Pipe:
    """A pipe between two sockets, which holds what was received from one until it is sent on the other.

    entrance, exit: its descriptors.
    """

    def __init__(self, exit: int, entrance: int) -> None:
        self.exit = exit
        self.entrance = entrance

    @classmethod
    @contextmanager
    def open(cls) -> Generator[Self | None]:
        """Open a pipe, closed at the end of the context; give None if the system has none to spare."""
        try:
            exit, entrance = os.pipe()
        except OSError:
            yield None
            return
        try:
            _widen(entrance)
            yield cls(exit, entrance)
        finally:
            os.close(exit)
            os.close(entrance)


def _widen(pipe: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # this user has many pipes, and gets no larger ones
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, SPLICED)


class PieceReceiver(trio.abc.ReceiveStream):
    """A stream that can receive into given memory."""

    @abstractmethod
    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """Return the next bytes, as pieces that belong together in this order; none at the end. They may lie in
        `memory`, and are valid until that is taken again or freed.

        Raises: as `receive_some`.
        """

    @property
    def splices(self) -> bool:
        """Whether the next bytes come from a socket just as they are, so that `splice_to` may be used."""
        return False

    async def splice_to(self, pipe: Pipe) -> int:
        """Receive the next bytes into an empty pipe; return how many, 0 at the end. Raises as `receive_some`."""
        raise NotImplementedError


class PieceSender(trio.abc.SendStream):
    """A stream that can send from several places at once."""

    @abstractmethod
    async def send_pieces(self, pieces: Sequence[Buffer]) -> None:
        """Send pieces in their order; none of them is kept.

        Raises: as `send_all`.
        """

    @property
    def splices(self) -> bool:
        """Whether bytes go into a socket just as they are, so that `splice_from` may be used."""
        return False

    async def splice_from(self, pipe: Pipe, count: int) -> None:
        """Send the `count` bytes that a pipe holds. Raises as `send_all`."""
        raise NotImplementedError


async def receive_pieces(stream: trio.abc.ReceiveStream, memory: Memory) -> Sequence[Buffer]:
    """Receive the next bytes of any stream; see `PieceReceiver.receive_pieces`."""
    if isinstance(stream, PieceReceiver):
        return await stream.receive_pieces(memory)
    data = await stream.receive_some(PIECE)
    return [data] if data else []


async def send_pieces(stream: trio.abc.SendStream, pieces: Sequence[Buffer]) -> None:
    """Send pieces on any stream; see `PieceSender.send_pieces`."""
    if len(pieces) == 1:
        await stream.send_all(pieces[0])
    elif isinstance(stream, PieceSender):
        await stream.send_pieces(pieces)
    elif pieces:
        await stream.send_all(b"".join(pieces))


def unsent(pieces: Sequence[Buffer], sent: int) -> Sequence[Buffer]:
    """Return what is left of pieces whose first `sent` bytes were sent."""
    for number, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[number + 1 :]] if sent else pieces[number:]
        sent -= len(piece)
    return ()


async def relay(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> None:
    """Send all that `source` has on to `sink`, until it ends. Raises what either stream raises."""
    with Memory() as memory:
        while pieces := await receive_pieces(source, memory):
            await send_pieces(sink, pieces)
            memory.free()
            if sum(map(len, pieces)) >= _BULK and await _spliced(source, sink):
                return


async def _spliced(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> bool:
    """Splice all that is left, if both streams can; return whether they could."""
    if not (isinstance(source, PieceReceiver) and source.splices and isinstance(sink, PieceSender) and sink.splices):
        return False
    with Pipe.open() as pipe:
        if pipe is None:
            return False
        while count := await source.splice_to(pipe):
            await sink.splice_from(pipe, count)
    return True
