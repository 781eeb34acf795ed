"""The parser of HTTP/1.1 requests, without I/O: what arrives becomes heads, pieces of bodies, and their ends.

llhttp does the parsing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import httptools

from swarmlib import Invalid, SwarmError, TooLarge
from swarmlib.pieces import Buffer

from .chunks import CountedData, PlainChunks, Scanned, data_of
from .head import Head, split_target
from .outgoing import LAST_CHUNK, request_head
from .request_lines import end_of_lines, escaped, may_begin
from .sizes import LONGEST_BODY, MAX_HEAD, check_sizes, too_large

END: Final = object()
"""The event of the end of a body."""
_AROUND: Final = len(b": \r\n")
_FRAMING: Final = (b"content-length", b"transfer-encoding")


class RequestParser:
    """Parses what `feed` is given. What follows a head is not interpreted before `stay` or `converse` says what it is.

    events: heads, pieces of bodies and END, in their order; an error is the last one.
    in_head: whether the first line of a head has been parsed, and its end has not.
    given: the head that the owner has; others that came behind a body, together with it, may have been parsed since.
    """

    def __init__(self) -> None:
        self.given: Head | None = None
        self._reset()

    def _reset(self) -> None:
        self._parser: Any = httptools.HttpRequestParser(self)
        self.events = deque[Any]()
        self._head = Head()
        self._target = b""
        self._head_bytes = 0
        self._unparsed = 0
        self.in_head = False
        self._ended = True
        self._parsing: Callable[[bytes], None] = self._parse_lines
        self._line = bytearray()
        self._head_came = False
        self._owed = 0
        self.plain: CountedData | PlainChunks | None = None
        """Finds the data of the body, until the parser has to."""
        self._raw = bytearray()

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._head = Head()
        self._target = b""
        self._head_bytes = 0
        self.in_head = True
        self._ended = False

    def on_url(self, url: bytes) -> None:
        """Add a piece of the target."""
        self._target += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. A trailer is dropped, as RFC 9110 (6.5.1) allows: no engine or client sends any."""
        self._head_bytes += len(name) + len(value) + _AROUND
        if not self.in_head:
            return
        self._head.headers.append((name, value))
        lower = name.lower()
        if lower in _FRAMING:
            self._head.framed = True
            if lower == b"transfer-encoding" and value.strip().lower() != b"chunked":
                raise Invalid("the transfer coding of a request must be `chunked`")
            self._head.has_body = lower != b"content-length" or _length(value) > 0

    def on_headers_complete(self) -> None:
        """Complete the head."""
        head = self._head
        head.method = self._parser.get_method().decode("latin-1")
        head.upgrade = self._parser.should_upgrade()
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise Invalid(f"HTTP version {version} is not supported: expected 1.1")
        self._check_sizes()
        self.in_head = False
        self._head_came = True
        self._head_bytes = self._unparsed = 0  # from here on, the bytes of its trailers
        head.authority, head.target = split_target(self._target.decode("latin-1"))
        head.chunks = version != "1.0"
        head.keep_alive = self._parser.should_keep_alive() and head.chunks  # for 1.0, a stream ends with the connection
        self.events.append(head)

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        self.events.append(body)

    def on_message_complete(self) -> None:
        """End the body, with its trailers."""
        self._check_sizes()
        self._ended = True
        self.events.append(END)

    # For the owner.

    def feed(self, data: bytes) -> None:
        """Parse what came. Its errors are events."""
        self._parsing(data)

    def recall(self, head: Head) -> None:
        """Take a head that was parsed before, in place of its bytes. Nothing else came, and it has no body."""
        self._head, self._parsing = head, self._keep
        self.events += (head, END)

    @property
    def has_one_head(self) -> bool:
        """Whether all that came is one request, and nothing but its head."""
        return not self._raw and len(self.events) == 2 and self.events[1] is END

    @property
    def is_framed(self) -> bool:
        """Whether the end of the body is marked, rather than that of the connection."""
        return self._head.framed

    @property
    def mid_head(self) -> bool:
        """Whether only a part of a head has come so far."""
        return self.in_head or bool(self._line)

    @property
    def is_between(self) -> bool:
        """Whether a request, and nothing else, begins with the next byte: the parser is as it was before the first."""
        waits = self._ended and not self.events and not self._line and self._parsing == self._parse_lines
        return waits and self._head.keep_alive and not self._unparsed

    def cut(self, plain: CountedData | PlainChunks, data: memoryview) -> Sequence[Buffer]:
        """Return the pieces of the body in what came, where they lie, and parse what is behind them."""
        found = plain.scan(data)
        self._parse_behind(found)
        return found.pieces

    def stay(self) -> None:
        """Treat what follows the head as HTTP: a body, and other requests. Refuse an upgrade that the head asks for.

        Raises:
            Invalid: the body's framing is wrong.
        """
        if not self._waits_behind_head:
            return
        if self._head.upgrade:
            early = self._without_upgrade()
        else:
            early = bytes(self._raw)
            self._raw.clear()
            self._parsing = self._parse_lines
            self.plain = data_of(self._head) if self._head.framed else None
        if early:
            self._parsing(early)

    def converse(self, *, chunks: bool) -> None:
        """Treat what follows the request's body as another protocol, and leave it to `take_over`.

        chunks: whether chunks that the request announces are its body. Some clients announce chunks where an operation
            takes no body, and send none (docker-modem); an engine does not look for them there.

        Raises:
            Invalid: the body's framing is wrong.
        """
        if not self._waits_behind_head:
            return  # an engine would lose what it read together with the head, too
        early = self._without_upgrade()
        self._parsing = self._parse_body
        self._owed = int(self._head.get(b"content-length") or 0)
        if not chunks and self._head.get(b"transfer-encoding") is not None:
            self.on_message_complete()
            early = early.removeprefix(LAST_CHUNK)
        self._parse_body(early)

    @property
    def _waits_behind_head(self) -> bool:
        """Whether what follows the head that the owner has is not parsed yet. Else the head came behind a body, and all
        was parsed together, up to a later head that asks for an upgrade if there is one.
        """
        return self._parsing == self._keep and self._head is self.given

    def _without_upgrade(self) -> bytes:
        """Restart with a parser that knows only the request's framing; return what follows the request's head."""
        early = bytes(self._raw)
        framing = [header for header in self._head.headers if header[0].lower() in _FRAMING]
        self._reset()
        self._parse(request_head("POST", "/", framing))
        for event in self.events:
            raise_error(event)
        self.events.popleft()  # the head, once more
        return early

    def _parse_body(self, data: bytes) -> None:
        """Parse up to the body's end and no further: by the rest of its length, or by lines, as chunks end with one."""
        at = 0
        while at < len(data) and not self._ended:
            end = at + self._owed if self._owed else data.find(b"\n", at) + 1 or len(data)
            piece = data[at:end]
            self._parse(piece)
            self._owed -= min(self._owed, len(piece))
            at += len(piece)
        self._raw += data[at:]

    def close(self) -> None:
        """Forget what came, of a connection that has ended. The parser and this refer to each other, so that what a
        client has sent, which may be a megabyte, would else stay in memory until cyclic garbage is searched for.
        """
        self._parser, self._parsing = None, _drop
        self.events.clear()
        self._raw.clear()
        self._line.clear()

    def take_over(self) -> bytes:
        """Return what was read past the head of a message that became a raw stream; read the stream itself next."""
        raw = b"".join(event for event in self.events if isinstance(event, bytes)) + self._raw
        self.events.clear()
        self._raw.clear()
        return raw

    # Parsing.

    def _parse_lines(self, data: bytes) -> None:
        """Parse what came; a head only in whole lines, because the parser copies a line again for each piece of it."""
        while data and self._parsing == self._parse_lines:
            if not (self._ended or self.in_head):
                self._parse_in_body(data)
                return
            # A client that speaks another protocol (TLS) may never send a line end, so it is refused at once.
            if self._ended and not self._line and not may_begin(data):
                self._parse(data)
                return
            end = data.find(b"\n") + 1 if self._line else end_of_lines(data, in_head=self.in_head)
            if end and not self._line:
                self._parse_whole_lines(data[:end])
                data = data[end:]
                continue
            self._line += data[: end or len(data)]
            data = data[end:] if end else b""
            if end:
                lines = bytes(self._line)
                self._line.clear()
                self._parse_whole_lines(lines)
            elif len(self._line) > MAX_HEAD:
                self._fail(too_large())
        if data:
            self._parsing(data)

    def _parse_whole_lines(self, lines: bytes) -> None:
        self._head_came = False
        self._parse(lines if self.in_head else escaped(lines))
        if self._head_came and self._parsing == self._parse_lines:
            self._parsing = self._keep

    def _parse_in_body(self, data: bytes) -> None:
        if self.plain is None:
            self._parse(data)
            return
        found = self.plain.scan(memoryview(data))
        self.events += map(bytes, found.pieces)
        self._parse_behind(found)

    def _parse_behind(self, found: Scanned) -> None:
        """Parse what is behind the data that was found."""
        if found.flaw:
            self._fail(_not_http(found.flaw))
        elif self.plain is not None and self.plain.complete:
            self.plain, self._parser = None, httptools.HttpRequestParser(self)  # the old one still waits for the body
            self.on_message_complete()
            self._parsing(found.rest)
        elif found.rest:
            self.plain = None
            self._parse(found.rest)

    def _parse(self, data: bytes) -> None:
        """Parse what came. An error is queued behind the events before it, which can still be answered."""
        events = len(self.events)
        try:
            self._parser.feed_data(data)
            # An unfinished header (or chunk extension) causes no event, so bytes without an event are counted.
            self._unparsed = 0 if len(self.events) > events else self._unparsed + len(data)
            self._check_sizes()
        except httptools.HttpParserUpgrade as upgrade:
            self.events.pop()  # the parser takes even a body for the other protocol's, and reports an end
            self._parsing = self._keep
            self._keep(data[upgrade.args[0] :])
        except httptools.HttpParserError as exc:
            own = exc.__context__  # the error that a callback raised
            self._fail(own if isinstance(own, SwarmError) else _not_http(exc))
        except TooLarge as exc:
            self._fail(exc)

    def _check_sizes(self) -> None:
        check_sizes(self._head, self._head_bytes, self._unparsed, in_head=self.in_head)

    def _fail(self, error: SwarmError) -> None:
        self.events.append(error)
        self._ended = True
        self._parsing = _drop

    def _keep(self, data: bytes) -> None:
        self._raw += data


def _length(value: bytes) -> int:
    """Return a length, of whose digits the parser has made sure."""
    if (length := int(value)) > LONGEST_BODY:
        raise _not_http("Content-Length overflow")  # the parser's words for one that it can't count itself
    return length


def _not_http(flaw: object) -> Invalid:
    return Invalid(f"this is not HTTP/1.1: {flaw}")


def _drop(_: bytes) -> None:
    """Ignore what follows bytes that are not HTTP."""


def raise_error(event: Any) -> None:
    """Raise an event that is an error."""
    try:
        if isinstance(event, SwarmError):
            raise event
    finally:
        del event  # or it would refer to itself by its traceback, and all that lies on its way would stay in memory
