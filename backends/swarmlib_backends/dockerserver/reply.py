"""The response to one request, and the reply channel that writes it, as the row's kind says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import trio

from swarmlib import Json, Message, NotFound, Reply, SwarmError, Unavailable, Unsupported, Verb

from ..dockerapi import http1
from ..dockerapi.http1 import Head, Headers
from ..dockerapi.rows import Kind, Row
from ..dockerapi.status import came_in_band, code_headers, error_body, error_headers, in_band, status_of

_JSON: Final = (b"Content-Type", b"application/json")
_RAW: Final = (b"Content-Type", b"application/vnd.docker.raw-stream")
_CHUNKED: Final = (b"Transfer-Encoding", b"chunked")
_UNPRINTABLE: Final = bytes(byte if 32 <= byte < 127 else 32 for byte in range(256))
_OWN_HEADERS: Final[Headers] = [
    (b"Api-Version", b"1.41"),
    (b"Docker-Experimental", b"false"),
    (b"Ostype", b"linux"),
    (b"Server", b"swarmlib"),
]


class ClientConnection(Protocol):
    """What an exchange needs of its connection."""

    stream: trio.abc.HalfCloseableStream
    nursery: trio.Nursery

    def abort(self) -> None:
        """Cut the connection."""

    def idle(self) -> None:
        """Nothing is under way any more."""


def error_response(error: SwarmError, *, keep_alive: bool, bodyless: bool = False) -> bytes:
    """The response that says an error, in Docker's own form."""
    headers = error_headers(error) or [*_OWN_HEADERS, _JSON, *code_headers(error)]
    return _response(status_of(error), headers, error_body(error), keep_alive=keep_alive, bodyless=bodyless)


def _response(status: int, headers: Headers, body: bytes, *, keep_alive: bool, bodyless: bool = False) -> bytes:
    ending: Headers = [] if keep_alive else [(b"Connection", b"close")]
    if bodyless or status in (204, 304):
        return http1.response_head(status, [*headers, *ending])
    return http1.response_head(status, [*headers, (b"Content-Length", b"%d" % len(body)), *ending]) + body


