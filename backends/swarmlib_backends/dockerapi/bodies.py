"""The bodies of HTTP messages as streams, for both endpoints of the docker pair."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import trio

from swarmlib import SwarmError
from swarmlib.pieces import Buffer, Memory, PieceReceiver, Stretch


class Chunks(Protocol):
    """A body that is read piece by piece: `Incoming`'s, and that of an engine's response."""

    async def next_chunk(self) -> bytes:
        """Return the next piece; b"" at the end. Raises SwarmError if the body is cut short."""
        ...

    async def next_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """Return the next pieces, as `PieceReceiver.receive_pieces` does. Raises as `next_chunk`."""
        ...

    async def move(self, stretch: Stretch) -> None:
        """Have the next pieces moved, as `PieceReceiver.move` does. Raises as `next_chunk`."""
        ...


_Hook: TypeAlias = "Callable[[BodyStream], Awaitable[object]]"


class BodyStream(PieceReceiver):
    """A message's body as a stream. `before` is called once, when the first piece is asked for."""

    def __init__(self, incoming: Chunks, *, before: _Hook | None = None, on_close: _Hook | None = None) -> None:
        self._incoming = incoming
        self._before = before
        self._on_close = on_close
        self._closed = False
        self.complete = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next piece, of any size.

        Raises:
            trio.BrokenResourceError: the connection broke, or ended in the middle of the body.
            trio.ClosedResourceError: the stream is closed.
        """
        if not await self._readable():
            return b""
        try:
            chunk = await self._incoming.next_chunk()
        except SwarmError as exc:
            raise trio.BrokenResourceError(exc.message) from exc
        self.complete = not chunk
        return chunk

    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """See `PieceReceiver`."""
        if not await self._readable():
            return []
        try:
            pieces = await self._incoming.next_pieces(memory)
        except SwarmError as exc:
            raise trio.BrokenResourceError(exc.message) from exc
        self.complete = not pieces
        return pieces

    async def move(self, stretch: Stretch) -> None:
        """See `PieceReceiver`."""
        if not await self._readable():
            return
        try:
            await self._incoming.move(stretch)
        except SwarmError as exc:
            raise trio.BrokenResourceError(exc.message) from exc

    async def _readable(self) -> bool:
        """Return whether more may come."""
        if self._closed:
            raise trio.ClosedResourceError("this body is closed")
        if self._before is not None and not self.complete:
            before, self._before = self._before, None
            await before(self)
        return not self.complete

    async def aclose(self) -> None:
        """Stop reading; the stream's owner deals with what is unread."""
        if not self._closed:
            self._closed = True
            if self._on_close is not None:
                await self._on_close(self)
