"""One request to an engine and its response, which is relayed according to the row's kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import trio

from swarmlib import Ack, Invalid, Json, Request, Set, Verb
from swarmlib.errors import ungrouped
from swarmlib.pieces import relay

from ..calls import forward
from ..dockerapi.bodies import BodyStream
from ..dockerapi.rows import Kind, Row
from ..dockerapi.status import error_in, error_of
from ..http.body_sender import BodySender
from ..http.head import Head
from ..http.outgoing import LAST_CHUNK
from ..stream_wrappers import Resumed, StreamWrapper
from .engine import Connection, Engine
from .lines import Lines
from .request import Whole, body_of, head_of, upgrade_of

_MADE: Final = (Verb.SPAWN, Verb.CONNECT)
"""The verbs whose value comes with the `ack`."""
_VALUE, _WHOLE = Kind.VALUE, Kind.WHOLE
MAX_VALUE: Final = 256 * 1024 * 1024
"""Bytes of one JSON value from an engine, at most."""
MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of one value in a stream of values, at most."""
INVITATION_SECONDS: Final = 1.0
"""How long to wait until the engine asks for an upload, which it does when it begins to read it; it may also refuse it.
After that the upload is sent unasked, as RFC 9110 (10.1.1) says: the engine, or a proxy, may not know how to ask."""
_SWITCHED: Final = 101


