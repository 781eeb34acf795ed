"""The byte streams that came with a message, as trio's streams."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from ..pieces import Buffer, Memory, PieceReceiver
from .driver import Driver
from .references import Ref, RefKind
from .stream_endpoint import StreamEndpoint

_Received = TypeVar("_Received")


def remote_stream(driver: Driver, ref: Ref) -> RemoteReceiveStream:
    """Return the stream to which a message that came refers. What comes for it may be next, so call this at once."""
    kind = RemoteStream if ref.kind is RefKind.DUPLEX else RemoteReceiveStream
    return kind(StreamEndpoint(driver, ref.id))


class RemoteReceiveStream(PieceReceiver):
    """A byte stream that came with a message. Whoever receives it closes it; an upload is closed with its call, too."""

    def __init__(self, end: StreamEndpoint) -> None:
        self._end = end
        self._closed = False
        self._receiving = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive the next bytes; b"" at the end.

        Raises:
            trio.BrokenResourceError: the other side, or the connection, broke off; the text says why.
            trio.ClosedResourceError: this side is closed.
            trio.BusyResourceError: another task is receiving.
        """
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("invalid max_bytes: expected 1 or more")
        return await self._received(lambda: self._end.receive(max_bytes))

    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """See `PieceReceiver`. Raises as `receive_some`."""
        return await self._received(self._end.receive_pieces)

    async def _received(self, receive: Callable[[], Awaitable[_Received]]) -> _Received:
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this stream")
        self._check()
        self._receiving = True
        try:
            if self._end.ready:
                await trio.lowlevel.checkpoint()
            return await receive()
        except trio.BrokenResourceError:
            self._check()
            raise
        finally:
            self._receiving = False

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")

    async def aclose(self) -> None:
        """Neither read nor send any more; what was sent still goes. Twice is harmless."""
        if not self._closed:
            self._closed = True
            self._end.close()
        await trio.lowlevel.checkpoint()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and self._end.open:
            warnings.warn("a byte stream of a session was not closed", ResourceWarning, stacklevel=1)


class RemoteStream(RemoteReceiveStream, trio.abc.HalfCloseableStream):
    """A byte stream in both directions that came with a message."""

    def __init__(self, end: StreamEndpoint) -> None:
        super().__init__(end)
        self._eof = False
        self._sending = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; waits while the other side is behind.

        Raises:
            trio.BrokenResourceError: the other side reads no more, or the connection broke; the text says why.
            trio.ClosedResourceError: this side is closed, or has sent its end.
            trio.BusyResourceError: another task is sending.
        """
        await self._sent(lambda: self._end.send(bytes(data)))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until `send_all` might not. Raises what that does."""
        await self._sent(self._end.wait_writable)

    async def _sent(self, send: Callable[[], Awaitable[None]]) -> None:
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._check()
        if self._eof:
            raise trio.ClosedResourceError("this stream has sent its end")
        self._sending = True
        try:
            await trio.lowlevel.checkpoint()
            await send()
        except trio.BrokenResourceError:
            self._check()
            raise
        finally:
            self._sending = False

    async def send_eof(self) -> None:
        """Send the end; reading goes on. Twice is harmless.

        Raises:
            trio.ClosedResourceError: this side is closed.
            trio.BusyResourceError: another task is sending.
        """
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._check()
        if not self._eof:
            self._eof = True
            self._end.end()
        await trio.lowlevel.checkpoint()
