"""The responses of an engine on one connection, each framed strictly by RFC 9112; llhttp parses the heads.

An engine, or a proxy in front of it, may send more than its response, or something that two readers would frame
differently. Bytes after a response must never become the response to the next request. If the reader is not certain
of them, `at_rest` is false, and the connection is closed instead of being used again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import httptools
import trio

from swarmlib import BadAnswer, Unavailable
from swarmlib.pieces import Buffer, Memory, Stretch, move, receive

from ..http.chunks import PlainChunks
from ..http.head import Head
from ..http.outgoing import LAST_CHUNK
from ..http.repeated import RepeatedHeads
from .framing import Framing

MAX_HEAD: Final = 64 * 1024
"""Bytes of a response's head including its trailers, at most."""
MAX_HEADERS: Final = 256
"""Headers of a response, at most."""
_HEAD_END: Final = b"\r\n\r\n"
_INTERIM: Final = range(100, 200)
_CONTINUE: Final = 100
_SWITCHING: Final = 101
_ENDS: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


class NoAnswer(Unavailable):
    """The connection ended before any byte of the response arrived."""


class Responses:
    """Reads the responses to requests that are sent one after another: `head`, then `next_chunk` until it returns b"".

    stream: the connection. whose: names the engine in every error, such as `engine unix:///run/docker.sock`.
    repeated: the heads that the engine repeats, for all its connections.
    """

    def __init__(self, stream: trio.abc.ReceiveStream, whose: str, repeated: RepeatedHeads | None = None) -> None:
        self._stream = stream
        self.whose = whose
        self._repeated = repeated or RepeatedHeads()
        self._rest = b""  # read, but not yet parsed
        self._head = Head()
        self._begin()

    @property
    def at_rest(self) -> bool:
        """Whether the next request may be sent: the response was completed by its own framing, and the engine keeps the
        connection open, on which no bytes follow the response.
        """
        return self._ended and self._keep_alive and not self._rest

    async def head(self, method: str, *, upgrade: str = "", invited: Callable[[], object] = bool) -> Head:
        """Read the head of the response to a request; skip the interim ones (1xx) before it, as RFC 9110 (15.2) says.

        method: the request's; the response to HEAD has no body. upgrade: the protocol that the request asked to switch
        to, so that 101 may be the response; "" for none. invited: called when the engine asks for the body (100).

        Raises:
            BadAnswer: what arrived is not a response to this request.
            NoAnswer: the connection ended before any byte of the response.
            Unavailable: the connection ended inside the head.
        """
        self._head_bytes = 0
        bodyless = method == "HEAD"
        while True:
            head = await self._next_head(repeated=not bodyless)
            if isinstance(head.meaning, Framing):
                self._frame(head, head.meaning)
                return head
            if head.status == _SWITCHING:
                protocol = (head.get(b"upgrade") or upgrade.encode()).lower()
                if not upgrade or protocol != upgrade.lower().encode():
                    raise self.wrong("it switched protocols although the request did not ask for it")
                return head
            if head.status == _CONTINUE:
                invited()
            if head.status not in _INTERIM:
                framing = Framing.of(
                    head, self._version, keep_alive=self._keep_alive, bodyless=bodyless, wrong=self.wrong
                )
                self._frame(head, framing)
                if self._in_one_piece and not bodyless:
                    self._repeated.remember(self._in_one_piece, head, framing)
                return head

    def wrong(self, what: str) -> BadAnswer:
        """Return the error that says how the engine violated its protocol."""
        return BadAnswer(f"{self.whose}: {what}")

    async def _next_head(self, *, repeated: bool) -> Head:
        self._begin()
        data, tail, found = self._rest, b"", -1
        while found < 0:
            data = data or await self._received() or self._cut_short()
            found = (tail + data).find(_HEAD_END)
            cut = len(data) if found < 0 else found + len(_HEAD_END) - len(tail)
            piece, self._rest = data[:cut], data[cut:]
            if found >= 0 and not tail:
                self._in_one_piece = piece
                if repeated and (known := self._repeated.find(piece)) is not None:
                    self._head, self._head_whole, self._head_bytes = known, True, cut
                    return known
            self._feed_head(piece)
            data, tail = b"", (tail + data)[-3:]
        if not self._head_whole:
            raise self.wrong("its answer is not HTTP/1.1: it begins with an empty line")
        return self._head

    def _begin(self) -> None:
        self._parser: Any = None
        """Made for a head that is not known, or for chunks that are small or not plain."""
        self._in_one_piece = b""
        """The head's bytes, if they came at once."""
        self._head_whole = False
        self._keep_alive = False
        self._ended = False
        self._left = 0
        self._chunks_ended = False
        self._plain: PlainChunks | None = None
        """Finds the body's data, until the parser has to."""
        self._pieces: list[bytes] = []
        self._unparsed = 0

    def _cut_short(self) -> bytes:
        if not self._head_bytes:
            raise NoAnswer(f"{self.whose}: the connection was closed before an answer came")
        raise Unavailable(f"{self.whose}: the connection ended in the middle of a head")

    async def _received(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some())
        except _ENDS as exc:
            raise self._broken() from exc

    def _broken(self) -> Unavailable:
        kind = Unavailable if self._head_bytes else NoAnswer
        return kind(f"{self.whose}: the connection broke")

    def _feed_head(self, data: bytes) -> None:
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD:
            raise self.wrong(f"the head of its answer is longer than {MAX_HEAD} bytes")
        if self._parser is None:
            self._parser, self._head = httptools.HttpResponseParser(self), Head()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # what follows a 101 is not parsed here
        except httptools.HttpParserError as exc:
            raise self.wrong(f"its answer is not HTTP/1.1: {exc}") from exc
        if len(self._head.headers) > MAX_HEADERS:
            raise self.wrong(f"the head of its answer has more than {MAX_HEADERS} headers")

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        """Note the beginning of a response; one after the end of another is unsolicited."""
        if self._head_whole:
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; drop a trailer, as RFC 9110 (6.5.1) allows: no engine sends any."""
        if not self._head_whole:
            self._head.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Complete the head; another head after it (`on_message_begin`) is ignored."""
        if not self._head_whole:
            self._head_whole = True
            self._head.status = self._parser.get_status_code()
            self._keep_alive = self._parser.should_keep_alive()
            self._version = self._parser.get_http_version()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of a chunked body."""
        if not self._chunks_ended:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Note the end of the last chunk and its trailers."""
        self._chunks_ended = True

    # The body.

    def _frame(self, head: Head, framing: Framing) -> None:
        head.framed = framing.chunked or framing.length is not None
        self._keep_alive = framing.keep_alive
        self._left = framing.length or 0
        self._ended = framing.length == 0
        self._plain = PlainChunks() if framing.chunked else None
        self._cutting = (
            Responses._by_chunks if framing.chunked else Responses._by_length if head.framed else Responses._by_end
        )

    async def next_chunk(self) -> bytes:
        """Return the next piece of the body; b"" at its end. Raises as `next_pieces`."""
        with Memory() as memory:
            return b"".join(await self.next_pieces(memory))

    async def next_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """Return the next pieces of the body, none at its end; see `PieceReceiver.receive_pieces`.

        Raises:
            BadAnswer: the chunks are malformed.
            Unavailable: the connection ended before the body did.
        """
        while not self._ended:
            if self._rest:
                pieces = self._came_with_head()
            else:
                try:
                    data = await receive(self._stream, memory)
                except _ENDS as exc:
                    raise self._broken() from exc
                if not data and self._head.framed:
                    raise Unavailable(f"{self.whose}: the connection ended in the middle of a body")
                self._ended = not data
                pieces = self._cut(data) if data else ()
            if pieces:
                return pieces
        return ()

    async def move(self, stretch: Stretch) -> None:
        """Have the next pieces of the body moved; see `PieceReceiver.move`. Raises as `next_pieces`."""
        if self._ended or self._rest:
            return
        stretch.cut = lambda data: (self._cut(data), not self._ended)
        try:
            await move(self._stream, stretch)
        except _ENDS as exc:
            raise self._broken() from exc

    def _came_with_head(self) -> Sequence[Buffer]:
        """Return the pieces of the body that were read with the head."""
        if self._ended or not self._rest:
            return ()
        data, self._rest = self._rest, b""
        return self._cut(data)

    async def body(self, limit: int) -> bytes:
        """Return all of the body that is left.

        Raises:
            BadAnswer: it is over `limit` bytes; and as in `next_pieces`.
        """
        parts = [b"".join(self._came_with_head())]  # nothing else, of nearly all bodies
        size = len(parts[0])
        while not self._ended and size + self._left <= limit:
            parts.append(await self.next_chunk())
            size += len(parts[-1])
        if size + self._left > limit:
            raise self.wrong(f"the body of its answer is longer than {limit} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _cut(self, data: Buffer) -> Sequence[Buffer]:
        """Return the pieces of the body in what came."""
        return self._cutting(self, data)

    def _by_length(self, data: Buffer) -> Sequence[Buffer]:
        if len(data) > self._left:
            data, self._rest = data[: self._left], bytes(data[self._left :])
        self._left -= len(data)
        self._ended = not self._left
        return [data]

    def _by_end(self, data: Buffer) -> Sequence[Buffer]:
        return [data]

    def _by_chunks(self, data: Buffer) -> Sequence[Buffer]:
        pieces: list[Buffer] = []
        try:
            if self._plain is not None:
                found, data, flaw = self._plain.scan(memoryview(data))
                pieces += found
                if flaw:
                    raise httptools.HttpParserError(flaw)
                if self._plain.complete:
                    self._rest, self._ended = data, True
                    return pieces
            if data:
                self._plain = None
                self._feed_chunks(data)
        except httptools.HttpParserError as exc:
            raise self.wrong(f"the body of its answer is not validly chunked: {exc}") from exc
        if self._pieces:
            pieces.append(b"".join(self._pieces))  # many small ones, as a rule: each would cost whoever sends them
            self._pieces.clear()
        self._ended = self._chunks_ended
        self._count_unparsed(0 if pieces else len(data))
        return pieces

    def _feed_chunks(self, data: Buffer) -> None:
        if self._parser is None:  # the head was known: the parser must see it before the chunks
            keep_alive = self._keep_alive
            self._parser = httptools.HttpResponseParser(self)
            self._parser.feed_data(self._in_one_piece)
            self._keep_alive = keep_alive
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self._chunks_ended:
                raise
        # The parser does not say where the last chunk ended; an empty line after it would be lost without a trace.
        self._keep_alive = self._keep_alive and (not self._chunks_ended or data[-len(LAST_CHUNK) :] == LAST_CHUNK)

    def _count_unparsed(self, count: int) -> None:
        self._unparsed = self._unparsed + count if count else 0
        if self._unparsed > MAX_HEAD:
            raise self.wrong(f"its answer has more than {MAX_HEAD} bytes of chunk extensions or trailers")

    def close(self) -> None:
        """Forget what is left of a response on a connection that has ended. The parser and this refer to each other, so
        that what the engine has sent would else stay in memory until cyclic garbage is searched for.
        """
        self._parser = None
        self._rest = b""
        self._pieces.clear()

    def take_over(self) -> bytes:
        """Return what was read after the head of a 101: the beginning of the other protocol."""
        rest = self._rest
        self.close()
        return rest
