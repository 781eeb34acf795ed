"""The bytes of HTTP/1.1 messages that are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from swarmlib.pieces import Buffer

from .headers import FixedHeaders

LAST_CHUNK: Final = b"0\r\n\r\n"
_LONG: Final = 64 * 1024
"""Bytes of a body from which on a copy costs more than a second place to send from."""
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


def response_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a response's head."""
    return _first_lines(status, headers) + b"\r\n"


def _first_lines(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [b"%s: %s\r\n" % header for header in headers]
    return b"HTTP/1.1 %d %s\r\n%s" % (status, _REASONS.get(status, b"Status"), b"".join(lines))


_known_lines: Final[Callable[[int, FixedHeaders], bytes]] = lru_cache(maxsize=64)(_first_lines)


def whole_response(status: int, headers: FixedHeaders, body: bytes | None, *, keep_alive: bool) -> bytes:
    """Return the bytes of a response with all of its body; None where it has none. The same headers cost little."""
    return b"".join(_parts(status, headers, body, keep_alive=keep_alive))


def response_parts(status: int, headers: FixedHeaders, body: bytes | None, *, keep_alive: bool) -> tuple[bytes, ...]:
    """Return what `whole_response` does, but a long body by itself: it may be sent to many clients, without a copy."""
    parts = _parts(status, headers, body, keep_alive=keep_alive)
    return parts if len(parts[-1]) > _LONG else (b"".join(parts),)


def _parts(status: int, headers: FixedHeaders, body: bytes | None, *, keep_alive: bool) -> tuple[bytes, ...]:
    ending = b"\r\n" if keep_alive else b"Connection: close\r\n\r\n"
    if body is None:
        return _known_lines(status, headers), ending
    return b"%sContent-Length: %d\r\n%s" % (_known_lines(status, headers), len(body), ending), body


def request_head(method: str, target: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a request's head."""
    lines = [b"%s: %s\r\n" % header for header in headers]
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method.encode(), target.encode(), b"".join(lines))


def chunked(pieces: Sequence[Buffer]) -> Sequence[Buffer]:
    """Return pieces as one chunk of a chunked body; they must not be empty, because an empty chunk is the last."""
    return [b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"]


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body; `data` must not be empty, because an empty chunk is the last."""
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))  # formatting all of it takes 20 times as long
