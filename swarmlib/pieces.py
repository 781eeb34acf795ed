"""Pieces of large streams, which are relayed without a copy: received into memory that is used again, and sent from
where they lie.

Bytes that no stage looks at need not even enter this process: a busy stream from one socket to another is spliced (see
`swarmlib.splicing`).

A stream that can do so is a `PieceReceiver` or a `PieceSender`; `receive_pieces` and `send_pieces` take any other
stream too. A stage that looks at the bytes of a stream wraps it in one that is neither, and gets them as it always did.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Final, Self, TypeAlias

import trio

from .splicing import STRETCH_SECONDS, splice

Buffer: TypeAlias = bytes | bytearray | memoryview

PIECE: Final = 256 * 1024
"""Bytes of a large read. Larger ones are hardly ever filled: a unix socket holds about as many."""
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


class PieceReceiver(trio.abc.ReceiveStream):
    """A stream that can receive into given memory."""

    @abstractmethod
    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """Return the next bytes, as pieces that belong together in this order; none at the end. They may lie in
        `memory`, and are valid until that is taken again or freed.

        Raises: as `receive_some`.
        """

    @property
    def spliceable(self) -> int | None:
        """The descriptor of the socket from which the next bytes come just as they are; None if there is none, or if
        the platform has no splice(2). Raises as `receive_some`.
        """
        return None

    async def note_received(self, count: int) -> None:
        """Take note that `count` bytes were spliced from there."""


class PieceSender(trio.abc.SendStream):
    """A stream that can send from several places at once."""

    @abstractmethod
    async def send_pieces(self, pieces: Sequence[Buffer]) -> None:
        """Send pieces in their order; none of them is kept.

        Raises: as `send_all`.
        """

    @property
    def spliceable(self) -> int | None:
        """The descriptor of the socket into which bytes go just as they are; None as with `PieceReceiver`. Raises as
        `send_all`.
        """
        return None

    async def note_sent(self, count: int) -> None:
        """Take note that `count` bytes were spliced into there."""


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
    pace = _Pace()
    with Memory() as memory:
        while pieces := await receive_pieces(source, memory):
            await send_pieces(sink, pieces)
            memory.free()
            pace.note(sum(map(len, pieces)))
            if pace.busy:
                pace.note(await _spliced(source, sink))


class _Pace:
    """How much a stream brings in the time of a stretch: from a large read on, it is busy, and worth a thread."""

    def __init__(self) -> None:
        self._since = -math.inf
        self._came = 0

    @property
    def busy(self) -> bool:
        return self._came >= PIECE

    def note(self, count: int) -> None:
        now = trio.current_time()
        if now - self._since > STRETCH_SECONDS:
            self._since, self._came = now, 0
        self._came += count


async def _spliced(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> int:
    """Splice what comes for a while, if both streams can; return how many bytes came."""
    if not (isinstance(source, PieceReceiver) and isinstance(sink, PieceSender)):
        return 0
    if (origin := source.spliceable) is None or (target := sink.spliceable) is None:
        return 0
    moved = await splice(origin, target)
    if moved is None:
        return 0
    await source.note_received(moved.received)
    await sink.note_sent(moved.sent)
    if moved.error is not None:
        raise trio.BrokenResourceError(f"the connection broke: {moved.error.strerror}") from moved.error
    if moved.held:
        await sink.send_all(moved.held)
    return moved.received
