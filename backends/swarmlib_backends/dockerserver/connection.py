"""One client's connection: a sequence of requests, each an exchange."""

from __future__ import annotations

from typing import Final

import trio

from swarmlib import Invalid, Request, Sender, SwarmError, TimedOut, Unavailable, dispatch
from swarmlib.net.limiter import ClientConnection
from swarmlib.reply_channel import SendersTask

from ..dockerapi.rows import Kind, Row
from ..dockerapi.targets import Moved
from ..http.admission import expects_invitation
from ..http.head import Head
from ..http.incoming import Incoming
from ..http.outgoing import response_head, whole_response
from ..http.whole_body import whole_body
from ..stream_wrappers import Resumed
from .admission import check_json, takes_json
from .asked import Asked, HeadReader
from .fields import OWN_HEADERS
from .reply import HttpReply, last_response
from .tunnel import tunnel
from .upload import Upload

_HIJACK, _VALUE, _WHOLE = Kind.HIJACK, Kind.VALUE, Kind.WHOLE
"""Read by their names, as members of the class cost four times as much. Others on the way of a call do the same."""
MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes of a JSON body, at most."""
HEAD_SECONDS: Final = 20.0
"""Seconds that a client may take to send one head, once it has begun."""
BODY_SECONDS: Final = 60.0
"""Seconds that a client may take to send a JSON body. An upload may take any time."""
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 64 * 1024 * 1024
"""How long, and how much, is still read from a client after its last response: closing with unread bytes would reset
the connection, and the response could be lost."""


class Connection:
    """Reads a client's requests and forwards them.

    caller: who it is. reader: reads the heads of the requests.
    """

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        next: Sender,
        client: ClientConnection,
        caller: str = "",
        reader: HeadReader | None = None,
    ) -> None:
        self._stream = stream
        self._next = next
        self._client = client
        self._caller = caller
        self._reader = reader or HeadReader()
        self._incoming = Incoming(stream, self._reader.repeated_heads)
        self._current: HttpReply | None = None
        self._reading = trio.CancelScope()

    async def serve(self) -> None:
        """Serve requests until either side ends the connection.

        Raises:
            trio.BrokenResourceError: the client disconnected during a call, which was cancelled.
        """
        self._client.idle()
        try:
            async with trio.open_nursery() as self._nursery:
                with self._reading:
                    await self._serve_calls()
                await self._end()
                self._nursery.cancel_scope.cancel()
        finally:
            if self._current is not None:
                self._current.leave()
            self._incoming.close()

    async def _serve_calls(self) -> None:
        """Serve requests, in a scope that each call which is cancelled takes with it."""
        while True:
            with trio.CancelScope() as scope:
                self._sender = SendersTask(trio.lowlevel.current_task(), scope) if self._client.is_watched else None
                await self._requests()
                return

    async def _requests(self) -> None:
        while not self._is_over():
            try:
                head = await self._next_head()
                if head is None:
                    await self._last_answer()
                    return
                exchange = await self._begin(head)
            except SwarmError as exc:  # where the request ends is unknown, so no other can follow
                if self._current is not None:
                    await self._previous_done(self._current)
                await self._stream.send_all(_last_response(exc))
                return
            if exchange.waited_for and not await self._goes_on(exchange):
                return

    def _is_over(self) -> bool:
        """Whether the last response has ended the connection."""
        last = self._current
        return last is not None and last.is_done and not last.keep_alive

    async def _next_head(self) -> Head | None:
        incoming = self._incoming
        try:
            while not (here := incoming.buffered_head()) and not incoming.mid_head:
                if not await incoming.read():
                    return None
            if not here:
                await self._rest_of_head()
        except Unavailable as exc:
            raise trio.BrokenResourceError("the client disconnected") from exc
        try:
            head = await incoming.next_head()
        except Unavailable as exc:
            raise _cut_short("head") from exc
        return head if self._current is None or await self._previous_done(self._current) else None

    async def _rest_of_head(self) -> None:
        with trio.move_on_after(HEAD_SECONDS) as patience:
            while not self._incoming.buffered_head() and await self._incoming.read():
                pass
        if patience.cancelled_caught:
            raise TimedOut(f"timed out: the head was not complete within {HEAD_SECONDS:.0f} s", details={"status": 408})

    async def _previous_done(self, previous: HttpReply) -> bool:
        """Wait until the exchange in progress ends; return whether another request may follow it."""
        if not previous.is_done:
            if previous.ends_with_client:
                await self._done_or_left(previous)
            await previous.until_done()
        previous.leave()
        self._current = None
        return previous.keep_alive

    async def _done_or_left(self, previous: HttpReply) -> None:
        """Wait for the end of a call that streams, or end it when the client of this request will send no more.

        Nothing else would notice that, as the connection is not read any further.
        """

        async def left() -> None:
            await self._client.ended.wait()
            await previous.break_off()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(left)
            await previous.until_done()
            nursery.cancel_scope.cancel()

    async def _last_answer(self) -> None:
        """Wait for the answer to a client that will send no more, or end the call if an engine would end it."""
        current = self._current
        if current is None:
            return
        if current.ends_with_client:
            await current.break_off()
        await self._previous_done(current)

    async def _begin(self, head: Head) -> HttpReply:
        self._client.busy()
        asked = self._reader.read(head)
        row = asked.route.row
        exchange = HttpReply(self._client, self._stream, self._nursery, self._reading, head, row)
        if row.kind is _HIJACK or exchange.upgrade:
            self._converse(head, row)
        else:
            self._incoming.stay()
        if row.upload or (row.kind is _WHOLE and head.has_body and not exchange.upgrade):
            exchange.upload = self._upload(exchange)
        given = exchange.upload is not None or row.kind is _WHOLE  # the body, to a stage, as it arrives
        body = b"" if given or self._incoming.skip_empty() else await self._body(head)
        self._current = exchange
        try:
            request = self._request(asked, exchange, body)
        except SwarmError as exc:
            await exchange.refuse(exc)
        else:
            await self._send_on(exchange, request)
        return exchange

    def _request(self, asked: Asked, exchange: HttpReply, body: bytes) -> Request:
        if asked.is_repeated:
            return asked.request(self._caller, exchange)
        if body:
            check_json(exchange.head)
        request = asked.request(self._reader.caller(exchange.head, self._caller), exchange, body)
        if self._incoming.repeatable:
            self._reader.remember(self._incoming.repeatable, exchange.head, asked, request)
        return request

    async def _send_on(self, exchange: HttpReply, request: Request) -> None:
        if exchange.upload is not None:
            exchange.under_way = trio.CancelScope()
            self._nursery.start_soon(self._heed_end, exchange, exchange.upload, exchange.under_way)
        if exchange.row.kind is not _VALUE or exchange.upload is not None:
            await dispatch(self._next, request)
            return
        sender = self._sender  # what still arrives does not concern the call: it is not read meanwhile
        exchange.in_task = sender
        try:
            await dispatch(self._next, request)
        finally:
            exchange.in_task = None
        if sender is not None and sender.is_cancelled:
            await trio.lowlevel.checkpoint()  # the cancellation ends here, or it would take the next call with it

    def _converse(self, head: Head, row: Row) -> None:
        """Set up the reading of what follows the head of a request that may begin a conversation."""
        self._incoming.converse(chunks=takes_json(row))
        if row.kind is _WHOLE and head.get(b"content-length") not in (None, b"0"):
            raise Invalid("a request for an upgrade can't have a body")

    def _upload(self, exchange: HttpReply) -> Upload:
        """Return the body as a stream. A client that waits to be asked (100-continue) is asked once a stage reads."""
        return Upload(self._incoming, cut=exchange.cut, before=self._invite if _waits(exchange.head) else None)

    async def _invite(self, _: object = None) -> None:
        await self._stream.send_all(response_head(100, []))

    async def _body(self, head: Head) -> bytes:
        if not head.framed:  # then it is empty, but its end must still be read
            return await whole_body(self._incoming, MAX_BODY)
        if _waits(head):
            await self._invite()
        with trio.move_on_after(BODY_SECONDS):
            try:
                return await whole_body(self._incoming, MAX_BODY)
            except Unavailable as exc:
                raise _cut_short("body") from exc
        raise TimedOut(f"timed out: the body was not complete within {BODY_SECONDS:.0f} s", details={"status": 408})

    async def _heed_end(self, exchange: HttpReply, upload: Upload, under_way: trio.CancelScope) -> None:
        """End the call of a client that breaks off its upload while no stage reads it."""
        with under_way:
            await self._client.ended.wait()
            if await upload.read_ahead() and exchange.ends_with_client:
                await exchange.break_off()

    async def _goes_on(self, exchange: HttpReply) -> bool:
        await exchange.until_done()
        if exchange.tunnel is not None:
            await tunnel(Resumed(self._stream, self._incoming.take_over()), exchange.tunnel)
        return exchange.keep_alive

    async def _end(self) -> None:
        if self._current is not None:
            self._current.leave()
        self._client.idle()
        await linger(self._stream)


async def linger(stream: trio.abc.HalfCloseableStream) -> None:
    """Let a client read its last response, whatever it is still sending.

    Raises:
        trio.BrokenResourceError: the client disconnected.
    """
    with trio.move_on_after(LINGER_SECONDS):
        await stream.send_eof()
        left = LINGER_BYTES
        while left > 0 and (data := await stream.receive_some()):
            left -= len(data)


def _cut_short(part: str) -> Invalid:
    """Return the error for a client that closed its sending half before its request was complete."""
    return Invalid(f"the {part} ended before it was complete")


def _waits(head: Head) -> bool:
    """Return whether the client waits with its body until it is asked for it, which HTTP/1.0 does not have."""
    return head.has_body and head.chunks and expects_invitation(head.get(b"expect") or b"")


def _last_response(error: SwarmError) -> bytes:
    if isinstance(error, Moved):
        return whole_response(301, (*OWN_HEADERS, (b"Location", error.location.encode())), b"", keep_alive=False)
    return last_response(error)
