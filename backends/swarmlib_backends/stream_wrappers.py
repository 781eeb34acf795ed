"""Streams that wrap other streams, to observe, slow down or break what passes.

`StreamWrapper` shows each byte to its subclasses. One that needs to know only how much passes is a `CountingWrapper`,
which leaves the bytes where they are (see `swarmlib.pieces`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import trio

from swarmlib.pieces import Buffer, Memory, PieceReceiver, PieceSender, Stretch, move, receive_pieces, send_pieces


class StreamWrapper(trio.abc.HalfCloseableStream):
    """A stream through which another one's bytes pass; subclasses observe or change them.

    Pass on `wrapper.alike` instead, which can be sent to only if the inner stream can.
    """

    def __init__(self, inner: trio.abc.ReceiveStream) -> None:
        self.inner = inner

    @property
    def alike(self) -> trio.abc.ReceiveStream:
        """This stream, two-way only if the inner one is."""
        return self if isinstance(self.inner, trio.abc.HalfCloseableStream) else OneWay(self)

    @property
    def _sink(self) -> trio.abc.HalfCloseableStream:
        return cast("trio.abc.HalfCloseableStream", self.inner)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`."""
        return await self.inner.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        await self._sink.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._sink.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        await self._sink.send_eof()

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        await self.inner.aclose()


class CountingWrapper(PieceReceiver, PieceSender, StreamWrapper):
    """A stream through which another one's bytes pass unseen; subclasses learn how many."""

    async def received(self, count: int) -> None:
        """Take note that `count` bytes were received; 0 at the end."""

    async def sending(self, count: int) -> None:
        """Take note that `count` bytes are about to be sent, or were sent in a stretch."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`."""
        data = await super().receive_some(max_bytes)
        await self.received(len(data))
        return data

    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """See `PieceReceiver`."""
        pieces = await receive_pieces(self.inner, memory)
        await self.received(sum(map(len, pieces)))
        return pieces

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        await self.sending(len(data))
        await super().send_all(data)

    async def send_pieces(self, pieces: Sequence[Buffer]) -> None:
        """See `PieceSender`."""
        await self.sending(sum(map(len, pieces)))
        await send_pieces(self._sink, pieces)

    async def move(self, stretch: Stretch) -> None:
        """See `PieceReceiver`."""
        try:
            await move(self.inner, stretch)
        finally:
            if stretch.received:
                await self.received(stretch.received)

    def stretch(self, memory: Memory) -> Stretch | None:
        """See `PieceSender`."""
        return self.inner.stretch(memory) if isinstance(self.inner, PieceSender) else None

    async def end_stretch(self, stretch: Stretch) -> None:
        """See `PieceSender`."""
        assert isinstance(self.inner, PieceSender)
        if stretch.received:
            await self.sending(stretch.received)
        await self.inner.end_stretch(stretch)


class Resumed(CountingWrapper):
    """A stream of which some bytes were read before: from its first byte on."""

    def __init__(self, inner: trio.abc.ReceiveStream, early: bytes) -> None:
        super().__init__(inner)
        self._early = early

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return the bytes that were read before, then those of the inner stream."""
        if not self._early:
            return await super().receive_some(max_bytes)
        early = self._early[:max_bytes]
        self._early = self._early[len(early) :]
        await trio.lowlevel.checkpoint()
        return early

    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """See `PieceReceiver`."""
        return [await self.receive_some()] if self._early else await super().receive_pieces(memory)

    async def move(self, stretch: Stretch) -> None:
        """See `PieceReceiver`."""
        if not self._early:
            await super().move(stretch)


class OneWay(PieceReceiver):
    """The receiving half of a stream."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`."""
        return await self._stream.receive_some(max_bytes)

    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """See `PieceReceiver`."""
        return await receive_pieces(self._stream, memory)

    async def move(self, stretch: Stretch) -> None:
        """See `PieceReceiver`."""
        await move(self._stream, stretch)

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        await self._stream.aclose()
