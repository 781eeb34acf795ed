"""TOML tables read strictly: each value has its type, no key is left over, and an error names the line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar, cast

from swarmlib import Invalid, SwarmError
from swarmlib.suggestions import nearest
from swarmlib.toml_places import Place, Span, line_of, places

T = TypeVar("T")

_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Source:
    """The text of a TOML file, and where its values stand."""

    name: str
    text: str
    spans: Mapping[Place, Span]

    def span(self, place: Place) -> Span:
        """Return where a value stands, or else the nearest table or list that it is in."""
        known = (place[:end] for end in range(len(place), 0, -1))
        return next((self.spans[each] for each in known if each in self.spans), Span(0, 0, 0, 0))

    def mistake(self, place: Place, what: str) -> Mistake:
        """Make the error about the value at a place."""
        return self.mistake_at(self.span(place).start, what)

    def mistake_at(self, at: int, what: str) -> Mistake:
        """Make the error about what begins at a character of the text."""
        return Mistake(f"{self.name}:{line_of(self.text, at)}: {what}")


class Mistake(Invalid):
    """A mistake in a file; the message names the file and the line."""


def filled(text: str) -> str:
    """Replace `${NAME}` by the environment variable NAME.

    Raises:
        Invalid: it is not set.
    """

    def value(name: re.Match[str]) -> str:
        if name[1] not in os.environ:
            raise Invalid(f"the environment variable {name[1]} is not set")
        return os.environ[name[1]]

    return _VARIABLE.sub(value, text)


@dataclass
class Table:
    """A table whose keys are taken one by one; `end` refuses those that nobody took."""

    source: Source
    place: Place
    values: Mapping[str, Any]
    known: set[str] = field(default_factory=set[str])

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Parse a file.

        Raises:
            Invalid: it is not TOML; the error has the line.
        """
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            line = re.search(r"line (\d+)", str(exc))
            raise Invalid(f"{name}:{line[1] if line else len(text.splitlines())}: {exc}") from exc
        return cls(Source(name, text, places(text)), (), values)

    def take(self, key: str, kind: type[T], wanted: str) -> T | None:
        """Take a value of a type; None if it is missing.

        Raises:
            Invalid: it is of another type.
        """
        self.known.add(key)
        value = self.values.get(key)
        if value is None or (isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))):
            return value
        raise self.mistake(key, f"{key} must be {wanted}, not {value!r:.60}")

    def number(self, key: str) -> float | None:
        """Take a number."""
        value = self.values.get(key)
        return self.take(key, int if isinstance(value, int) else float, "a number such as 1.5")

    def flag(self, key: str) -> bool:
        """Take true or false; false if it is missing."""
        return self.take(key, bool, "true or false") or False

    def text(self, key: str) -> str | None:
        """Take a text."""
        return self.take(key, str, "a text")

    def texts(self, key: str) -> Sequence[str] | None:
        """Take a list of texts; a single text stands for a list of it, and numbers for their texts."""
        self.known.add(key)
        value = self.values.get(key)
        if value is None:
            return None
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        if not all(isinstance(each, str | int) and not isinstance(each, bool) for each in items):
            raise self.mistake(key, f"{key} must be a list of texts, not {value!r:.60}")
        return [self._filled(key, str(each)) for each in items]

    def filled(self, key: str) -> str | None:
        """Take a text in which `${NAME}` stands for an environment variable."""
        text = self.text(key)
        return None if text is None else self._filled(key, text)

    def pairs(self, key: str, check: Callable[[tuple[str, str]], object] = bool) -> Mapping[str, str]:
        """Take a table of texts, in which `${NAME}` stands for an environment variable; an empty one if it is missing.

        check: raises ValueError or SwarmError if a name or its text is wrong.
        """
        table = self.table(key)
        pairs = {name: table.filled(name) or "" for name in table.values}
        for pair in pairs.items():
            table.read(pair[0], pair, check)
        return pairs

    def _filled(self, key: str, text: str) -> str:
        return str(self.read(key, text, filled))

    def table(self, key: str) -> Table:
        """Take a table; an empty one if it is missing."""
        values = cast("dict[str, Any] | None", self.take(key, dict, f"a table, [{key}]"))
        return Table(self.source, (*self.place, key), values or {})

    def read_table(self, key: str, read: Callable[[Table], T]) -> T | None:
        """Take a table and read it; None if it is missing. Raises what `read` raises."""
        table = self.table(key)
        return read(table) if key in self.values else None

    def tables(self, key: str) -> list[Table]:
        """Take a list of tables."""
        values = cast("list[Any]", self.take(key, list, f"tables, each with the head [[{key}]]") or [])
        if not all(isinstance(each, dict) for each in values):
            raise self.mistake(key, f"{key} must be tables, each with the head [[{key}]]")
        return [Table(self.source, (*self.place, key, index), each) for index, each in enumerate(values)]

    def read(self, key: str, value: T, read: Callable[[T], Any]) -> Any:
        """Convert a value that was taken.

        Raises:
            Invalid: it is wrong, as `read` says.
        """
        try:
            return read(value)
        except (ValueError, SwarmError) as exc:
            raise self.mistake(key, f"{key}: {exc}") from exc

    def end(self) -> None:
        """Refuse the keys that were not taken: a misspelt one would silently change what is allowed.

        Raises:
            Invalid: there is one.
        """
        for key in self.values.keys() - self.known:
            raise self.mistake(key, f"unknown key {key!r}; {nearest(key, sorted(self.known))}")

    def mistake(self, key: str, what: str) -> Mistake:
        """Make the error about a key's value."""
        return self.source.mistake((*self.place, key), what)
