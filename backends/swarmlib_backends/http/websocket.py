"""One end of a WebSocket connection after its handshake (RFC 6455), without I/O: messages of bytes, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from swarmlib.errors import BadAnswer

_IN_ORDER: Final = (1000, 1001, 1005)  # normal, going away, and a close frame that gives no code


class Owed(NamedTuple):
    """Bytes that must be sent as soon as it is possible: the answer to a ping."""

    data: bytes


class Closed(NamedTuple):
    """The peer ends the connection in order; `reason` is empty unless it gave one."""

    reason: str


class WebSocket:
    """One end of a WebSocket connection after its handshake: messages, piece by piece.

    text: whether messages may be texts too; they are taken as their bytes, and what is a text is sent as one.
    """

    def __init__(self, *, client: bool, text: bool = False) -> None:
        self._text = text
        self._connection = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER)

    def receive(self, data: bytes) -> Iterator[BytesMessage | Owed | Closed]:
        """Take what the peer sent, and give what it means.

        Raises:
            BadAnswer: it is no WebSocket frame, or a message of text.
        """
        if self._connection.state not in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            return  # nothing counts after the peer's close frame
        self._connection.receive_data(data)
        for event in self._connection.events():
            match event:
                case BytesMessage():
                    yield event
                case Ping():
                    if self._connection.state is ConnectionState.OPEN:
                        yield Owed(self._connection.send(event.response()))
                case CloseConnection():
                    yield self._closed(event)
                case TextMessage() if self._text:
                    yield BytesMessage(event.data.encode(), event.frame_finished, event.message_finished)
                case TextMessage():
                    raise BadAnswer("malformed WebSocket message: it is text, not bytes")
                case _:
                    pass  # the answer to a ping

    def _closed(self, event: CloseConnection) -> Closed:
        if self._connection.state is ConnectionState.OPEN:  # the peer did not close: wsproto's parser gave up
            raise BadAnswer(f"malformed WebSocket frame: {event.reason}")
        return Closed("" if event.code in _IN_ORDER else event.reason or f"WebSocket close code {int(event.code)}")

    def message(self, data: bytes) -> bytes:
        """Return the frame of a message."""
        if self._text:
            with suppress(UnicodeDecodeError):
                return self._send(TextMessage(data.decode()))
        return self._send(BytesMessage(data))

    def ping(self) -> bytes:
        """Return a frame that the peer answers."""
        return self._send(Ping())

    def close(self) -> bytes:
        """Return the frame that ends the connection in order, or answers the peer's."""
        if self._connection.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return self._connection.send(CloseConnection(1000))
        return b""

    def _send(self, event: BytesMessage | TextMessage | Ping) -> bytes:
        """Return a frame; b"" when the peer has closed the connection, and reads nothing more."""
        return self._connection.send(event) if self._connection.state is ConnectionState.OPEN else b""
