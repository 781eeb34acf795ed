"""The chain of an audit's lines: each has a number, the SHA-256 of the line before, and one of its own text.

A line is a JSON object on one line. It begins with `n`, its number, and `prev`, the SHA-256 of the whole line before it
without its line end; it ends with `hash`, the SHA-256 of all its bytes before `,"hash"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self, cast

import orjson

MAX_LINE: Final = 64 * 1024
"""The most bytes of a line; whoever makes an entry shortens what it holds."""
_TAIL: Final = b',"hash":"'
_TAIL_BYTES: Final = len(_TAIL) + 64 + len(b'"}')


@dataclass(frozen=True, slots=True)
class Link:
    """A line to which another one can be appended.

    Attributes:
        number: its number.
        digest: the SHA-256 of the whole line.
    """

    number: int = 0
    digest: str = "0" * 64

    @classmethod
    def of_text(cls, number: int, line: bytes) -> Self:
        """Return the link of a line, whatever its bytes are."""
        return cls(number, sha256(line).hexdigest())

    def append(self, entries: Sequence[bytes]) -> tuple[bytes, Link]:
        """Return the lines of entries, which follow this one, with their line ends, and the link of the last one.

        entries: JSON objects with at least one field, each on one line.
        """
        lines = list[bytes]()
        digest = self.digest
        for number, entry in enumerate(entries, self.number + 1):
            text = b'{"n":%d,"prev":"%s",%s' % (number, digest.encode(), entry[1:-1])
            hashed = sha256(text)
            tail = b'%s%s"}' % (_TAIL, hashed.hexdigest().encode())
            hashed.update(tail)
            digest = hashed.hexdigest()
            lines += text, tail, b"\n"
        return b"".join(lines), Link(self.number + len(entries), digest)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read.

    Attributes:
        number: its number.
        before: the SHA-256 of the line before it, as it says.
        intact: whether its own hash fits its text.
        link: what the next line has to fit.
        fields: all of them.
    """

    number: int
    before: str
    intact: bool
    link: Link
    fields: Mapping[str, Any]


def read(line: bytes) -> Line | None:
    """Read a line without its line end; return None if it is not the line of an audit."""
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    match data:
        case {"n": int(number), "prev": str(before), "hash": str(digest)}:
            intact = line[-_TAIL_BYTES:] == b'%s%s"}' % (_TAIL, digest.encode("utf-8", "replace"))
            intact = intact and sha256(line[:-_TAIL_BYTES]).hexdigest() == digest
            fields = cast("Mapping[str, Any]", data)
            return Line(number, before, intact, Link.of_text(number, line), fields)
        case _:
            return None
