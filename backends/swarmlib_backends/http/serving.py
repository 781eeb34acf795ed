"""A small HTTP server: a request is read whole, its answer is an object.

`serving` serves HTTPS for services that are played on this machine; `converse` serves one connection, whatever it is:

    async with serving("127.0.0.1", 0, context, "fake ARM", handler) as url: ...

Each connection has a task of its own; a handler is cancelled when its client disconnects. An answer's body is whole, or
is written piece by piece; after an upgrade, the connection is the handler's. Answers hang or break halfway where a test
wants that.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
import trio

from swarmlib import Denied, Invalid, SwarmError, Unavailable
from swarmlib.net.listening import serve
from swarmlib.net.sockets import lean
from swarmlib.net.tls import secured

from .head import Head
from .incoming import Incoming
from .outgoing import LAST_CHUNK, chunk, response_head
from .whole_body import whole_body

MAX_BODY: Final = 4 * 1024 * 1024
"""The size limit of a request's body in bytes."""
_SWITCHING: Final = 101

Body: TypeAlias = dict[str, Any]
"""A JSON object."""
Write: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Sends a piece of a body."""


@dataclass(frozen=True)
class Request:
    """A request. `path` is decoded, the names of `headers` are in lower case, `base` is https://HOST:PORT.

    pairs: all parameters; `query` has the last one of each name.
    """

    method: str
    path: str
    pairs: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes
    base: str
    upgrade: bool = False

    @property
    def query(self) -> dict[str, str]:
        """The parameters by their names."""
        return dict(self.pairs)


@dataclass
class Answer:
    """An answer: `body` is JSON data, or bytes that are sent as they are, or None for no body."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    halfway: Literal["", "hang", "cut"] = ""
    """What happens once half of the answer is sent."""
    pieces: Callable[[Write], Awaitable[None]] | None = None
    """Writes the body in place of `body`; the answer ends when it returns."""
    upgraded: Callable[[trio.abc.Stream], Awaitable[None]] | None = None
    """Uses the connection after the head of a 101."""


Handler: TypeAlias = Callable[[Request], Awaitable[Answer | None]]
"""Answers a request; None breaks the connection instead of answering."""


@asynccontextmanager
async def serving(
    host: str, port: int, context: ssl.SSLContext, name: str, handler: Handler, refused: Callable[[str], Any]
) -> AsyncGenerator[str]:
    """Serve HTTPS on an address (port 0: any free port) and yield its URL; all connections end with the context.

    name: what logs call it. refused: makes the body of the answer to what is not HTTP, of the reason.

    Raises:
        Unavailable: the address is in use, or is not one of this machine.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as exc:
        raise Unavailable(f"can't listen on {host}:{port}: {exc.strerror or exc}") from exc
    base = f"https://{host}:{listeners[0].socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        serve_one = partial(_secure, context=context, name=name, service=Service(base, handler, refused))
        nursery.start_soon(serve, listeners, serve_one, name)
        yield base
        nursery.cancel_scope.cancel()


def _admit(_: Head) -> None:
    """Admit every request."""


@dataclass(frozen=True)
class Service:
    """What answers the requests of a connection.

    Attributes:
        base: the beginning of its URLs, such as https://HOST:PORT.
        handler: answers a request.
        refused: makes the body of the answer to what is not HTTP, or not admitted, of the reason.
        admit: checks the head of a request before its body is read. It raises `Denied`, which is answered 403, or
            `Invalid`.
    """

    base: str
    handler: Handler
    refused: Callable[[str], Any]
    admit: Callable[[Head], None] = _admit


async def _secure(
    stream: trio.SocketStream, client: str, *, context: ssl.SSLContext, name: str, service: Service
) -> None:
    hidden = await secured(lean(stream), context, name, client)
    if hidden is not None:
        async with hidden:
            await converse(hidden, service)


async def converse(stream: trio.abc.HalfCloseableStream, service: Service) -> None:
    """Answer the requests that arrive on a connection, until it ends.

    Raises:
        trio.BrokenResourceError: the client disconnected.
    """
    incoming = Incoming(stream)
    try:
        while (head := await incoming.next_head()) is not None:
            service.admit(head)
            if head.upgrade:
                incoming.converse(chunks=True)
            else:
                incoming.stay()
            request = _request(head, service.base, await whole_body(incoming, MAX_BODY))
            if not await _exchange(stream, incoming, service, request) or not head.keep_alive:
                return
    except Unavailable as exc:
        raise trio.BrokenResourceError("the client disconnected") from exc
    except SwarmError as exc:  # it is not HTTP, too large, or not admitted
        status = 403 if isinstance(exc, Denied) else 400
        await _send(stream, Answer(status, service.refused(exc.message), {"Connection": "close"}), bodyless=False)
    finally:
        incoming.close()


async def _exchange(
    stream: trio.abc.HalfCloseableStream, incoming: Incoming, service: Service, request: Request
) -> bool:
    """Answer a request; return False if the connection can't be used any more."""
    if request.upgrade:
        answer = await service.handler(request)
        if answer is not None and answer.upgraded is not None:
            await stream.send_all(response_head(_SWITCHING, _encoded(answer.headers)))
            await answer.upgraded(_Continued(stream, incoming.take_over()))
            return False
        if answer is not None:
            closing = replace(answer, headers={"Connection": "close", **answer.headers})  # nothing is read after it
            await _send(stream, closing, bodyless=False)
        return False
    async with _while_connected(incoming):
        answer = await service.handler(request)
        return answer is not None and await _send(stream, answer, bodyless=request.method == "HEAD")
    return False  # the client disconnected


