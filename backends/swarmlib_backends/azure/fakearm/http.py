"""HTTPS for the fake: requests and answers are sent whole; answers hang or break halfway where a test wants that."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
import trio

from swarmlib import Invalid, SwarmError, Unavailable
from swarmlib.net.listening import serve
from swarmlib.net.sockets import lean
from swarmlib.net.tls import TlsStream, secured

from ...http.head import Head
from ...http.incoming import Incoming
from ...http.outgoing import response_head

MAX_BODY: Final = 4 * 1024 * 1024
"""The size limit of a request's body in bytes: ARM's own."""

Body: TypeAlias = dict[str, Any]
"""A JSON object."""


def without_nulls(value: Any) -> Any:
    """Return a JSON value without the members that are null: ARM treats them as missing."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in cast("Body", value).items() if each is not None}
    return [without_nulls(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


@dataclass(frozen=True)
class Request:
    """A request. `path` is decoded, the names of `headers` are in lower case, `base` is https://HOST:PORT."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    base: str


@dataclass
class Answer:
    """An answer: `body` is JSON data, or bytes that are sent as they are, or None for no body."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    halfway: Literal["", "hang", "cut"] = ""
    """What happens once half of the answer is sent."""


Handler: TypeAlias = Callable[[Request], Awaitable[Answer | None]]
"""Answers a request; None breaks the connection instead of answering."""


@asynccontextmanager
async def serving(host: str, port: int, context: ssl.SSLContext, handler: Handler) -> AsyncGenerator[str]:
    """Serve HTTPS on an address (port 0: any free port) and yield its URL; all connections end with the context.

    Raises:
        Unavailable: the address is in use, or is not one of this machine.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as exc:
        raise Unavailable(f"can't listen on {host}:{port}: {exc.strerror or exc}") from exc
    base = f"https://{host}:{listeners[0].socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        serve_one = partial(_secure, context=context, base=base, handler=handler)
        nursery.start_soon(serve, listeners, serve_one, "fake ARM")
        yield base
        nursery.cancel_scope.cancel()


async def _secure(
    stream: trio.SocketStream, client: str, *, context: ssl.SSLContext, base: str, handler: Handler
) -> None:
    hidden = await secured(lean(stream), context, "fake ARM", client)
    if hidden is not None:
        async with hidden:
            await _converse(hidden, base, handler)


async def _converse(stream: TlsStream, base: str, handler: Handler) -> None:
    incoming = Incoming(stream)
    try:
        while (head := await incoming.next_head()) is not None:
            incoming.stay()
            request = _request(head, base, await incoming.body(MAX_BODY))
            answer = await _while_connected(incoming, handler, request)
            if answer is None or not await _send(stream, answer, bodyless=request.method == "HEAD"):
                return
            if not head.keep_alive:
                return
    except Unavailable as exc:
        raise trio.BrokenResourceError("the client disconnected") from exc
    except SwarmError as exc:  # it is not HTTP, or too large
        refusal = {"error": {"code": "BadRequest", "message": exc.message}}
        await _send(stream, Answer(400, refusal, {"Connection": "close"}), bodyless=False)


def _request(head: Head, base: str, body: bytes) -> Request:
    target = urlsplit(head.target)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
    try:
        query = dict(parse_qsl(target.query, keep_blank_values=True, errors="strict"))
        return Request(head.method, unquote(target.path, errors="strict"), query, headers, body, base)
    except ValueError as exc:
        raise Invalid(f"the target is not UTF-8: {head.target}") from exc


async def _while_connected(incoming: Incoming, handler: Handler, request: Request) -> Answer | None:
    """Return the handler's answer; cancel the handler if the client disconnects meanwhile."""
    answer: Answer | None = None

    async def watch() -> None:
        with suppress(SwarmError):  # the connection broke, or what comes is not HTTP
            while await incoming.read():
                pass  # the next request, early; it is parsed, and waits
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        answer = await handler(request)
        nursery.cancel_scope.cancel()
    return answer


async def _send(stream: TlsStream, answer: Answer, *, bodyless: bool) -> bool:
    """Send an answer; return False if the connection can't be used any more."""
    raw = isinstance(answer.body, bytes)
    body: bytes = answer.body if raw else b"" if answer.body is None else orjson.dumps(answer.body)
    headers = {"Content-Length": str(len(body))} if body or answer.status not in (204, 304) else {}
    if body:
        headers["Content-Type"] = "text/plain; charset=utf-8" if raw else "application/json; charset=utf-8"
    head = [(name.encode(), value.encode("latin-1", "replace")) for name, value in (headers | answer.headers).items()]
    data = response_head(answer.status, head) + (b"" if bodyless else body)
    await stream.send_all(data[: len(data) - len(body) // 2 - 1] if answer.halfway else data)
    if answer.halfway == "hang":
        while await stream.receive_some():
            pass
    return not answer.halfway
