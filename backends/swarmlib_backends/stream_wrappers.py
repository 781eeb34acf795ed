"""Streams that wrap other streams, to observe, slow down or break what passes."""

from __future__ import annotations

from typing import cast

import trio


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


class Resumed(StreamWrapper):
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


class OneWay(trio.abc.ReceiveStream):
    """The receiving half of a stream."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        await self._stream.aclose()
