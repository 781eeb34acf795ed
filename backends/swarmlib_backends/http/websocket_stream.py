"""A WebSocket as a stream of bytes, over a connection after its handshake.

stream = WebSocketStream(connection, client=True)
await stream.send_all(b"hello")
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio
from wsproto.utilities import generate_accept_token

from swarmlib.errors import BadAnswer

from .websocket import Closed, Owed, WebSocket

_RECEIVE: Final = 64 * 1024
_CLOSE_SECONDS: Final = 1.0
KEEPALIVE_SECONDS: Final = 20.0
"""How often `keep_alive` pings: load balancers end silent connections after some minutes."""


class WebSocketStream(trio.abc.Stream):
    """One end of a WebSocket whose messages may be texts or bytes. One task may receive, while others send."""

    def __init__(self, stream: trio.abc.Stream, *, client: bool) -> None:
        self._stream = stream
        self._socket = WebSocket(client=client, text=True)
        self._pieces: list[tuple[bytes, bool]] = []
        """What has arrived, each piece with whether it ends its message."""
        self._ended = False
        self._lock = trio.Lock()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next bytes; b"" when the peer has ended the connection in order.

        Raises:
            trio.BrokenResourceError: the connection broke, or the peer broke the protocol.
        """
        while not self._ended or self._pieces:
            if self._pieces:
                data, whole = self._pieces.pop(0)
                if max_bytes is not None and len(data) > max_bytes:
                    self._pieces.insert(0, (data[max_bytes:], whole))
                if data:
                    return data[:max_bytes]
            else:
                await self._read()
        await trio.lowlevel.checkpoint()
        return b""

    async def receive_message(self, limit: int) -> bytes:
        """Return the next message, whole.

        Raises:
            trio.BrokenResourceError: the connection ended in it, or it is longer than `limit` bytes.
        """
        message = b""
        while len(message) <= limit and not (self._ended and not self._pieces):
            if not self._pieces:
                await self._read()
                continue
            data, whole = self._pieces.pop(0)
            message += data
            if whole and len(message) <= limit:
                return message
        raise trio.BrokenResourceError("the peer did not send a message")

    async def _read(self) -> None:
        data = await self._stream.receive_some(_RECEIVE)
        if not data:
            self._ended = True
            return
        try:
            for event in self._socket.receive(bytes(data)):
                match event:
                    case Owed():
                        await self._write(event.data)
                    case Closed():
                        self._ended = True
                    case _:
                        self._pieces.append((bytes(event.data), event.message_finished))
        except BadAnswer as exc:
            raise trio.BrokenResourceError(exc.message) from exc

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes as one message: as a text if they are one.

        Raises:
            trio.BrokenResourceError: the peer has ended the connection, or it broke.
        """
        if self._ended:
            raise trio.BrokenResourceError("the peer has ended the connection")
        await self._write(self._socket.message(bytes(data)))

    async def _write(self, frame: bytes) -> None:
        async with self._lock:
            await self._stream.send_all(frame)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until `send_all` might not wait."""
        await self._stream.wait_send_all_might_not_block()

    async def keep_alive(self) -> None:
        """Send pings until the connection ends."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while not self._ended:
                await trio.sleep(KEEPALIVE_SECONDS)
                await self._write(self._socket.ping())

    async def aclose(self) -> None:
        """Say that the connection ends, if that is possible at once, and close it."""
        gone = (trio.BrokenResourceError, trio.ClosedResourceError)
        try:
            with trio.move_on_after(_CLOSE_SECONDS, shield=True), suppress(*gone):
                await self._write(self._socket.close())
        finally:
            await trio.aclose_forcefully(self._stream)


def accepted(key: str) -> dict[str, str]:
    """Return the headers of the answer (101) to a request for a WebSocket. key: its header Sec-WebSocket-Key."""
    token = generate_accept_token(key.encode("latin-1")).decode()
    return {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Accept": token}
