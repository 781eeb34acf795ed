"""The lines of a request's head, in the form in which they are given to the parser."""

from __future__ import annotations

import re
from typing import Final

_BEGINNING: Final = b"\r\nABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BEYOND_ASCII: Final = re.compile(rb"[\x80-\xff]")


def may_begin(data: bytes) -> bool:
    """Return whether a request may begin so, with a method or with an empty line before it."""
    return data[0] in _BEGINNING


def end_of_lines(data: bytes, *, in_head: bool) -> int:
    """Return where the lines end that can be parsed at once, none beyond a head; 0 if no line is complete.

    in_head: whether the first line of the head was parsed before.
    """
    if not data.isascii() or (in_head and data[0] in b"\r\n"):
        return data.find(b"\n") + 1
    end = data.find(b"\n\r\n")
    return data.rfind(b"\n") + 1 if end < 0 else end + 3


def escaped(line: bytes) -> bytes:
    """Return a request's first line with its bytes beyond ASCII as percent escapes: an engine accepts both."""
    return line if line.isascii() else _BEYOND_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line)
