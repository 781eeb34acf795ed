"""`dockerserver`: a Docker API server at the head of a chain. HTTP requests become messages, by the routing table.

Each connection has one task that reads requests. A reply channel writes its response to the connection itself, in
the task of whichever stage replies: there is no queue between them. While a call is under way the connection's task
goes on reading, so a client that goes away is seen at once, and the call cancelled in every stage.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import trio

from swarmlib import (
    Denied,
    Invalid,
    Json,
    Message,
    Reply,
    Sender,
    Source,
    SwarmError,
    TimedOut,
    Unavailable,
    Verb,
    argument,
    dispatch,
    option,
)

from .dockerapi import http1, table
from .dockerapi.http1 import Head, Headers, Incoming
from .dockerapi.rows import Kind, Row
from .dockerapi.sockets import lean
from .dockerapi.status import error_body, in_band, status_of

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes of a JSON body, at most."""
HEAD_SECONDS: Final = 20.0
"""How long a client may take over one head once it has begun."""
_JSON: Final = (b"Content-Type", b"application/json")
_RAW: Final = (b"Content-Type", b"application/vnd.docker.raw-stream")
_CHUNKED: Final = (b"Transfer-Encoding", b"chunked")
_OWN_HEADERS: Final[Headers] = [
    (b"Api-Version", b"1.41"),
    (b"Docker-Experimental", b"false"),
    (b"Ostype", b"linux"),
    (b"Server", b"swarmlib"),
]
_BACKLOG: Final = 1024


@dataclass
class DockerServer(Source):
    """A Docker API endpoint for the chain that follows it."""

    addresses: list[str] = argument("where to listen: tcp://HOST:PORT or unix:///PATH")
    insecure: bool = option("listen where other machines reach it, though anyone there gets root here", default=False)
    group: str = option("let this group use the unix sockets too (mode 0660)", default="")

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Bind every address, then serve until cancelled."""
        async with self._listeners() as listeners:
            task_status.started()
            await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            await _Connection(lean(stream), self.next).serve()

    @asynccontextmanager
    async def _listeners(self) -> AsyncGenerator[list[trio.SocketListener]]:
        listeners: list[trio.SocketListener] = []
        try:
            for address in self.addresses:
                listeners += await self._listen(address)
            yield listeners
        finally:
            for listener in listeners:
                await trio.aclose_forcefully(listener)
            for address in self.addresses:
                if address.startswith("unix://"):
                    _remove(urlsplit(address).path)

    async def _listen(self, address: str) -> list[trio.SocketListener]:
        parts = urlsplit(address)
        try:
            if parts.scheme == "tcp":
                return await self._listen_tcp(address, parts)
            if parts.scheme == "unix" and parts.path:
                return [await self._listen_unix(parts.path)]
        except OSError as exc:
            raise Unavailable(f"can't listen on {address}: {exc.strerror or exc}", backend=self.name) from exc
        raise Invalid(f"can't listen on {address}: it should be tcp://HOST:PORT or unix:///PATH", backend=self.name)

    async def _listen_tcp(self, address: str, parts: SplitResult) -> list[trio.SocketListener]:
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError as exc:
            raise Invalid(f"can't listen on {address}: {exc}", backend=self.name) from exc
        if port is None or not host:
            raise Invalid(f"can't listen on {address}: it needs a host and a port", backend=self.name)
        if not self.insecure and not _is_loopback(host):
            raise Denied(
                f"refused to listen on {address}: other machines reach it, and whoever does is root here; "
                "listen on 127.0.0.1 or a unix socket, or say --insecure",
                backend=self.name,
            )
        return await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)

    async def _listen_unix(self, path: str) -> trio.SocketListener:
        await _remove_stale(path)
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # from its first moment nobody else can connect
        try:
            await sock.bind(path)
        finally:
            os.umask(before)
        if self.group:
            _give_to_group(path, self.group)
        sock.listen(_BACKLOG)
        return trio.SocketListener(sock)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _remove_stale(path: str) -> None:
    """Remove a socket that a server which is gone left behind; one that still answers makes bind fail, as it should."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        (await trio.open_unix_socket(path)).socket.close()
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)


