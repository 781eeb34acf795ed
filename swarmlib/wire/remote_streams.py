"""Byte streams of a session, on trio: those that came with a message, and the pumping of those that go with one."""

from __future__ import annotations

import logging
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import trio

from ..errors import SwarmError, Unavailable
from ..pieces import PIECE, Buffer, Memory, PieceReceiver, send_pieces
from ..reply_channel import CLEANUP_SECONDS
from .driver import Driver
from .endpoint import Endpoint
from .limits import KIB
from .references import RefKind
from .windows import gather

_Received = TypeVar("_Received")
_log = logging.getLogger(__name__)

OWN_SEND: Final = 128 * KIB
"""Bytes of a stream that are worth a send of their own, before more are read from their source."""

_CLOSED_HERE: Final = Unavailable("this side has closed the stream")


class StreamEndpoint(Endpoint):
    """This side's endpoint of a stream; what a `RemoteStream` does, and the pump of an attachment."""

    __slots__ = ("_broken", "_buffer", "_driver", "_ended", "_full", "_on_reset", "_reader", "_writers", "id")

    def __init__(self, driver: Driver, id: int) -> None:
        self.id = id
        self._on_reset: Callable[[], object] | None = None
        self._driver = driver
        self._buffer: deque[bytes | memoryview] = deque()
        self._reader = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()
        self._ended = False
        self._full = False
        self._broken: SwarmError | None = None
        driver.endpoints[id] = self

    # What comes.

    def data(self, data: bytes | memoryview) -> None:
        """See `Endpoint.data`."""
        gather(self._buffer, data)
        self._reader.unpark_all()

    def ended(self) -> None:
        """See `Endpoint.ended`."""
        self._ended = True
        self._reader.unpark_all()

    def reset(self, error: SwarmError) -> None:
        """See `Endpoint.reset`. What came before can still be read, as with TCP; then the reader gets the error."""
        self._broken = error
        self._reader.unpark_all()
        self._writers.unpark_all()
        if self._on_reset is not None:
            self._on_reset()

    def room(self) -> None:
        """See `Endpoint.room`."""
        self._full = False
        self._writers.unpark_all()

    def when_reset(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the peer resets the stream, or the session ends; now, if that has happened."""
        self._on_reset = callback
        if self._broken is not None:
            callback()

    # What this side does.

    @property
    def open(self) -> bool:
        """Whether it has neither ended in both directions nor been closed."""
        return self._driver.endpoints.get(self.id) is self

    @property
    def ready(self) -> bool:
        """Whether `receive` would not wait."""
        return bool(self._buffer) or self._ended or self._broken is not None

    async def receive(self, most: int | None = None) -> bytes:
        """Receive the next bytes; b"" at the end.

        Raises:
            trio.BrokenResourceError: the stream was broken off.
        """
        if not await self._arrival():
            return b""
        buffer = self._buffer
        data = buffer.popleft()
        if most is not None and len(data) > most:
            data = memoryview(data)
            buffer.appendleft(data[most:])
            data = data[:most]
        self._read(len(data))
        return data if isinstance(data, bytes) else bytes(data)

    async def receive_pieces(self) -> Sequence[Buffer]:
        """Receive what has come, about PIECE bytes, where it lies; nothing at the end. Raises as `receive`."""
        pieces: list[Buffer] = []
        size = 0
        if await self._arrival():
            while self._buffer and size < PIECE:
                pieces.append(self._buffer.popleft())
                size += len(pieces[-1])
            self._read(size)
        return pieces

    async def _arrival(self) -> bool:
        """Wait until there is something to read; return whether there is."""
        while not self._buffer:
            if self._ended:
                return False
            if self._broken is not None:
                raise trio.BrokenResourceError(str(self._broken))
            await self._reader.park()
        return True

    def _read(self, count: int) -> None:
        self._driver.channels.read(self.id, count, trio.current_time())
        self._driver.wake()

    async def send(self, data: bytes) -> None:
        """Have bytes sent; waits while many wait.

        Raises:
            trio.BrokenResourceError: the peer reads no more.
        """
        if self._broken is None and data:
            self._full = not self._driver.channels.write(self.id, data)
            if len(data) >= OWN_SEND:
                self._driver.writer.send_now()  # what else is ready soon would go in a send of its own anyway
            else:
                self._driver.wake()
        await self.wait_writable()

    async def wait_writable(self) -> None:
        """Wait until more may be sent. Raises what `send` does."""
        while self._full and self._broken is None:
            await self._writers.park()
        if self._broken is not None:
            raise trio.BrokenResourceError(str(self._broken))

    def end(self) -> None:
        """Send nothing more."""
        if self._broken is None:
            self._driver.channels.end(self.id)
            self._driver.wake()

    def close(self) -> None:
        """Neither send nor read any more; what was sent still goes."""
        self._leave(self._driver.channels.close)

    def break_off(self, reason: str) -> None:
        """Neither send nor read any more; what was not sent yet is dropped, and the peer told the reason."""
        self._leave(lambda stream: self._driver.channels.reset(stream, reason))

    def _leave(self, how: Callable[[int], None]) -> None:
        if self.open:
            how(self.id)
            self._driver.forget(self.id)
            self._driver.wake()
        self._broken = self._broken or _CLOSED_HERE
        self._reader.unpark_all()
        self._writers.unpark_all()


class RemoteReceiveStream(PieceReceiver):
    """A byte stream that came with a message, and that who was given it closes. (An upload ends with its call.)"""

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
    """A byte stream both ways that came with a message."""

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


def kind_of(stream: trio.abc.ReceiveStream) -> RefKind:
    """Tell what a stream is referred to as: one that can be half closed goes both ways."""
    return RefKind.DUPLEX if isinstance(stream, trio.abc.HalfCloseableStream) else RefKind.STREAM


async def pump(att: trio.abc.ReceiveStream, end: StreamEndpoint) -> None:
    """Carry a message's attachment over the wire until it ends, breaks, or the other side is done with it; close it."""
    outward, inward = trio.CancelScope(), trio.CancelScope()

    def done_with() -> None:
        outward.cancel()
        inward.deadline = trio.current_time() + CLEANUP_SECONDS  # what came before the other side left is for the att

    end.when_reset(done_with)
    try:
        async with trio.open_nursery() as nursery:
            if isinstance(att, trio.abc.HalfCloseableStream):
                nursery.start_soon(_carry_in, end, att, inward)
            with outward:
                reason = await _carry_out(att, end)
                if reason is not None:
                    end.break_off(reason)
                    nursery.cancel_scope.cancel()
    finally:
        end.close()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
            await att.aclose()


async def _carry_out(att: trio.abc.ReceiveStream, end: StreamEndpoint) -> str | None:
    """Carry the bytes outward; gives why that broke, if it did."""
    try:
        while data := await att.receive_some(PIECE):
            await end.send(bytes(data))
        end.end()
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        return str(exc) or type(exc).__name__
    except Exception as exc:  # noqa: BLE001 - an attachment is a backend's: its bug must not end the session
        _log.error("an attachment failed", exc_info=exc)
        return f"a bug: {type(exc).__name__}: {exc}"
    return None


async def _carry_in(end: StreamEndpoint, att: trio.abc.HalfCloseableStream, scope: trio.CancelScope) -> None:
    with scope:
        try:
            await _copy_in(end, att)
            while await end.receive():
                pass  # it reads no more; what it has still to say goes on, as with a program that closed its stdin
        except trio.BrokenResourceError:
            pass


async def _copy_in(end: StreamEndpoint, att: trio.abc.HalfCloseableStream) -> None:
    while pieces := await end.receive_pieces():
        try:
            await send_pieces(att, pieces)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        except Exception as exc:  # noqa: BLE001 - as above
            _log.error("an attachment failed", exc_info=exc)
            return
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await att.send_eof()
