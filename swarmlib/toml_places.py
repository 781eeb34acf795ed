"""Where the values of a TOML document stand in its text, for errors that point at them.

tomllib reads the values, and does not tell their places. It has read every text that comes here: what follows relies on
the text being valid TOML, and only finds out where its parts begin and end.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Place: TypeAlias = tuple[str | int, ...]
"""The keys and indexes that lead to a value, such as `("rule", 0, "allow")`."""

_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_DOT: Final = re.compile(r"[ \t]*\.[ \t]*")
_SCALAR: Final = re.compile(
    r""""{3}(?:\\.|[^\\])*?"{3,5}(?!")|'{3}.*?'{3,5}(?!')|"(?:\\.|[^"\\])*"|'[^']*'|[^,\]}#\s]+(?:[ ][0-9:.]+)?""",
    re.DOTALL,
)


@dataclass(frozen=True)
class Span:
    """A key and its value: where each begins and ends in the text. An item of an array is its own key."""

    start: int
    end: int
    value_start: int
    value_end: int


def places(text: str) -> Mapping[Place, Span]:
    """Return where each table, key and item stands in a TOML document."""
    return _Scanner(text).document()


def line_of(text: str, at: int) -> int:
    """Return the number of the line, counted from 1, in which `at` is."""
    return text.count("\n", 0, at) + 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[Place, Span] = {}
        self._last: dict[Place, int] = {}
        """The index of the last table in each array of tables."""

    def document(self) -> Mapping[Place, Span]:
        table: Place = ()
        while self._skip(_SPACE) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._found

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at

    def _header(self) -> Place:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        start = self._skip(_SPACE)
        *parents, name = self._keys()
        table: Place = ()
        for key in parents:
            table = self._latest((*table, key))
        table = (*table, name)
        if brackets == 2:
            self._last[table] = self._last.get(table, -1) + 1
        table = self._latest(table)
        for known in range(1, len(table) + 1):  # also the tables that it makes by the way
            self._found.setdefault(table[:known], Span(start, self._at, start, self._at))
        self._at = self._text.index("]", self._at) + brackets
        return table

    def _latest(self, place: Place) -> Place:
        """Return the last table of the array of tables at a place, or else the place."""
        return (*place, self._last[place]) if place in self._last else place

    def _keys(self) -> list[str]:
        """Read a dotted key."""
        keys: list[str] = []
        while found := _KEY.match(self._text, self._at):
            keys.append(next(iter(tomllib.loads(f"{found[0]}=0"))))
            self._at = found.end()
            if not (dot := _DOT.match(self._text, self._at)):
                break
            self._at = dot.end()
        return keys

    def _pair(self, table: Place) -> None:
        start = self._at
        place = (*table, *self._keys())
        end = self._at
        self._at = self._text.index("=", end) + 1
        value_start = self._skip(_SPACE)
        self._value(place)
        for known in range(len(table) + 1, len(place) + 1):  # also the tables that a dotted key makes
            self._found[place[:known]] = Span(start, end, value_start, self._at)

    def _value(self, place: Place) -> None:
        opening = self._text[self._at]
        if opening == "[":
            self._items("]", lambda index: self._item((*place, index)))
        elif opening == "{":
            self._items("}", lambda _: self._pair(place))
        else:
            self._skip(_SCALAR)

    def _items(self, closing: str, read: Callable[[int], None]) -> None:
        self._at += 1
        index = 0
        while self._text[self._skip(_SPACE)] != closing:
            if self._text[self._at] == ",":
                self._at += 1
            else:
                read(index)
                index += 1
        self._at += 1

    def _item(self, place: Place) -> None:
        start = self._at
        self._value(place)
        self._found[place] = Span(start, self._at, start, self._at)
