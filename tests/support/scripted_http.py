"""An HTTP server whose answers a test scripts: one function is called for each request, and answers as it likes."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import h11
import orjson
import trio


@dataclass
class Asked:
    """A request."""

    method: str
    target: str
    path: str
    params: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each.lower() == name.lower()), None)


class Answer:
    """What the script does with a request."""

    def __init__(self, stream: trio.abc.Stream, http: h11.Connection) -> None:
        self.stream = stream
        self._http = http

    async def begin(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        await self._send(h11.Response(status_code=status, headers=[*(headers or {}).items()]))

    async def send(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        await self.whole(orjson.dumps(value), status, {"Content-Type": "application/json", **(headers or {})})

    async def whole(self, data: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        await self.begin(status, {"Content-Length": str(len(data)), **(headers or {})})
        await self.send(data)
        await self.end()

    async def lines(self, *values: Any) -> None:
        """Send events, each on its line."""
        for value in values:
            await self.send(orjson.dumps(value) + b"\n")

    async def switch(self, protocol: str, after: bytes = b"") -> None:
        """Answer with 101, and with bytes of the new protocol in the same piece."""
        head = self._http.send(
            h11.InformationalResponse(status_code=101, headers=[("Upgrade", protocol), ("Connection", "Upgrade")])
        )
        await self.stream.send_all((head or b"") + after)

    async def _send(self, event: Any) -> None:
        if data := self._http.send(event):
            await self.stream.send_all(data)


Script: TypeAlias = Callable[[Asked, Answer], Awaitable[None]]


@dataclass
class Served:
    """The server: its port, the requests so far, and how many connections are open."""

    port: int
    script: Script
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    connections: set[trio.CancelScope] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection."""
        for scope in self.connections:
            scope.cancel()


@asynccontextmanager
async def served(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """Serve on the loopback. A script that returns before its answer's end breaks the connection."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = Served(listener.socket.getsockname()[1], script, tls)
        nursery.start_soon(trio.serve_listeners, partial(_connection, server), [listener])
        yield server
        nursery.cancel_scope.cancel()


async def _connection(server: Served, stream: trio.abc.Stream) -> None:
    with trio.CancelScope() as scope:
        server.connections.add(scope)
        try:
            if server.tls:
                stream = trio.SSLStream(stream, server.tls, server_side=True, https_compatible=True)
            while await _exchange(server, stream):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass
        finally:
            server.connections.discard(scope)
            await trio.aclose_forcefully(stream)


async def _exchange(server: Served, stream: trio.abc.Stream) -> bool:
    """Answer one request, and say whether another may follow on the connection."""
    http = h11.Connection(h11.SERVER)
    body = b""
    request: h11.Request | None = None
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.ConnectionClosed):
            return False
        else:
            break
    assert request is not None
    target = request.target.decode()
    parts = urlsplit(target)
    headers = [(name.decode(), value.decode("latin-1")) for name, value in request.headers.raw_items()]
    asked = Asked(request.method.decode(), target, parts.path, parse_qsl(parts.query), headers, body)
    server.asked.append(asked)
    await server.script(asked, Answer(stream, http))
    return http.our_state is h11.DONE
