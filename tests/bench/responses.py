"""A strict reader of HTTP/1.1, which takes nothing that another reader might understand in another way."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d) [\t\x20-\x7e\x80-\xff]*")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


@dataclass
class Answer:
    """One final response. `whole` is false where the connection was cut within it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = True

    def get(self, name: bytes) -> list[bytes]:
        """The values of a header."""
        return [value for each, value in self.headers if each == name]


@dataclass
class Answers:
    """The final responses of one connection. `flaw` says what is malformed, and is empty where nothing is."""

    final: list[Answer] = field(default_factory=list[Answer])
    flaw: str = ""
    switched: bool = False

    @property
    def statuses(self) -> list[int]:
        """Their statuses, in order."""
        return [answer.status for answer in self.final]


def answers(data: bytes, *, ended: bool, bodyless: bool = False) -> Answers:
    """Read a connection's bytes strictly.

    ended: whether the other side closed the connection, which ends a body without a length.
    bodyless: whether any request was a HEAD: then a length without a body is none that was cut.
    """
    found = Answers()
    while data and not found.flaw and not found.switched:
        head, separator, data = data.partition(b"\r\n\r\n")
        if not separator:
            found.flaw = "" if b"HTTP/1.1 "[: len(head)] == head[:9] else f"bytes that are no head: {head[:60]!r}"
            if not found.flaw:
                found.final.append(Answer(0, [], head, whole=False))
            break
        first, *lines = head.split(b"\r\n")
        status, fields = _STATUS_LINE.fullmatch(first), [_FIELD.fullmatch(line) for line in lines]
        if status is None or None in fields:
            bad = first if status is None else next(line for line in lines if not _FIELD.fullmatch(line))
            found.flaw = f"a malformed line in a head: {bad[:80]!r}"
            break
        answer = Answer(int(status[1]), [(each[1].lower(), each[2]) for each in fields if each is not None])
        if answer.status == 101:
            found.final.append(answer)
            found.switched = True
        elif answer.status >= 200:
            found.final.append(answer)
            data, found.flaw = _with_body(answer, data, ended, bodyless)
    return found


def _with_body(answer: Answer, data: bytes, ended: bool, bodyless: bool) -> tuple[bytes, str]:
    """Fill in the body; gives what is behind it, and what is malformed."""
    lengths, encodings = answer.get(b"content-length"), answer.get(b"transfer-encoding")
    if len(lengths) + len(encodings) > 1 or any(not each.isdigit() for each in lengths):
        return data, f"ambiguous framing: {lengths} {encodings}"
    if answer.status in (204, 304) or (bodyless and (not data or data.startswith(b"HTTP/1."))):
        return data, ""
    if encodings:
        return _chunked(answer, data)
    if lengths:
        length = int(lengths[0])
        answer.body, answer.whole = data[:length], len(data) >= length
        return data[length:], ""
    answer.body, answer.whole = data, ended
    return b"", ""


_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\r\n]*)?\r\n")


def _chunked(answer: Answer, data: bytes) -> tuple[bytes, str]:
    pieces: list[bytes] = []
    at, flaw = 0, ""
    while not flaw and (match := _CHUNK.match(data, at)):
        start, size = match.end(), int(match[1], 16)
        at = start + size
        end = data[at : at + 2]
        if not size and end == b"\r\n":
            answer.body = b"".join(pieces)
            return data[at + 2 :], ""
        pieces.append(data[start:at])
        if size and end not in (b"\r\n", b"\r", b""):
            flaw = f"a chunk that does not end where it should: {data[at : at + 20]!r}"
        at += 2
    answer.body, answer.whole = b"".join(pieces), False
    if not flaw and re.match(rb"[^\r\n]*\r\n", data[at:]):
        flaw = f"a malformed chunk: {data[at : at + 40]!r}"
    return b"", flaw


def is_whole(data: bytes, *, bodyless: bool = False) -> bool:
    """Whether one response has come whole, or what came can become none."""
    found = answers(data, ended=False, bodyless=bodyless)
    return bool(found.flaw) or (bool(found.final) and found.final[0].whole)


def flaws(found: Answers, data: bytes, *, raw: bool) -> list[tuple[str, object]]:
    """What is wrong about what one client got for one request, as kinds and details.

    raw: whether the request may get bytes without any framing.
    """
    wrong: list[tuple[str, object]] = []
    if found.flaw and not found.switched and not raw:
        wrong.append(("the attacked client gets a malformed answer", found.flaw))
    if len(found.final) > 1:
        wrong.append(("the attacked client gets several answers", found.statuses))
    if b"a bug in" in data:
        wrong.append(("a bug is answered", data[-200:]))
    return wrong


_REQUEST_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ /[!-~]* HTTP/1\.1")
_FRAMING = (b"content-length", b"transfer-encoding", b"host", b"connection", b"upgrade")


def request_flaw(head: bytes) -> str:
    """What is wrong about the head of a request that an engine got; "" where nothing is."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    fields = [_FIELD.fullmatch(line) for line in lines]
    if not _REQUEST_LINE.fullmatch(first) or None in fields:
        return "it is malformed"
    names = [each[1].lower() for each in fields if each is not None]
    if any(names.count(name) > 1 for name in _FRAMING) or {b"content-length", b"transfer-encoding"} <= {*names}:
        return "its framing is ambiguous"
    if b"x-injected" in names:
        return "it has a header that the client may not set"
    return "it reaches what no message named" if b"/smuggled" in first else ""
