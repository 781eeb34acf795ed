"""Pieces of large streams, which are relayed without a copy: received into memory that is used again, and sent from
where they lie.

Bytes that no stage looks at need not wake trio's loop: a thread moves those of a busy stream from one socket to
another, for a stretch at a time (see `swarmlib.stretches`).

A stream that can do so is a `PieceReceiver` or a `PieceSender`; `receive_pieces` and `send_pieces` take any other
stream too. A stage that looks at the bytes of a stream wraps it in one that is neither, and gets them as it always did.
"""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import trio

Buffer: TypeAlias = bytes | bytearray | memoryview

PIECE: Final = 256 * 1024
"""Bytes of a large read. Larger ones are hardly ever filled: a unix socket holds about as many."""
LOOK_SECONDS: Final = 0.05
"""The time between two looks whether a stream is busy. While a thread moves its bytes, a cancellation, or the closing
of one of the sockets, takes effect at the next look."""
_MOST_PIECES: Final = 1024
"""Pieces of one write, at most (IOV_MAX of Linux)."""
_SMALL_PIECE: Final = 2048
"""Bytes of a piece below which it costs less to copy it than to hand its place to the kernel."""
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


Cut: TypeAlias = Callable[[memoryview], tuple[Sequence[Buffer], bool]]
"""Finds the pieces of a body in what was received, and tells whether more of it may come."""
Frame: TypeAlias = Callable[[Sequence[Buffer]], Sequence[Buffer]]
"""Returns pieces, of which there is at least one, with the framing that is sent around them."""


@dataclass
class Stretch:
    """What a thread moves from one socket to another, and what it has moved.

    Attributes:
        sink: gives the descriptor of the socket that is sent to; below 0 if it is closed.
        memory: what is received lies in it, and what is held may.
        frame, cut: how what is sent is framed, and how what is received is; None for bytes that are framed by nothing.
        received: bytes of data that came. All of them were sent, but for those that are held.
        held: what could not be sent, with its framing.
    """

    sink: Callable[[], int]
    memory: Memory
    frame: Frame | None = None
    cut: Cut | None = None
    received: int = 0
    held: Sequence[Buffer] = ()


class PieceReceiver(trio.abc.ReceiveStream):
    """A stream that can receive into given memory."""

    @abstractmethod
    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """Return the next bytes, as pieces that belong together in this order; none at the end. They may lie in
        `memory`, and are valid until that is taken again or freed.

        Raises: as `receive_some`.
        """

    async def move(self, stretch: Stretch) -> None:
        """Have a thread move what comes next. Move nothing if it does not come from a socket, or no thread is free; the
        end is left to `receive_pieces`.

        Raises: as `receive_some`, after what came before was sent or held.
        """


class PieceSender(trio.abc.SendStream):
    """A stream that can send from several places at once."""

    @abstractmethod
    async def send_pieces(self, pieces: Sequence[Buffer]) -> None:
        """Send pieces in their order; none of them is kept.

        Raises: as `send_all`.
        """

    def stretch(self, memory: Memory) -> Stretch | None:
        """Return what moves bytes into this stream's socket; None if there is none, or it can't be done on this
        platform. Nothing else may be sent until `end_stretch` is called. Raises as `send_all`.
        """
        return None

    async def end_stretch(self, stretch: Stretch) -> None:
        """Take note of what was sent, and send what is held. Raises as `send_all`."""


async def receive_pieces(stream: trio.abc.ReceiveStream, memory: Memory) -> Sequence[Buffer]:
    """Receive the next bytes of any stream; see `PieceReceiver.receive_pieces`."""
    if isinstance(stream, PieceReceiver):
        return await stream.receive_pieces(memory)
    data = await stream.receive_some(PIECE)
    return [data] if data else []


async def receive(stream: trio.abc.ReceiveStream, memory: Memory) -> Buffer:
    """Receive the next bytes of any stream as one piece; none at the end. See `PieceReceiver.receive_pieces`."""
    pieces = await receive_pieces(stream, memory)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def move(stream: trio.abc.ReceiveStream, stretch: Stretch) -> None:
    """Have a thread move what comes next on any stream, if it can; see `PieceReceiver.move`."""
    if isinstance(stream, PieceReceiver):
        await stream.move(stretch)


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


def write(descriptor: int, pieces: Sequence[Buffer]) -> int:
    """Write pieces to a socket, or the first of very many; return how many bytes were taken. Raises OSError."""
    if len(pieces) == 1:
        return os.write(descriptor, pieces[0])
    if sum(map(len, pieces)) < len(pieces) * _SMALL_PIECE:
        return os.write(descriptor, b"".join(pieces))
    return os.writev(descriptor, pieces[:_MOST_PIECES])


async def relay(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> None:
    """Send all that `source` has on to `sink`, until it ends. Raises what either stream raises."""
    pace = Pace()
    with Memory() as memory:
        while pieces := await receive_pieces(source, memory):
            await send_pieces(sink, pieces)
            memory.free()
            pace.note(sum(map(len, pieces)))
            del pieces  # or each of many silent streams would hold what it received last
            if pace.busy:
                pace.note(await _moved(source, sink, memory))


class Pace:
    """How much a stream brings from one look to the next."""

    def __init__(self) -> None:
        self._since = -math.inf
        self._came = 0

    @property
    def busy(self) -> bool:
        """Whether it has brought as much as a large read: then it is worth a thread, or a wait for more."""
        return self._came >= PIECE

    def note(self, count: int) -> None:
        """Take note of what was received."""
        now = trio.current_time()
        if now - self._since > LOOK_SECONDS:
            self._since, self._came = now, 0
        self._came += count


async def _moved(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, memory: Memory) -> int:
    """Have a thread move what comes for a while, if both streams can; return how many bytes came."""
    stretch = sink.stretch(memory) if isinstance(sink, PieceSender) else None
    if stretch is None or not isinstance(sink, PieceSender):
        return 0
    try:
        await move(source, stretch)
    finally:
        await sink.end_stretch(stretch)
    memory.free()
    return stretch.received
