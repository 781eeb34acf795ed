"""Explains why bytes are not JSON, in the words of Go's `encoding/json`, which engines use.

It is only called for bytes that a reader has refused, so it need not be fast.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_LONGEST: Final = 1 << 16  # a longer search would delay other tasks
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*')
_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_NUMBER: Final = (  # for each part: how it begins, the whole of it, and the place that the error names
    (re.compile("-"), re.compile("-?(?:0|[1-9][0-9]*)"), "in numeric literal"),
    (re.compile(r"\."), re.compile(r"\.[0-9]+"), "after decimal point in numeric literal"),
    (re.compile("[eE][+-]?"), re.compile("[eE][+-]?[0-9]+"), "in exponent of numeric literal"),
)
_LITERALS: Final = {"t": "true", "f": "false", "n": "null"}


def explain(raw: bytes) -> str:
    """Return Go's message on the first wrong byte; "" if there is none, or it is too far or too deep inside."""
    if len(raw) > _LONGEST:
        return ""
    scan = _Scan(raw.decode("latin-1"))  # Go names bytes, not characters
    try:
        scan.value()
        if scan.next():
            raise scan.wrong("after top-level value")
    except _WrongError as exc:
        return str(exc)
    except RecursionError:
        return ""
    return ""


class _WrongError(Exception):
    """The first error; its text is Go's message."""


class _Scan:
    """A position in a text. Each method moves past the element that it is named for, or raises the error there."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def next(self) -> str:
        """Skip white space, and return the character after it; "" at the end."""
        self._skip(_SPACE)
        return self._here()

    def value(self) -> None:
        start = self.next()
        if start == "{":
            self._items("}", self._member, "after object key:value pair")
        elif start == "[":
            self._items("]", self.value, "after array element")
        elif start == '"':
            self._string()
        elif start in _LITERALS:
            self._literal(_LITERALS[start])
        elif start == "-" or start.isdecimal():
            self._number()
        else:
            raise self.wrong("looking for beginning of value")

    def _items(self, closing: str, item: Callable[[], None], after: str) -> None:
        self._at += 1
        while self.next() != closing:
            item()
            if self.next() == ",":
                self._at += 1
                if self.next() == closing:
                    item()  # which is missing
            elif self._here() != closing:
                raise self.wrong(after)
        self._at += 1

    def _member(self) -> None:
        if self.next() != '"':
            raise self.wrong("looking for beginning of object key string")
        self._string()
        if self.next() != ":":
            raise self.wrong("after object key")
        self._at += 1
        self.value()

    def _string(self) -> None:
        self._skip(_STRING)
        if self._here() == "\\":
            escape = self._skip(_ESCAPE)
            raise self.wrong("in string escape code" if escape == "\\" else r"in \u hexadecimal character escape")
        if self._here() != '"':
            raise self.wrong("in string literal")
        self._at += 1

    def _number(self) -> None:
        for beginning, whole, place in _NUMBER:
            if not self._skip(whole) and self._skip(beginning):
                raise self.wrong(place)

    def _literal(self, word: str) -> None:
        for expected in word:
            if self._here() != expected:
                raise self.wrong(f"in literal {word} (expecting '{expected}')")
            self._at += 1

    def wrong(self, place: str) -> _WrongError:
        """Return the error about the current character, which is not allowed in this place."""
        if not (character := self._here()):
            return _WrongError("unexpected EOF")
        quoted = r"'\''" if character == "'" else repr(character)
        return _WrongError(f"invalid character {quoted} {place}")

    def _here(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        skipped = found.group() if found else ""
        self._at += len(skipped)
        return skipped
