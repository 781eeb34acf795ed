"""How clients attach to containers: over a connection that becomes their stream, or over a WebSocket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import trio

from swarmlib import Invalid, Request

from ..dockerapi.operations import ContainerAttach, ContainerAttachWebsocket
from ..dockerapi.versions import parsed

ATTACHES: Final = ("ContainerAttach", "ContainerAttachWebsocket")
"""The rows of the routing table by which a client attaches."""
_ALL_STREAMS: Final = {"stdin": "1", "stdout": "1", "stderr": "1"}
_BINARY_SINCE: Final = (1, 28)
_PROTOCOL: Final = "websocket"
_VERSION: Final = "13"
"""That of RFC 6455, the only one that there is."""


@dataclass(frozen=True)
class Attaching:
    """What a client asks for that attaches to a container, and how it is answered."""

    request: Request
    asked: ContainerAttach
    key: str = ""
    """The key of a WebSocket's handshake; "" for the other kind of attach."""
    protocol: str = ""
    """The subprotocol that a WebSocket's client offers, which an engine takes, whatever it is."""

    @classmethod
    def of(cls, request: Request) -> Attaching:
        """Read a request of either row. Over a WebSocket, an engine gives all streams, whichever are asked for.

        Raises:
            Invalid: the handshake of a WebSocket is not one.
        """
        if not isinstance(request.params, ContainerAttachWebsocket):
            return cls(request, ContainerAttach.of(request))
        upgrades = [value for name, value in request.meta.headers if name == "upgrade"]
        if not upgrades or upgrades[0].lower() != _PROTOCOL:  # of several headers, an engine reads the first
            raise Invalid("not websocket protocol")
        headers = _joined(request)
        if headers.get("sec-websocket-version") != _VERSION:
            raise Invalid("missing or bad WebSocket Version")
        if not (key := headers.get("sec-websocket-key", "")):
            raise Invalid("mismatch challenge/response")
        if "," in (protocol := headers.get("sec-websocket-protocol", "").strip()):
            raise Invalid(f"a WebSocket can't speak several protocols: {protocol}")
        return cls(request, ContainerAttachWebsocket.read({**request.params, **_ALL_STREAMS}), key, protocol)

    @property
    def framed(self) -> bool:
        """Whether the output of a container without a terminal says which stream it is of."""
        return not self.key

    async def ack(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Answer with the client's stream to the container, whose output is framed if this says so."""
        if not self.key:
            await self.request.reply.ack(stream=stream)
            return
        from .websocket import WebSocketStdio, accepted  # few clients attach so, and wsproto takes time to import

        version = self.request.meta.version
        text = bool(version) and parsed(version) < _BINARY_SINCE
        headers = accepted(self.key, self.protocol)
        await self.request.reply.ack(stream=WebSocketStdio(stream, text=text), details={"headers": headers})


def _joined(request: Request) -> Mapping[str, str]:
    """Return the headers of a request; the values of one that is repeated are one list, as RFC 9110 (5.3) says."""
    found: dict[str, str] = {}
    for name, value in request.meta.headers:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
