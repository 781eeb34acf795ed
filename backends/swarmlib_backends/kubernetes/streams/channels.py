"""WebSocket connections without I/O, for both ends, in the two uses that Kubernetes makes of them.

`Channels` are the subprotocols `v4.channel.k8s.io` and `v5.channel.k8s.io`: the first byte of each message is the
number of its channel. In v5, the message `ff NN` ends the channel NN in one direction. `Tunnel` is
`SPDY/3.1+portforward.k8s.io`: the bytes of SPDY, cut into messages anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wsproto.events import BytesMessage

from swarmlib.errors import BadAnswer, Unsupported

from ...http.websocket import Owed, WebSocket
from .events import Data, Ended, Event
from .spdy import Spdy

COMMAND_CHANNELS: Final = {"stdin": 0, "stdout": 1, "stderr": 2, "error": 3, "resize": 4}
"""The channels of exec and attach."""
FORWARD_CHANNELS: Final = {"data": 0, "error": 1}
"""The channels of a port-forward by v4."""

_CLOSE: Final = 255


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
