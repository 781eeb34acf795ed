"""Compressed bytes that a client sent, made plain within a bound: a few of them may stand for a great many."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Final

from swarmlib import TooLarge

from ..dockerapi.status import refusal

_MOST: Final = 256 * 1024 * 1024
"""Plain bytes, at most: they are kept in memory."""
_MOST_STREAMS: Final = 64
_KINDS: Final[tuple[tuple[bytes, Callable[[], Any]], ...]] = (
    (b"\x1f\x8b\x08", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lzma.LZMADecompressor),
)
"""How gzip, bzip2 and xz begin, and what reads them."""


def plain(data: bytes) -> bytes:
    """Return the bytes that were compressed; those that are not are given back as they are.

    Raises:
        SwarmError: they are broken. TooLarge: they are too many.
    """
    make = next((make for magic, make in _KINDS if data.startswith(magic)), None)
    if make is None:
        return data
    found = bytearray()
    try:
        for _ in range(_MOST_STREAMS):
            if not data.strip(b"\0"):
                return bytes(found)
            reader = make()
            found += reader.decompress(data, _MOST + 1 - len(found))
            if len(found) > _MOST:
                raise TooLarge(f"what is compressed is over {_MOST} bytes")
            if not reader.eof:
                raise refusal(500, "Error processing tar file(exit status 1): unexpected EOF")
            data = reader.unused_data
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError) as exc:
        raise refusal(500, f"Error processing tar file(exit status 1): {exc}") from exc
    raise TooLarge(f"over {_MOST_STREAMS} compressed streams stand after one another")
