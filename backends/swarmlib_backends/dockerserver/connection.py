"""One client's connection: requests one after another, each an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import trio

from swarmlib import CALLER, Invalid, Json, Message, NotFound, Sender, SwarmError, TimedOut, Unavailable, dispatch

from ..dockerapi import http1, table
from ..dockerapi.canonical import canonical
from ..dockerapi.http1 import Head, Headers, Incoming
from ..dockerapi.rows import Kind, Row
from .crowd import Crowd
from .reply import Exchange, HttpReply, error_response

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes of a JSON body, at most."""
HEAD_SECONDS: Final = 20.0
"""How long a client may take over one head once it has begun."""
BODY_SECONDS: Final = 60.0
"""How long a client may take over a JSON body. An upload may take as long as it wants to."""


_FRAMING: Final = (b"content-length", b"transfer-encoding", b"upgrade")
_USUAL: Final = (b"content-type", b"application/json")


class Connection:
    """Reads a client's requests and sends them on as messages."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, next: Sender, crowd: Crowd, caller: str = "") -> None:
        self.stream = stream
        self._caller = caller
        self._next = next
        self._crowd = crowd
        self._incoming = Incoming(stream, requests=True)
        self._current: Exchange | None = None
        self._scope = trio.CancelScope()

    async def serve(self) -> None:
        """Serve requests until either side ends it."""
        self.idle()
        try:
            with self._scope:
                async with trio.open_nursery() as self.nursery:
                    await self._requests()
                    self.nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away in the middle of a response: the call was cancelled, nobody is left to tell
        finally:
            self._crowd.busy(self)
            if self._current is not None:
                self._current.cancel()

    def abort(self) -> None:
        """Cut the connection: a response is broken off, and that is how the client learns of it."""
        self._scope.cancel()

    def idle(self) -> None:
        """Nothing is under way: the connection may be cut to make room for another."""
        self._crowd.idle(self)

    async def _requests(self) -> None:
        while True:
            try:
                head = await self._next_head()
                if head is None:
                    return
                exchange = await self._begin(head)
            except SwarmError as exc:
                await self._previous_done()
                await self.stream.send_all(error_response(exc, keep_alive=False))
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
        if head is not None and sum(name.lower() == b"host" for name, _ in head.headers) > 1:
            raise Invalid("a request has one Host, not several")  # RFC 9112, 3.2: who looked at the other was deceived
        return head

    async def _read(self) -> bool:
        try:
            return await self._incoming.read()
        except Unavailable:
            return False

    async def _previous_done(self) -> None:
        if self._current is not None:
            await self._current.done.wait()
            self._current.cancel()
            self._current = None

    async def _begin(self, head: Head) -> Exchange | None:
        self._crowd.busy(self)
        try:
            found = _route(head)
        except SwarmError as exc:
            await self._body(head)
            self._incoming.stay()
            response = error_response(exc, keep_alive=head.keep_alive, bodyless=head.method == "HEAD")
            await self.stream.send_all(response)
            self.idle()
            return None
        exchange = Exchange(self, head, found.row)
        args = _with_headers(found.args, head.headers, found.row)
        if self._caller:
            args[CALLER] = self._caller
        message = Message(found.row.verb, found.path, args)
        if found.row.upload and head.upgrade:
            raise Invalid("an upload can't ask for an upgrade")
        if found.row.upload:
            message.att = exchange.upload = self._upload(head)
        elif found.row.kind is Kind.WHOLE:
            pass  # its body goes with the stream
        elif body := await self._body(head):
            message.value = Json(body)
        message = canonical(message)
        if not exchange.conversation:
            self._incoming.stay()
        self._current = exchange
        message.ret = HttpReply(exchange)
        await dispatch(self._next, message, message.ret)
        return exchange

    def _upload(self, head: Head) -> http1.BodyStream:
        """The body as a stream. Who asked to be invited is when a stage reads it, and not where one refuses it."""
        return http1.BodyStream(self._incoming, before=self._invite if _expects(head) else None)

    async def _invite(self, _: object = None) -> None:
        await self.stream.send_all(http1.response_head(100, []))

    async def _body(self, head: Head) -> bytes:
        if not head.framed:  # then it is empty; but its end is still to be taken
            return await self._incoming.body(MAX_BODY)
        if _expects(head):
            await self._invite()
        with trio.move_on_after(BODY_SECONDS):
            return await self._incoming.body(MAX_BODY)
        raise TimedOut(f"the body was not complete within {BODY_SECONDS:.0f} s", details={"status": 408})

    async def _conversation_goes_on(self, exchange: Exchange) -> bool:
        if not exchange.waited_for:
            return True
        await exchange.done.wait()
        if exchange.tunnel is not None:
            await self._tunnel(exchange, exchange.tunnel)
            return False
        self._incoming.stay()
        return exchange.keep_alive

    async def _tunnel(self, exchange: Exchange, engine: trio.abc.HalfCloseableStream) -> None:
        async def upstream() -> None:
            try:
                if exchange.row.kind is Kind.WHOLE and not exchange.head.upgrade:
                    await self._send_body(exchange.head, engine)
                else:
                    await http1.copy(http1.RawStream(self.stream, self._incoming.take_over()), engine)
                    await engine.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the workload no longer reads: what it has still to say goes on

        async with engine, trio.open_nursery() as nursery:
            nursery.start_soon(upstream)
            await http1.copy(engine, self.stream)
            await self.stream.send_eof()  # over TLS, an end without this one's word looks like a cut
            nursery.cancel_scope.cancel()

    async def _send_body(self, head: Head, engine: trio.abc.HalfCloseableStream) -> None:
        """The body of a request that is passed on whole. Its end is no end of the stream, which would end the call."""
        chunked = head.get(b"transfer-encoding") is not None
        while data := await self._incoming.next_chunk():
            await engine.send_all(http1.chunk(data) if chunked else data)
        if chunked:
            await engine.send_all(http1.LAST_CHUNK)
        while await self.stream.receive_some(http1.READ_SIZE):
            pass  # a request behind this one: the connection ends with this response, and the client sends it again
        self.abort()


def _expects(head: Head) -> bool:
    return (head.get(b"expect") or b"").lower() == b"100-continue"


def _route(head: Head) -> table.Route:
    try:
        return table.route(head.method, head.target)
    except NotFound:
        framing = [(name.title(), value) for name in _FRAMING if (value := head.get(name))]
        headers: dict[str, list[str]] = {}  # BuildKit repeats some
        for name, value in [*http1.end_to_end(head.headers), *framing]:
            if name.lower() != b"host":
                headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        return table.whole(head.method, head.target, headers)


def _with_headers(args: Mapping[str, Any], headers: Headers, row: Row) -> dict[str, Any]:
    found = dict(args)
    kept = row.kept_headers
    for name, value in headers:
        lower = name.lower()
        if lower in kept and (row.upload or (lower, value) != _USUAL):
            found[f":{lower.decode()}"] = value.decode("latin-1")
    return found