class EngineExchange:
    """One request and its response on a connection, which `run` gives back to the engine or forwards with the reply.

    name: the backend's name, for the errors of the engine.
    """

    def __init__(self, engine: Engine, connection: Connection, name: str, row: Row, request: Request) -> None:
        self._engine = engine
        self._host = engine.endpoint.host
        self._connection = connection
        self._stream = connection.stream
        self._responses = connection.responses
        self._name = name
        self._row = row
        self._request = request
        self._reply = request.reply
        self._forwarded = False
        self._invited: trio.Event | None = None
        """Set when the engine asks for the upload, if there is one."""

    async def run(self) -> None:
        """Send the request and relay the response. The connection is closed unless both were completed.

        Raises:
            SwarmError: the request is invalid, the engine answers with an error, or the answer is malformed or missing;
                `NoAnswer` if the connection ended before any byte of the response.
            trio.BrokenResourceError: the caller disconnected.
        """
        try:
            await (self._whole() if self._row.kind is _WHOLE else self._by_row())
        finally:
            if not self._forwarded:
                await self._engine.give_back(self._connection)

    async def _by_row(self) -> None:
        row, request = self._row, self._request
        if request.upload is None:
            body = body_of(row, request)
            head = head_of(row, request, len(body), self._host)
            self._connection.sent = await self._send(self._stream.send_all(head + body))
            await self._relay()
        else:
            await self._with_upload(request.upload, head_of(row, request, None, self._host), self._relay)

    async def _with_upload(
        self, upload: trio.abc.ReceiveStream, head: bytes, relay: Callable[[], Awaitable[None]]
    ) -> None:
        """Send the request while its response is relayed, and until then at most."""
        async with upload:
            self._invited = trio.Event()
            await self._send(self._stream.send_all(head))
            with ungrouped():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._upload, upload, self._invited)
                    await relay()
                    nursery.cancel_scope.cancel()

    async def _send(self, sending: Awaitable[None]) -> bool:
        """Send something; return whether the engine took it.

        An engine that stops reading may have said why: the response decides. A connection that was forwarded with the
        response may already be closed by its new owner.
        """
        try:
            await sending
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def _send_body(self, sending: Awaitable[None]) -> None:
        if not await self._send(sending):
            raise _Refused

    def _note_invitation(self) -> None:
        if self._invited is not None:
            self._invited.set()

    async def _upload(self, body: trio.abc.ReceiveStream, invited: trio.Event) -> None:
        with trio.move_on_after(INVITATION_SECONDS):
            await invited.wait()
        try:
            await relay(body, BodySender(self._stream, self._send_body))
        except _Refused:
            return
        except trio.BrokenResourceError as exc:
            raise Invalid(f"the upload broke off before its end: {exc}") from exc
        self._connection.sent = await self._send(self._stream.send_all(LAST_CHUNK))

    async def _relay(self) -> None:
        row = self._row
        head = await self._responses.head(row.method, upgrade=upgrade_of(row), invited=self._note_invitation)
        if head.status >= 400:
            body = await self._responses.body(MAX_VALUE)
            raise error_of(head.status, head.forwarded, body, self._name)
        kind = row.kind
        if kind is _VALUE:
            await self._value(head)
        elif kind is Kind.WATCH:
            await self._watch(head)
        elif kind is Kind.PROGRESS:
            await self._progress(head)
        elif kind is Kind.STREAM:
            await self._forward(self._body(), self._details(head))
        else:
            await self._conversation(head)

    def _details(self, head: Head) -> dict[str, Any]:
        headers = head.forwarded
        if self._row.method == "HEAD" and (length := head.get(b"content-length")) is not None:
            headers = (*headers, (b"Content-Length", length))  # of the body that isn't there
        details: dict[str, Any] = {"headers": headers}
        if head.status not in (self._row.status, _SWITCHED):
            details["status"] = head.status
        return details

    async def _value(self, head: Head) -> None:
        body = await self._responses.body(MAX_VALUE)
        value = self._json(body) if body else None
        if value is None or self._request.verb in _MADE:
            await self._reply.send(Ack(value, self._details(head)))
        else:
            await self._reply.send(Set(value, self._details(head)))
            await self._reply.send(Ack())

    def _json(self, raw: bytes) -> Json:
        return Json(raw, self._responses.wrong)

    async def _watch(self, head: Head) -> None:
        await self._reply.ack(None, details=self._details(head))
        async with aclosing(self._lines()) as lines:
            async for line in lines:
                await self._reply.set(line)

    async def _progress(self, head: Head) -> None:
        args = self._details(head)
        async with aclosing(self._lines()) as lines:
            async for line in lines:
                error = error_in(line, self._name)
                if error is not None:
                    raise error
                await self._reply.set(line, details=args)
                args = {}
        await self._reply.ack(details=args)

    async def _lines(self) -> AsyncGenerator[Json]:
        lines = Lines()
        while data := await self._responses.next_chunk():
            for line in lines.feed(data):
                yield self._json(line + b"\n")
            if lines.pending > MAX_LINE:
                raise self._responses.wrong(f"a value in its answer is longer than {MAX_LINE} bytes")
        for line in lines.end():
            yield self._json(line)

    async def _conversation(self, head: Head) -> None:
        """Relay a conversation: after a 101, bytes go both ways. Any other response ends it, and no bytes are sent."""
        if head.status == _SWITCHED:
            await self._forward(self._raw(), self._details(head))
        elif head.framed:
            await self._value(head)
        else:
            await self._forward(NotSwitched(self._body()), self._details(head))

    def _raw(self) -> Resumed:
        return Resumed(self._stream, self._responses.take_over())

    def _body(self) -> BodyStream:
        async def give_back(_: BodyStream) -> None:
            await self._engine.give_back(self._connection)

        return BodyStream(self._responses, on_close=give_back)

    async def _forward(self, stream: trio.abc.ReceiveStream, details: dict[str, Any]) -> None:
        self._forwarded = True
        self._engine.deadlines.end(self._connection)  # from here on, its owner decides how long it lasts
        await forward(Ack(None, details, stream), self._reply)

    # Requests that have no row.

    async def _whole(self) -> None:
        upload = self._request.upload
        whole = Whole.of(self._request)
        head = whole.head(self._host, upload=upload is not None)

        async def relay() -> None:
            closed = await self._answer_whole(whole)
            if upload is not None:
                await closed.wait()  # an engine may answer while it still reads

        if upload is None:
            await self._send(self._stream.send_all(head))
            await relay()
        else:
            await self._with_upload(upload, head, relay)

    async def _answer_whole(self, whole: Whole) -> trio.Event:
        """Relay the only response on this connection; return the event that is set when the connection is closed."""
        head = await self._responses.head(whole.method, upgrade=whole.upgrade, invited=self._note_invitation)
        args: dict[str, Any] = {"status": head.status, "headers": head.forwarded}
        closed = trio.Event()
        if head.status == _SWITCHED:
            args["upgrade"] = whole.upgrade
            await self._forward(self._raw(), args)
        else:
            await self._forward(self._last_body(closed), args)
        return closed

    def _last_body(self, closed: trio.Event) -> BodyStream:
        async def close(_: BodyStream) -> None:
            closed.set()
            await self._connection.close()

        return BodyStream(self._responses, on_close=close)


class _Refused(Exception):
    """The engine does not take the upload."""


class NotSwitched(StreamWrapper):
    """The response of an engine that was asked for a conversation and did not switch protocols: it takes no bytes."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Raise trio.BrokenResourceError: the engine takes no bytes."""
        raise trio.BrokenResourceError("the engine did not switch protocols, so no bytes can be sent")

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once: `send_all` does not block."""
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """Do nothing: the engine expects nothing."""
        await trio.lowlevel.checkpoint()
