"""The data in a body, found without a copy: in one of a known length, or in chunks (RFC 9112, 6.2 and 7.1).

A long body of a known length is data until that has come; the parser of its head, which has judged the length, sees
nothing of it. Bodies in chunks consist of plain ones: a size, a line end, the data, a line end; and at the end `0` and
two line ends. Those are found here. Everything else (trailers, chunk extensions, whatever is malformed) is left to
llhttp, which is at the beginning of a chunk then, as if it had seen those before: so there is one judge of what is
valid. So is the rest of a body in small chunks, such as an engine makes of each line of a log: to copy one takes
llhttp a tenth of the time in which it is found here.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .head import Head
from .outgoing import LAST_CHUNK

_LONG: Final = 64 * 1024
"""Bytes of a body of a known length from which on it is not parsed."""
_SMALL: Final = 2048
"""Bytes of a chunk below which llhttp copies it at less cost than it is found here."""
_MANY: Final = 16
"""Small chunks in one read, after which the others are taken to be small too."""
_DATA_END: Final = b"\r\n"
_BODY_END: Final = _DATA_END + LAST_CHUNK
_SIZE_LINE: Final = re.compile(rb"\r\n([0-9A-Fa-f]{1,15})\r\n")
"""The end of a chunk's data with the size line of the next, of a size that can't overflow."""
_BEGUN_LINE: Final = re.compile(rb"(?:\r(?:\n(?:[0-9A-Fa-f]{1,15}\r?)?)?)?")
_LONGEST_LINE: Final = 19
_NO_CR: Final = "Missing expected CR after chunk data"
_NO_LF: Final = "Expected LF after chunk data"


class Scanned(NamedTuple):
    """What was found in a part of a body."""

    pieces: list[memoryview]
    """The data."""
    rest: bytes = b""
    """What is behind a complete body; else what llhttp must parse, from the beginning of a chunk on."""
    flaw: str = ""
    """What is malformed behind the data, in llhttp's words; it can't be asked, as it has not seen the chunk."""


class CountedData:
    """The data of one body whose length is known, and not 0."""

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def complete(self) -> bool:
        """Whether all has come; what is behind it belongs to the next message."""
        return not self._left

    def scan(self, data: memoryview) -> Scanned:
        """Find the data in what comes next; `rest` is what is behind it."""
        found = data[: self._left]
        self._left -= len(found)
        return Scanned([found] if found else [], rest=bytes(data[len(found) :]))


class PlainChunks:
    """The plain chunks at the beginning of one body, until many of them are small."""

    def __init__(self) -> None:
        self.complete = False
        """Whether the body's end has come, in the form that nearly all have. The parser finds any other."""
        self._left = 0
        """Bytes of the present chunk's data that are still to come."""
        self._line = _DATA_END
        """What has come of a size line; before the first chunk, as if another chunk had ended."""

    def scan(self, data: memoryview) -> Scanned:
        """Find the data in what comes next. After a rest, a flaw or the end, nothing more may be scanned."""
        pieces: list[memoryview] = []
        at, end = 0, len(data)
        if not self._left:
            line = self._line + bytes(data[:_LONGEST_LINE])
            found = self._next_size(line, 0)
            if found is None:
                return self._unusual(pieces, line + bytes(data[_LONGEST_LINE:]))
            at = found.end() - len(self._line)
        while (stop := at + self._left) <= end:
            pieces.append(data[at:stop])
            found = self._next_size(data, stop)
            if found is None:
                return self._unusual(pieces, bytes(data[stop:]))
            at = found.end()
            if len(pieces) == _MANY and stop < _MANY * _SMALL:
                return Scanned(pieces, rest=bytes(data[stop + len(_DATA_END) :]))
        if at < end:
            pieces.append(data[at:])
            self._left -= end - at
        return Scanned(pieces)

    def _next_size(self, data: bytes | memoryview, at: int) -> re.Match[bytes] | None:
        found = _SIZE_LINE.match(data, at)
        self._left = 0 if found is None else int(found[1], 16)
        return found if self._left else None

    def _unusual(self, pieces: list[memoryview], line: bytes) -> Scanned:
        """Find the end of the body, or keep what may become that or a size line; anything else is the parser's."""
        if line.startswith(_BODY_END):
            self.complete = True
            return Scanned(pieces, rest=line[len(_BODY_END) :])
        if _BODY_END.startswith(line) or _BEGUN_LINE.fullmatch(line):
            self._line = line
            return Scanned(pieces)
        if line.startswith(_DATA_END):
            return Scanned(pieces, rest=line.removeprefix(_DATA_END))
        return Scanned(pieces, flaw=_NO_CR if line.startswith(b"\n") else _NO_LF)


def data_of(head: Head) -> CountedData | PlainChunks | None:
    """Return what finds the data in the body of a well-formed head; None if the parser finds it as cheaply."""
    if head.get(b"transfer-encoding") is not None:
        return PlainChunks()
    length = int(head.get(b"content-length") or 0)
    return CountedData(length) if length > _LONG else None
