"""This side's endpoint of a byte stream, on trio: what is buffered of it, and who waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import trio

from ..errors import SwarmError, Unavailable
from ..pieces import PIECE, Buffer
from .driver import Driver
from .endpoint import Endpoint
from .limits import KIB
from .windows import gather

OWN_SEND: Final = 128 * KIB
"""Bytes of a stream that are worth a send of their own, before more are read from their source."""

_CLOSED_HERE: Final = Unavailable("this side has closed the stream")


class StreamEndpoint(Endpoint):
    """This side's endpoint of a stream: of one that came (`RemoteStream`), or of one that is sent (`pump`)."""

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