def _request(head: Head, base: str, body: bytes) -> Request:
    target = urlsplit(head.target)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
    try:
        pairs = tuple(parse_qsl(target.query, keep_blank_values=True, errors="strict"))
        path = unquote(target.path, errors="strict")
    except ValueError as exc:
        raise Invalid(f"the target is not UTF-8: {head.target}") from exc
    return Request(head.method, path, pairs, headers, body, base, head.upgrade)


@asynccontextmanager
async def _while_connected(incoming: Incoming) -> AsyncGenerator[None]:
    """Cancel what is inside if the client disconnects."""

    async def watch() -> None:
        with suppress(SwarmError):  # the connection broke, or what comes is not HTTP
            while await incoming.read():
                pass  # the next request, early; it is parsed, and waits
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        yield
        nursery.cancel_scope.cancel()


async def _send(stream: trio.abc.HalfCloseableStream, answer: Answer, *, bodyless: bool) -> bool:
    """Send an answer; return False if the connection can't be used any more."""
    if answer.pieces is not None:
        return await _send_pieces(stream, answer, answer.pieces)
    raw = isinstance(answer.body, bytes)
    body: bytes = answer.body if raw else b"" if answer.body is None else orjson.dumps(answer.body)
    headers = {"Content-Length": str(len(body))} if body or answer.status not in (204, 304) else {}
    if body:
        headers["Content-Type"] = "text/plain; charset=utf-8" if raw else "application/json; charset=utf-8"
    data = response_head(answer.status, _encoded(headers | answer.headers)) + (b"" if bodyless else body)
    await stream.send_all(data[: len(data) - len(body) // 2 - 1] if answer.halfway else data)
    if answer.halfway == "hang":
        while await stream.receive_some():
            pass
    return not answer.halfway


async def _send_pieces(
    stream: trio.abc.HalfCloseableStream, answer: Answer, pieces: Callable[[Write], Awaitable[None]]
) -> bool:
    await stream.send_all(response_head(answer.status, _encoded({"Transfer-Encoding": "chunked"} | answer.headers)))

    async def write(data: bytes) -> None:
        if data:
            await stream.send_all(chunk(data))

    await pieces(write)
    await stream.send_all(LAST_CHUNK)
    return True


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


class _Continued(trio.abc.HalfCloseableStream):
    """A connection after the request that upgraded it, of which the first bytes came with that."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, early: bytes) -> None:
        self._stream, self._early = stream, early

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return the next bytes."""
        if self._early:
            early, self._early = self._early[:max_bytes], self._early[max_bytes:] if max_bytes else b""
            await trio.lowlevel.checkpoint()
            return early
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until `send_all` might not wait."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send no more."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()
