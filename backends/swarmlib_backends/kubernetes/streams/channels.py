"""WebSocket connections without I/O, for both ends, in the two uses that Kubernetes makes of them.

`Channels` are the subprotocols `v4.channel.k8s.io` and `v5.channel.k8s.io`: the first byte of each message is the
number of its channel. In v5, the message `ff NN` ends the channel NN in one direction. `Tunnel` is
`SPDY/3.1+portforward.k8s.io`: the bytes of SPDY, cut into messages anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from swarmlib.errors import BadAnswer, Unsupported

from .events import Closed, Data, Ended, Event, Owed
from .spdy import Spdy

COMMAND_CHANNELS: Final = {"stdin": 0, "stdout": 1, "stderr": 2, "error": 3, "resize": 4}
"""The channels of exec and attach."""
FORWARD_CHANNELS: Final = {"data": 0, "error": 1}
"""The channels of a port-forward by v4."""

_CLOSE: Final = 255
_IN_ORDER: Final = (1000, 1001, 1005)  # normal, going away, and a close frame that gives no code


class WebSocket:
    """One end of a WebSocket connection after its handshake: messages, piece by piece."""

    def __init__(self, *, client: bool) -> None:
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
        return self._send(BytesMessage(data))

    def ping(self) -> bytes:
        """Return a frame that the peer answers."""
        return self._send(Ping())

    def close(self) -> bytes:
        """Return the frame that ends the connection in order, or answers the peer's."""
        if self._connection.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return self._connection.send(CloseConnection(1000))
        return b""

    def _send(self, event: BytesMessage | Ping) -> bytes:
        """Return a frame; b"" when the peer has closed the connection, and reads nothing more."""
        return self._connection.send(event) if self._connection.state is ConnectionState.OPEN else b""


class Channels:
    """One end of a connection with numbered channels: a `Framing`.

    Args:
        count: how many channels there are.
        version: 4 or 5, the version of the subprotocol.
    """

    def __init__(self, *, client: bool, count: int, version: int) -> None:
        self._socket = WebSocket(client=client)
        self._count = count
        self._half_close = version >= 5
        self._channel: int | None = None  # of the message that is arriving
        self._ending = b""  # what has arrived of a message that ends a channel

    def receive(self, data: bytes) -> list[Event]:
        """Take what the peer sent; see `Framing`."""
        events: list[Event] = []
        for event in self._socket.receive(data):
            if isinstance(event, BytesMessage):
                self._piece(bytes(event.data), events)
                if event.message_finished:
                    self._finish(events)
            else:
                events.append(event)
        return events

    def _piece(self, piece: bytes, events: list[Event]) -> None:
        if self._channel is None and piece:
            self._channel, piece = self._numbered(piece[0]), piece[1:]
        if not piece:
            return
        if self._channel == _CLOSE:
            self._ending += piece
            if len(self._ending) > 1:
                raise BadAnswer("malformed WebSocket message: one that ends a channel has two bytes")
        elif self._channel is not None:
            events.append(Data(self._channel, piece))

    def _numbered(self, channel: int) -> int:
        if channel >= self._count and not (channel == _CLOSE and self._half_close):
            raise BadAnswer(f"malformed WebSocket message: there is no channel {channel}")
        return channel

    def _finish(self, events: list[Event]) -> None:
        """Go on after the last piece of a message."""
        if self._channel == _CLOSE:
            if not self._ending or self._ending[0] >= self._count:
                raise BadAnswer("malformed WebSocket message: it ends no channel")
            events.append(Ended(self._ending[0]))
        self._channel, self._ending = None, b""

    def data(self, channel: int, data: bytes | memoryview) -> bytes:
        """Return the frame that carries bytes of a channel."""
        return self._socket.message(b"".join((bytes((channel,)), data)))

    def end(self, channel: int) -> bytes:
        """Return the frame that ends a channel in this direction.

        Raises:
            Unsupported: the version is 4, which has none.
        """
        if not self._half_close:
            raise Unsupported("the end of the input can't be told to this cluster: it speaks only v4.channel.k8s.io")
        return self._socket.message(bytes((_CLOSE, channel)))

    def ping(self) -> bytes:
        """Return a frame that the peer answers."""
        return self._socket.ping()

    def close(self) -> bytes:
        """Return the frame that ends the connection in order."""
        return self._socket.close()


class Tunnel:
    """One end of a connection that carries SPDY in WebSocket messages: a `Framing` with streams."""

    def __init__(self, *, client: bool) -> None:
        self._socket = WebSocket(client=client)
        self._spdy = Spdy(client=client)

    def receive(self, data: bytes) -> list[Event]:
        """Take what the peer sent; see `Framing`."""
        events: list[Event] = []
        for event in self._socket.receive(data):
            if isinstance(event, BytesMessage):
                events += map(self._wrapped, self._spdy.receive(bytes(event.data)))
            else:
                events.append(event)
        return events

    def _wrapped(self, event: Event) -> Event:
        return Owed(self._socket.message(event.data)) if isinstance(event, Owed) else event

    def open(self, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Open a stream; see `Spdy.open`."""
        stream, frame = self._spdy.open(headers)
        return stream, self._socket.message(frame)

    def accept(self, channel: int) -> bytes:
        """Return the frame that accepts a stream which the peer opened."""
        return self._socket.message(self._spdy.accept(channel))

    def reset(self, channel: int) -> bytes:
        """Return the frame that ends a stream in both directions."""
        return self._socket.message(self._spdy.reset(channel))

    def data(self, channel: int, data: bytes | memoryview) -> bytes:
        """Return the frame that carries bytes of a stream."""
        return self._socket.message(self._spdy.data(channel, data))

    def end(self, channel: int) -> bytes:
        """Return the frame that ends a stream in this direction."""
        return self._socket.message(self._spdy.end(channel))

    def ping(self) -> bytes:
        """Return a frame that the peer answers."""
        return self._socket.message(self._spdy.ping())

    def close(self) -> bytes:
        """Return the frame that ends the connection in order."""
        return self._socket.close()
