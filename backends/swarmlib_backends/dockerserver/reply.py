"""The reply channel of one request: it writes the response, according to the row's kind."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import trio

from swarmlib import (
    Ack,
    BadAnswer,
    Error,
    NotFound,
    Reply,
    Set,
    SwarmError,
    Unsupported,
    discard,
)
from swarmlib.pieces import relay

from ..dockerapi.rows import Kind
from ..dockerapi.status import came_in_band
from ..http.headers import FixedHeaders, Headers
from ..http.outgoing import response_head, whole_response
from .exchange import ClientExchange
from .fields import JSON_TYPE, OWN_HEADERS, RAW_TYPE, SWITCHING, error_in, headers_in, line_in, status_in, value_in

_PIECES: Final = (Kind.WATCH, Kind.PROGRESS)
_log = logging.getLogger(__name__)


def last_response(error: SwarmError) -> bytes:
    """Return the last response on a connection, for an error. Raise BadAnswer if its details do not make one."""
    return whole_response(*error_in(error), keep_alive=False)


class HttpReply(ClientExchange):
    """An exchange that makes the response of the replies. A malformed one, from whatever source, is answered 502 and
    logged.
    """

    _set_before: Set | None = None

    async def _deliver(self, reply: Reply) -> None:
        if self.gone:
            raise trio.BrokenResourceError("the client disconnected")
        try:
            if isinstance(reply, Error):
                await self._error(reply.error)
            elif isinstance(reply, Set):
                await self._set(reply)
            elif isinstance(reply, Ack):
                await self._ack(reply)
            # A `log` line has no place in an HTTP response: the API has separate streams for logs.
        except BadAnswer as exc:
            await self._bad_answer(reply, exc)

    async def _set(self, reply: Set) -> None:
        if self.row.kind in _PIECES:
            line = value_in(reply.value).raw
            head = b"" if self.head_out else self._stream_head(reply.details, JSON_TYPE)
            await self.write_chunk(line if line.endswith(b"\n") else line + b"\n", before=head)
        elif self._set_before is not None:
            raise BadAnswer("a reply has two values: expected one for this operation")
        else:
            self._set_before = reply

    async def _ack(self, reply: Ack) -> None:
        if self.row.kind in _PIECES:
            _without_stream(reply)
            if not self.head_out:
                await self.write(self._stream_head(reply.details, JSON_TYPE))
        elif reply.stream is None:
            await self._whole(reply)
        elif self.row.kind is Kind.STREAM or (self.row.kind is Kind.WHOLE and reply.details.get("status") != SWITCHING):
            await self._one_way(reply, reply.stream)
        elif self.row.kind is Kind.VALUE:
            _without_stream(reply)
        else:
            await self._both_ways(reply)

    async def _whole(self, ack: Ack) -> None:
        reply = self._set_before or ack
        details = {**ack.details, **reply.details} if reply is not ack else ack.details
        body = b"" if reply is ack and reply.value is None else value_in(reply.value).raw
        usual = 200 if body and self.row.status == 204 else self.row.status
        headers = headers_in(details, _usual(JSON_TYPE if body else None), length=self.bodyless)
        await self.write_whole(self._status(details, usual), headers, body)

    def _status(self, details: Mapping[str, Any], usual: int) -> int:
        if "status" not in details:
            return usual
        status = status_in(details, usual)
        if status == SWITCHING:
            raise BadAnswer("a reply switches protocols (101), although the request did not ask for it")
        return status

    def _stream_head(self, details: Mapping[str, Any], content_type: tuple[bytes, bytes]) -> bytes:
        headers = headers_in(details, _usual(content_type), length=self.bodyless)
        return self.stream_head(self._status(details, self.row.status), headers)

    async def _one_way(self, reply: Ack, stream: trio.abc.ReceiveStream) -> None:
        head = self._stream_head(reply.details, RAW_TYPE)
        try:
            await self.write(head)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        self.pumped = trio.Event()
        self.nursery.start_soon(_pump, self, stream, self.pumped)

    async def _both_ways(self, reply: Ack) -> None:
        far = reply.stream
        if not isinstance(far, trio.abc.HalfCloseableStream):
            raise BadAnswer("a reply's stream does not go both ways")
        if self.upload is not None and not self.upload.complete:
            raise BadAnswer("a reply switches protocols before the request's body has been read")
        if reply.details.get("status") == SWITCHING and not self.upgrade:
            raise BadAnswer("a reply switches protocols (101), although the request did not ask for it")
        headers = headers_in(reply.details, (RAW_TYPE,))
        head = _switching(self, headers) if self.upgrade else response_head(200, headers)
        self.head_out = True
        try:
            await self.write(head)
        except BaseException:
            await trio.aclose_forcefully(far)
            raise
        self.tunnel = far
        self.finish()

    async def _error(self, error: SwarmError) -> None:
        if self.is_done:
            return  # the response is complete: a later failure does not concern this client
        if self.row.kind is Kind.WHOLE and isinstance(error, Unsupported):
            error = NotFound("page not found")  # as an engine says of paths that it doesn't have
        progress = self.row.kind is Kind.PROGRESS
        if progress and not self.head_out and came_in_band(error):
            line = line_in(error)
            await self.write_chunk(line, before=self._stream_head({}, JSON_TYPE))
        elif not self.head_out:
            await self.refuse(error)
            self.leave()  # a stage that failed may have left work in the stages behind it
        elif progress:
            await self.write_chunk(line_in(error))
        else:
            self.cut()  # or the end of the replies would be written as the end of the body

    async def _bad_answer(self, reply: Reply, exc: BadAnswer) -> None:
        _log.warning("dockerserver: invalid answer to %s %s: %s", self.head.method, ascii(self.head.target), exc)
        await discard(reply)
        if self.head_out:
            self.client.abort()
        else:
            await self.write_whole(*error_in(exc))
        self.leave()

    async def _finish(self) -> None:
        if self.head_out and self.row.kind in _PIECES and not self.gone and not self.is_done:
            await self.write_chunk(b"")
            self.finish()


async def _pump(exchange: ClientExchange, stream: trio.abc.ReceiveStream, pumped: trio.Event) -> None:
    """Write a stream as the response's body, and close it."""
    async with stream:
        with _told(pumped), trio.CancelScope() as scope:
            exchange.on_gone(scope.cancel)
            try:
                if exchange.has_body:
                    await relay(stream, exchange.body())
                await exchange.write_chunk(b"")
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                exchange.client.abort()  # a connection broke: the body must not be ended as if it were complete
            exchange.finish()


@contextmanager
def _told(event: trio.Event) -> Generator[None]:
    try:
        yield
    finally:
        event.set()


@lru_cache
def _usual(content_type: tuple[bytes, bytes] | None) -> FixedHeaders:
    return OWN_HEADERS if content_type is None else (*OWN_HEADERS, content_type)


def _without_stream(reply: Ack) -> None:
    if reply.stream is not None:
        raise BadAnswer("a reply has a stream: expected a value for this operation")


def _switching(exchange: ClientExchange, headers: FixedHeaders) -> bytes:
    upgrade: Headers = [(b"Connection", b"Upgrade"), (b"Upgrade", exchange.protocol.encode("latin-1"))]
    return response_head(SWITCHING, [*headers, *upgrade])