def _give_to_group(path: str, group: str) -> None:
    import grp

    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError as exc:
        raise Invalid(f"there is no group {group!r}") from exc
    os.chmod(path, 0o660)


class _Connection:
    """One client's connection: requests one after another, each an exchange."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, next: Sender) -> None:
        self.stream = stream
        self._next = next
        self._incoming = Incoming(stream, requests=True)
        self._current: _Exchange | None = None
        self._scope = trio.CancelScope()

    async def serve(self) -> None:
        """Serve requests until either side ends it."""
        try:
            with self._scope:
                async with trio.open_nursery() as self.nursery:
                    await self._requests()
                    self.nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away in the middle of a response: the call was cancelled, nobody is left to tell
        finally:
            if self._current is not None:
                self._current.client_gone()

    def abort(self) -> None:
        """Cut the connection: a response is broken off, and that is how the client learns of it."""
        self._scope.cancel()

    async def _requests(self) -> None:
        while True:
            try:
                head = await self._next_head()
                if head is None:
                    return
                exchange = await self._begin(head)
            except SwarmError as exc:
                await self._previous_done()
                await self.stream.send_all(_error_response(exc, keep_alive=False))
                return
            if exchange is not None and not await self._conversation_goes_on(exchange):
                return

    async def _next_head(self) -> Head | None:
        incoming = self._incoming
        while not incoming.buffered_head() and not incoming.mid_head:
            if not await self._read():
                return None
        if not incoming.buffered_head():
            with trio.move_on_after(HEAD_SECONDS) as patience:
                while not incoming.buffered_head() and await self._read():
                    pass
            if patience.cancelled_caught:
                raise TimedOut(f"the head was not complete within {HEAD_SECONDS:.0f} s", details={"status": 408})
        head = await incoming.next_head()
        await self._previous_done()
        return head

    async def _read(self) -> bool:
        try:
            return await self._incoming.read()
        except Unavailable:
            return False

    async def _previous_done(self) -> None:
        if self._current is not None:
            await self._current.done.wait()
            self._current = None

    async def _begin(self, head: Head) -> _Exchange | None:
        try:
            found = table.route(head.method, head.target)
        except SwarmError as exc:
            await self._incoming.body(MAX_BODY)
            self._incoming.stay()
            response = _error_response(exc, keep_alive=head.keep_alive, bodyless=head.method == "HEAD")
            await self.stream.send_all(response)
            return None
        exchange = _Exchange(self, head, found.row)
        args = _with_headers(found.args, head.headers, found.row)
        if (head.get(b"expect") or b"").lower() == b"100-continue":
            await self.stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        ret = _HttpReply(exchange)
        message = Message(found.row.verb, found.path, args, ret=ret)
        if found.row.upload and head.upgrade:
            raise Invalid("an upload can't ask for an upgrade")
        if found.row.upload:
            message.att = exchange.upload = http1.BodyStream(self._incoming)
        elif body := await self._incoming.body(MAX_BODY):
            message.value = Json(body)
        if found.row.kind is not Kind.HIJACK:
            self._incoming.stay()
        self._current = exchange
        await dispatch(self._next, message, ret)
        return exchange

    async def _conversation_goes_on(self, exchange: _Exchange) -> bool:
        if not exchange.waited_for:
            return True
        await exchange.done.wait()
        if exchange.tunnel is not None:
            await self._tunnel(exchange.tunnel)
            return False
        self._incoming.stay()
        return exchange.keep_alive

    async def _tunnel(self, engine: trio.abc.HalfCloseableStream) -> None:
        client = http1.RawStream(self.stream, self._incoming.take_over())

        async def upstream() -> None:
            try:
                await http1.copy(client, engine)
                await engine.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the workload no longer reads: what it has still to say goes on

        async with engine, trio.open_nursery() as nursery:
            nursery.start_soon(upstream)
            await http1.copy(engine, client)
            nursery.cancel_scope.cancel()


def _with_headers(args: Any, headers: Headers, row: Row) -> dict[str, Any]:
    found = dict(args)
    websocket = row.name == "ContainerAttachWebsocket"
    for name, value in headers:
        lower = name.lower().decode("latin-1")
        kept = lower in table.KEPT_HEADERS or (websocket and lower in table.WEBSOCKET_HEADERS)
        if kept or (lower == "content-type" and row.upload):
            found[f":{lower}"] = value.decode("latin-1")
    return found


def _error_response(error: SwarmError, *, keep_alive: bool, bodyless: bool = False) -> bytes:
    headers = [*_OWN_HEADERS, _JSON]
    return _response(status_of(error), headers, error_body(error), keep_alive=keep_alive, bodyless=bodyless)


def _response(status: int, headers: Headers, body: bytes, *, keep_alive: bool, bodyless: bool = False) -> bytes:
    ending: Headers = [] if keep_alive else [(b"Connection", b"close")]
    if bodyless or status in (204, 304):
        return http1.response_head(status, [*headers, *ending])
    return http1.response_head(status, [*headers, (b"Content-Length", b"%d" % len(body)), *ending]) + body


class _Exchange:
    """One request and its response, as the connection sees it."""

    def __init__(self, connection: _Connection, head: Head, row: Row) -> None:
        self.connection = connection
        self.row = row
        self.head = head
        self.keep_alive = head.keep_alive
        self.upload: http1.BodyStream | None = None
        self.tunnel: trio.abc.HalfCloseableStream | None = None
        self.done = trio.Event()
        self.gone = False
        self._callbacks: list[Callable[[], object]] = []

    @property
    def waited_for(self) -> bool:
        """Whether the connection's task reads no more until this is done: what comes belongs to this exchange."""
        return self.row.kind is Kind.HIJACK or self.upload is not None

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `Reply.on_gone`."""
        if self.gone:
            callback()
        else:
            self._callbacks.append(callback)

    def client_gone(self) -> None:
        """Cancel what works for this exchange, if anything still does."""
        if not self.done.is_set():
            self.gone = True
            for callback in self._callbacks:
                callback()

    async def write(self, data: bytes) -> None:
        """Write to the client; a response that is broken off, by an error or a cancellation, cuts the connection."""
        whole = False
        try:
            await self.connection.stream.send_all(data)
            whole = True
        finally:
            if not whole:
                self.connection.abort()

    def finish(self) -> None:
        """The response is complete."""
        if self.upload is not None and not self.upload.complete:
            self.keep_alive = False  # the rest of the body still stands in the way of the next request
        self.done.set()
        if not self.keep_alive and not self.waited_for:
            self.connection.abort()  # whole, but the connection's task is waiting for a request that won't come


class _HttpReply(Reply):
    """The reply channel of one request: it writes the response, as the row's kind says."""

    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self._exchange = exchange
        self._row = exchange.row
        self._value: Message | None = None
        self._head_out = False

    @property
    def gone(self) -> bool:
        return self._exchange.gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        self._exchange.on_gone(callback)

    async def _deliver(self, reply: Message) -> None:
        if self.gone:
            raise trio.BrokenResourceError("the client went away")
        if reply.verb is Verb.ERROR:
            await self._error(reply.error)
        elif reply.verb is Verb.ACK:
            await self._ack(reply)
        elif reply.verb is Verb.SET:
            await self._set(reply)
        # A `log` line has no place in an HTTP response: the API has streams of their own for it.

    async def _set(self, reply: Message) -> None:
        if self._row.kind is Kind.VALUE:
            self._value = reply
            return
        line = reply.value.raw if isinstance(reply.value, Json) else b"null"
        data = http1.chunk(line if line.endswith(b"\n") else line + b"\n")
        await self._exchange.write(data if self._head_out else self._stream_head(reply, _JSON) + data)

    async def _ack(self, reply: Message) -> None:
        kind = self._row.kind
        if kind is Kind.VALUE:
            await self._whole(reply)
        elif kind is Kind.STREAM and reply.att is not None:
            await self._exchange.write(self._stream_head(reply, _RAW))
            self._exchange.connection.nursery.start_soon(self._pump, reply.att)
        elif kind is Kind.HIJACK:
            await self._hijack(reply)
        elif not self._head_out:
            await self._exchange.write(self._stream_head(reply, _JSON))

    async def _whole(self, ack: Message) -> None:
        reply = self._value or ack
        body = reply.value.raw if isinstance(reply.value, Json) else b""
        status = reply.args.get("status") or ack.args.get("status") or self._status(body)
        headers = reply.args.get("headers") or ack.args.get("headers")
        if headers is None:
            headers = [*_OWN_HEADERS, _JSON] if body else _OWN_HEADERS
        exchange = self._exchange
        bodyless = self._row.method == "HEAD"
        keep_alive = exchange.keep_alive
        await exchange.write(_response(status, headers, body, keep_alive=keep_alive, bodyless=bodyless))
        exchange.finish()

    def _status(self, body: bytes) -> int:
        return 200 if body and self._row.status == 204 else self._row.status

    async def _hijack(self, reply: Message) -> None:
        exchange = self._exchange
        if reply.att is None:
            await self._whole(reply)
            return
        if not isinstance(reply.att, trio.abc.HalfCloseableStream):
            raise TypeError("connect must give a stream that can be half-closed")
        headers = reply.args.get("headers") or [_RAW]
        if exchange.head.upgrade:
            protocol = exchange.head.get(b"upgrade") or b"tcp"
            upgrade: Headers = [(b"Connection", b"Upgrade"), (b"Upgrade", protocol)]
            await exchange.write(http1.response_head(101, [*headers, *upgrade]))
        else:
            await exchange.write(http1.response_head(200, headers))
        exchange.tunnel = reply.att
        exchange.finish()

    def _stream_head(self, reply: Message, content_type: tuple[bytes, bytes]) -> bytes:
        self._head_out = True
        headers = reply.args.get("headers") or [*_OWN_HEADERS, content_type]
        ending: Headers = [] if self._exchange.keep_alive else [(b"Connection", b"close")]
        return http1.response_head(int(reply.args.get("status", self._row.status)), [*headers, _CHUNKED, *ending])

    async def _pump(self, att: trio.abc.ReceiveStream) -> None:
        exchange = self._exchange
        async with att:
            try:
                while data := await att.receive_some(http1.READ_SIZE):
                    await exchange.write(http1.chunk(bytes(data)))
                await exchange.write(http1.LAST_CHUNK)
            except trio.BrokenResourceError:
                exchange.connection.abort()  # the engine's end broke, or the client's: no honest end can be written
        exchange.finish()

    async def _error(self, error: SwarmError) -> None:
        exchange = self._exchange
        if not self._head_out:
            keep_alive = exchange.keep_alive and exchange.upload is None
            bodyless = self._row.method == "HEAD"
            await exchange.write(_error_response(error, keep_alive=keep_alive, bodyless=bodyless))
            exchange.keep_alive = keep_alive
            exchange.finish()
        elif self._row.kind is Kind.PROGRESS:
            await exchange.write(http1.chunk(in_band(error)))
        else:
            exchange.connection.abort()

    async def _finish(self) -> None:
        exchange = self._exchange
        if self._head_out and self._row.kind in (Kind.WATCH, Kind.PROGRESS) and not exchange.gone:
            await exchange.write(http1.LAST_CHUNK)
            exchange.finish()

    def __del__(self) -> None:
        exchange: _Exchange | None = getattr(self, "_exchange", None)
        if exchange is not None and not self.answered and not exchange.gone:
            exchange.connection.nursery.start_soon(_dropped, exchange)


async def _dropped(exchange: _Exchange) -> None:
    error = Unavailable("a stage dropped the request without an answer")
    await exchange.write(_error_response(error, keep_alive=False))
    exchange.keep_alive = False
    exchange.finish()
    exchange.connection.abort()
