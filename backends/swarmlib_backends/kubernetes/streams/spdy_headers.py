"""Blocks of headers in SPDY/3.1: pairs of names and values, compressed over the whole connection."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final

from swarmlib.errors import BadAnswer

from .spdy_dictionary import DICTIONARY

MAX_BLOCK: Final = 65536
"""The most bytes that one block may have when it is decompressed. Kubernetes' own blocks have less than 100."""

_LENGTH: Final = struct.Struct(">I")


class HeaderWriter:
    """The compressing end, with what it remembers of earlier blocks."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zdict=DICTIONARY)

    def block(self, headers: Mapping[str, str]) -> bytes:
        """Return the block of headers, whose names are in lower case."""
        texts = [text.encode("latin-1") for pair in headers.items() for text in pair]
        plain = _LENGTH.pack(len(headers)) + b"".join(_LENGTH.pack(len(text)) + text for text in texts)
        return self._zlib.compress(plain) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class HeaderReader:
    """The decompressing end. Each block must go through it, or later ones can't be read."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zdict=DICTIONARY)

    def headers(self, block: bytes) -> dict[str, str]:
        """Return what a block says.

        Raises:
            BadAnswer: it is malformed, or larger than `MAX_BLOCK` bytes.
        """
        try:
            plain = self._zlib.decompress(block, MAX_BLOCK)
        except zlib.error as exc:
            raise BadAnswer("malformed SPDY headers: they can't be decompressed") from exc
        if self._zlib.unconsumed_tail or len(plain) == MAX_BLOCK:
            raise BadAnswer(f"malformed SPDY headers: they have more than {MAX_BLOCK} bytes")
        if self._zlib.eof:
            raise BadAnswer("malformed SPDY headers: their compression ends before the connection does")
        return _parsed(plain)


def _parsed(plain: bytes) -> dict[str, str]:
    """Return the pairs of a decompressed block."""
    try:
        count, at = _LENGTH.unpack_from(plain)[0], _LENGTH.size
        found: dict[str, str] = {}
        for _ in range(count):  # each pair takes bytes, so that a forged count ends with the block
            name, at = _text(plain, at)
            value, at = _text(plain, at)
            if not name or name != name.lower() or name in found:
                raise BadAnswer("malformed SPDY headers: a name is empty, twice there, or not in lower case")
            found[name] = value
    except struct.error as exc:
        raise BadAnswer("malformed SPDY headers: the block is too short") from exc
    if at != len(plain):
        raise BadAnswer("malformed SPDY headers: bytes follow the last one")
    return found


def _text(plain: bytes, at: int) -> tuple[str, int]:
    """Return the text at a place, and the place after it."""
    start = at + _LENGTH.size
    end = start + _LENGTH.unpack_from(plain, at)[0]
    if end > len(plain):
        raise BadAnswer("malformed SPDY headers: a text is longer than its block")
    return plain[start:end].decode("latin-1"), end
