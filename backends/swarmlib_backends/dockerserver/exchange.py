"""One request and its response, as the connection sees it: the state of both, and what is written."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Final

import trio

from swarmlib import Invalid, ReplySender, SwarmError, Unavailable, Verb
from swarmlib.net.limiter import ClientConnection
from swarmlib.net.listening import ENDS
from swarmlib.pieces import send_pieces
from swarmlib.reply_channel import SendersTask

from ..dockerapi.rows import Kind, Row
from ..http.body_sender import BodySender
from ..http.head import Head
from ..http.headers import TOKEN, FixedHeaders, Headers
from ..http.outgoing import LAST_CHUNK, chunk, response_head, response_parts
from .fields import OWN_HEADERS, error_in, line_in
from .upload import Upload

_log = logging.getLogger(__name__)

_BODYLESS: Final = (204, 304)
_CHUNKED: Final = (b"Transfer-Encoding", b"chunked")
_CLOSE: Final = (b"Connection", b"close")
CONVERSATIONS: Final = (Kind.HIJACK, Kind.WHOLE)
"""The kinds of rows whose connection may become a stream."""
_STREAMS: Final = (Kind.WATCH, Kind.PROGRESS, Kind.STREAM)


class ClientExchange(ReplySender):
    """A request in progress, and the state of its response. `reply` makes the response of the replies."""

    upload: Upload | None = None
    tunnel: trio.abc.HalfCloseableStream | None = None
    head_out = False
    has_body = True
    """False once the head of a response without a body was sent: to HEAD, or with the status 204 or 304."""
    in_task: SendersTask | None = None
    """The connection's task, while it sends the request and waits for the end of the call."""
    under_way: trio.CancelScope | None = None
    """Cancelled when the exchange ends: the scope of the tasks beside it."""
    is_done = False
    """Whether the response is complete, or can't be any more."""
    pumped: trio.Event | None = None
    """Set when the task that writes a stream as the body, if there is one, writes no more."""
    _writing = False
    _body: BodySender | None = None
    _done: trio.Event | None = None
    """What `until_done` waits for; the connection seldom has to wait."""

    def __init__(
        self,
        client: ClientConnection,
        stream: trio.abc.HalfCloseableStream,
        nursery: trio.Nursery,
        reading: trio.CancelScope,
        head: Head,
        row: Row,
    ) -> None:
        super().__init__()
        self.client = client
        self.nursery = nursery
        self.head = head
        self.row = row
        self.conversation = row.kind in CONVERSATIONS
        """Whether the connection may become a stream. Bytes after such a request are not another request, so that the
        connection ends with it in any case."""
        self.upgrade = self.conversation and head.get(b"upgrade") is not None
        """Whether it may switch to another protocol. An engine does not require Connection: Upgrade for this."""
        self.keep_alive = head.keep_alive and not self.conversation
        self.bodyless = head.method == "HEAD"
        """Whether the response has no body, whatever its head says."""
        self._stream = stream
        self._reading = reading

    @property
    def sender(self) -> SendersTask | None:
        """See `ReplySender.sender`."""
        return self.in_task

    def leave(self) -> None:
        """See `ReplySender.leave`."""
        super().leave()
        if self.in_task is not None:
            self.in_task.cancel()

    @property
    def protocol(self) -> str:
        """The protocol that the request asks to upgrade to.

        Raises:
            Invalid: the request names no protocol, or several.
        """
        named = self.head.get(b"upgrade") or b"tcp"
        if TOKEN.fullmatch(named) is None:
            raise Invalid("a request for an upgrade must name exactly one protocol")
        return named.decode("latin-1")

    @property
    def waited_for(self) -> bool:
        """Whether the connection reads no requests until this is done: all that arrives belongs to this exchange."""
        return self.conversation or self.upload is not None

    async def refuse(self, error: SwarmError) -> None:
        """Write an error as the whole response; for an attach to a container, as text in place of its stream."""
        await self.write_whole(*error_in(error, raw=self.row.name == "ContainerAttach"))

    @property
    def ends_with_client(self) -> bool:
        """Whether the call ends when the client closes its sending half, as an engine then ends its streams. Other
        calls are answered.
        """
        return self.row.kind in _STREAMS and self.row.verb is not Verb.FILE

    def cut(self) -> None:
        """Cancel all work for the client, and cut its connection: it is lost, or the response would be incomplete."""
        self.leave()
        self.client.abort()

    async def write_whole(self, status: int, headers: FixedHeaders, body: bytes) -> None:
        """Write a whole response."""
        if self.upload is not None and not self.upload.complete:
            self.keep_alive = False  # the rest of the body precedes the next request
        self.head_out = True
        none = self.bodyless or status in _BODYLESS
        parts = response_parts(status, headers, None if none else body, keep_alive=self.keep_alive)
        await self._write(send_pieces(self._stream, parts))
        self.finish()

    def stream_head(self, status: int, headers: FixedHeaders) -> bytes:
        """Return the head of a response whose body is sent in pieces by `write_chunk`."""
        self.head_out = True
        self.has_body = status not in _BODYLESS and not self.bodyless
        ending: Headers = [] if self.keep_alive else [_CLOSE]
        framing: Headers = [_CHUNKED] if self.head.chunks and self.has_body else []
        return response_head(status, [*headers, *framing, *ending])

    async def write_chunk(self, data: bytes, *, before: bytes = b"") -> None:
        """Write a piece of the body, b"" for its end; only `before` (its head) if the response has no body."""
        if not self.has_body:
            data = b""
        elif self.head.chunks:
            data = chunk(data) if data else LAST_CHUNK
        await self.write(before + data if before else data)

    def body(self) -> BodySender:
        """Return what sends the body of a response that has one; `write_chunk(b"")` ends it."""
        self._body = BodySender(self._stream, self._write, chunks=self.head.chunks)
        return self._body

    async def write(self, data: bytes) -> None:
        """Write to the client. Raises as `_write`."""
        await self._write(self._stream.send_all(data))

    async def _write(self, writing: Awaitable[None]) -> None:
        """Write to the client; if that is interrupted by an error or a cancellation, cut the connection.

        Raises:
            trio.BrokenResourceError: the data can't be written, for whatever reason; to a stage, every failure is the
                loss of its caller.
        """
        self._writing = True
        try:
            await writing
            self._writing = False
        except ENDS as exc:
            raise trio.BrokenResourceError("the client disconnected") from exc
        except Exception as exc:
            _log.error("dockerserver: writing to a client failed: %s: %s", type(exc).__name__, exc, exc_info=exc)
            raise trio.BrokenResourceError(f"writing to the client failed: {exc}") from exc
        finally:
            if self._writing:
                self.cut()

    async def break_off(self) -> None:
        """End a call that streams, since the client has closed its sending half; its response ends as an engine's. Do
        nothing more if it has just ended by itself.
        """
        amid = self._writing or (self._body is not None and self._body.in_stretch)
        self.leave()
        if self.pumped is not None and not amid:
            await self.pumped.wait()  # what had come when it was cancelled is still written, and may be the end
        if self.is_done:
            return
        self.keep_alive = self.keep_alive and not amid
        error = Unavailable("the client closed its side of the connection, which ends a call that streams")
        progress = self.row.kind is Kind.PROGRESS
        if amid:
            self.client.abort()
        elif progress and not self.head_out:
            await self.write_whole(*error_in(error))
        else:
            before = b"" if self.head_out else self.stream_head(self.row.status, OWN_HEADERS)
            if progress:
                await self.write_chunk(line_in(error))
            await self.write_chunk(b"", before=before)
            self.finish()

    async def until_done(self) -> None:
        """Wait until the response is complete."""
        if not self.is_done:
            self._done = self._done or trio.Event()
            await self._done.wait()

    def finish(self) -> None:
        """Mark the response as complete."""
        if self.upload is not None and not self.upload.complete:
            self.keep_alive = False
        if self.under_way is not None:
            self.under_way.cancel()
        self.is_done = True
        if self._done is not None:
            self._done.set()
        if self.tunnel is None:
            self.client.idle()
        if not self.keep_alive and not self.waited_for and self.in_task is None:
            self._reading.cancel()  # it is complete, but the connection's task waits for a request that won't come
