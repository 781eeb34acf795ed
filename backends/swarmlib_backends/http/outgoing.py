"""The bytes of HTTP/1.1 messages that are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

from swarmlib.pieces import Buffer

LAST_CHUNK: Final = b"0\r\n\r\n"
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


def response_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a response's head."""
    lines = [b"%s: %s\r\n" % header for header in headers]
    return b"HTTP/1.1 %d %s\r\n%s\r\n" % (status, _REASONS.get(status, b"Status"), b"".join(lines))


def request_head(method: str, target: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a request's head."""
    lines = [b"%s: %s\r\n" % header for header in headers]
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method.encode(), target.encode(), b"".join(lines))


def chunked(pieces: Sequence[Buffer]) -> Sequence[Buffer]:
    """Return pieces as one chunk of a chunked body; none of them as its last chunk."""
    length = sum(map(len, pieces))
    return [b"%x\r\n" % length, *pieces, b"\r\n"] if length else [LAST_CHUNK]


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body; `data` must not be empty, because an empty chunk is the last."""
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))  # formatting all of it takes 20 times as long