class Exchange:
    """One request and its response, as the connection sees it."""

    def __init__(self, connection: ClientConnection, head: Head, row: Row) -> None:
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
        return self.conversation or self.upload is not None

    @property
    def conversation(self) -> bool:
        """Whether the connection becomes a stream to the chain, if the chain agrees."""
        return self.row.kind in (Kind.HIJACK, Kind.WHOLE)

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `Reply.on_gone`."""
        if self.gone:
            callback()
        else:
            self._callbacks.append(callback)

    def cancel(self) -> None:
        """The client is through with this: cancel what still works for it. Twice is harmless."""
        self.gone = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    async def write_chunk(self, data: bytes, *, before: bytes = b"") -> None:
        """Write a piece of a stream; b"" is its end."""
        if self.head.chunks:
            data = http1.chunk(data) if data else http1.LAST_CHUNK
        await self.write(before + data if before else data)

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
        if self.tunnel is None:
            self.connection.idle()
        if not self.keep_alive and not self.waited_for:
            self.connection.abort()  # whole, but the connection's task is waiting for a request that won't come


class HttpReply(Reply):
    """The reply channel of one request: it writes the response, as the row's kind says."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange
        self._row = exchange.row
        self._value: Message | None = None
        self._head_out = False

    @property
    def gone(self) -> bool:
        """See `Reply.gone`."""
        return self._exchange.gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `Reply.on_gone`."""
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
        head = b"" if self._head_out else self._stream_head(reply, _JSON)
        await self._exchange.write_chunk(line if line.endswith(b"\n") else line + b"\n", before=head)

    async def _ack(self, reply: Message) -> None:
        kind = self._row.kind
        if kind is Kind.VALUE:
            await self._whole(reply)
        elif kind is Kind.STREAM and reply.att is not None:
            await self._exchange.write(self._stream_head(reply, _RAW))
            self._exchange.connection.nursery.start_soon(self._pump, reply.att)
        elif kind is Kind.HIJACK:
            await self._hijack(reply)
        elif kind is Kind.WHOLE:
            self._exchange.tunnel = _both_ways(reply)
            self._exchange.finish()
        elif not self._head_out:
            await self._exchange.write(self._stream_head(reply, _JSON))

    async def _whole(self, ack: Message) -> None:
        reply = self._value or ack
        body = reply.value.raw if isinstance(reply.value, Json) else b""
        status = reply.args.get("status") or ack.args.get("status") or self._status(body)
        headers = reply.args.get("headers") or ack.args.get("headers")
        if headers is None:
            headers = [*_OWN_HEADERS, _JSON] if body else _OWN_HEADERS
        if missing := reply.args.get("warnings"):
            headers = [*headers, *(_warning(text) for text in missing)]
        exchange = self._exchange
        bodyless = exchange.head.method == "HEAD"
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
        headers = reply.args.get("headers") or [_RAW]
        if exchange.head.upgrade:
            protocol = exchange.head.get(b"upgrade") or b"tcp"
            upgrade: Headers = [(b"Connection", b"Upgrade"), (b"Upgrade", protocol)]
            await exchange.write(http1.response_head(101, [*headers, *upgrade]))
        else:
            await exchange.write(http1.response_head(200, headers))
        exchange.tunnel = _both_ways(reply)
        exchange.finish()

    def _stream_head(self, reply: Message, content_type: tuple[bytes, bytes]) -> bytes:
        self._head_out = True
        headers = reply.args.get("headers") or [*_OWN_HEADERS, content_type]
        ending: Headers = [] if self._exchange.keep_alive else [(b"Connection", b"close")]
        framing: Headers = [_CHUNKED] if self._exchange.head.chunks else []
        return http1.response_head(int(reply.args.get("status", self._row.status)), [*headers, *framing, *ending])

    async def _pump(self, att: trio.abc.ReceiveStream) -> None:
        exchange = self._exchange
        async with att:
            try:
                while data := await att.receive_some(http1.READ_SIZE):
                    await exchange.write_chunk(bytes(data))
                await exchange.write_chunk(b"")
            except trio.BrokenResourceError:
                exchange.connection.abort()  # the engine's end broke, or the client's: no honest end can be written
        exchange.finish()

    async def _error(self, error: SwarmError) -> None:
        exchange = self._exchange
        if exchange.done.is_set():
            return  # the response is complete; whatever broke after it is no business of this client's
        if self._row.kind is Kind.WHOLE and isinstance(error, Unsupported):
            error = NotFound("page not found")  # as an engine says it of what it doesn't have
        progress = self._row.kind is Kind.PROGRESS
        if progress and not self._head_out and came_in_band(error):
            await exchange.write(self._stream_head(Message(Verb.SET), _JSON))
        if not self._head_out:
            keep_alive = exchange.keep_alive and exchange.upload is None
            bodyless = exchange.head.method == "HEAD"
            await exchange.write(error_response(error, keep_alive=keep_alive, bodyless=bodyless))
            exchange.keep_alive = keep_alive
            exchange.finish()
            exchange.cancel()  # a stage that failed may have left work in those behind it
        elif progress:
            await exchange.write_chunk(in_band(error))
        else:
            exchange.cancel()  # or the end of the replies would be written as the end of the body
            exchange.connection.abort()

    async def _finish(self) -> None:
        exchange = self._exchange
        if self._head_out and self._row.kind in (Kind.WATCH, Kind.PROGRESS) and not exchange.gone:
            await exchange.write_chunk(b"")
            exchange.finish()

    def __del__(self) -> None:
        exchange: Exchange | None = getattr(self, "_exchange", None)
        if exchange is not None and not self.answered and not exchange.gone:
            exchange.connection.nursery.start_soon(_dropped, exchange)


def _warning(text: str) -> tuple[bytes, bytes]:
    """Code 199: for a person to read (RFC 7234, 5.5)."""
    printable = text.encode("ascii", "replace").translate(_UNPRINTABLE)
    return b"Warning", b'199 swarmlib "%s"' % printable.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _both_ways(reply: Message) -> trio.abc.HalfCloseableStream:
    if not isinstance(reply.att, trio.abc.HalfCloseableStream):
        raise TypeError("connect must give a stream that can be half-closed")
    return reply.att


async def _dropped(exchange: Exchange) -> None:
    error = Unavailable("a stage dropped the request without an answer")
    await exchange.write(error_response(error, keep_alive=False))
    exchange.keep_alive = False
    exchange.finish()
    exchange.connection.abort()
