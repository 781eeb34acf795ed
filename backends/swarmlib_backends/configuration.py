"""A configuration file in TOML: the chains of a swarmd, and its own settings.

    [chain.front]
    stages = [
        "dockerserver unix:///run/swarm.sock",
        { backend = "balance", strategy = "binpack", members = ["a=docker unix:///a.sock", "b=docker ssh://b"] },
    ]

`stages` has what the arguments of the command have: texts of one stage or several. A stage may be a table too, whose
keys are the names of the backend's arguments, as on the command line without `--`, and as in Python. A chain that is an
argument, such as a member, is a text, a list of stages, or a table with `stages` and perhaps a `name`. In every text,
`${NAME}` stands for an environment variable.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Self, cast

from swarmlib import Backend, Chain, ChainSyntaxError, Invalid, SwarmError
from swarmlib.binding import Named, Value, stage
from swarmlib.checking import check_endpoints, check_order
from swarmlib.grammar import ChainText, StageText, Word, parse
from swarmlib.toml_places import Place

from .toml_tables import Mistake, Source, Table, filled


@dataclass(frozen=True)
class Configuration:
    """What a configuration file says.

    Attributes:
        chains: the chains by their names, of which each has a source.
        swarmd: the table `[swarmd]`, whose keys are still to be taken.
    """

    chains: Mapping[str, Chain]
    swarmd: Table
    _reader: _Reader

    def located(self, error: Invalid) -> Invalid:
        """Return an error about one of the chains with the line that it concerns."""
        return self._reader.located(error)

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Read a configuration from the text of a file.

        Raises:
            Invalid: it is wrong; the error names the line.
        """
        top = Table.parse(text, name)
        chains, swarmd = top.table("chain"), top.table("swarmd")
        top.end()
        if not chains.values:
            raise top.mistake("chain", "there is no chain: expected a table [chain.NAME] with stages")
        reader = _Reader(top.source)
        found = {each: reader.top(chains.table(each), each) for each in chains.values}
        with reader.at(chains.place):
            check_endpoints(list(found.values()))
        return cls(found, swarmd, reader)

    @classmethod
    def read_file(cls, path: FilePath) -> Self:
        """Read a configuration from a file.

        Raises:
            Invalid: the file can't be read; otherwise as `parse`.
        """
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise Invalid(f"{path}: {exc.strerror if isinstance(exc, OSError) else exc}") from exc
        return cls.parse(text, str(path))


class _Reader:
    """Reads chains from the values of a file, and knows where each of them stands."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._texts: list[tuple[str, Place]] = []

    def top(self, table: Table, name: str) -> Chain:
        """Read `[chain.NAME]`."""
        with self.at(table.place):
            chain = self._from_table(table, name)
            check_order(chain, has_source=True)
            return chain

    def _from_table(self, table: Table, label: str) -> Chain:
        example = '["dockerserver unix:///run/swarm.sock", "docker"]'
        stages = cast("list[Any] | None", table.take("stages", list, f"a list of stages, such as {example}"))
        table.end()
        if not stages:
            raise table.mistake("stages", "a chain requires stages")
        place = (*table.place, "stages")
        return self._row(place, stages, label)

    def _row(self, place: Place, stages: list[Any], label: str = "") -> Chain:
        return Chain(*(self._stage((*place, index), each) for index, each in enumerate(stages)), label=label)

    def _stage(self, place: Place, value: Any) -> Chain | Backend:
        if isinstance(value, str):
            return self._text(place, value)
        if isinstance(value, dict):
            return self._table_stage(place, cast("dict[str, Any]", value))
        raise self._source.mistake(place, f"invalid stage {value!r:.60}: expected a text, or a table with a backend")

    def _text(self, place: Place, value: str) -> Chain:
        self._texts.append((value, place))
        with self.at(place):
            return Chain.read(_expanded(parse(value)))

    def _table_stage(self, place: Place, values: dict[str, Any]) -> Backend:
        if not isinstance(name := values.get("backend"), str):
            raise self._source.mistake(place, 'a stage requires backend = "NAME"')
        arguments = [
            Named(self._key((*place, key)), self._value((*place, key), value))
            for key, value in values.items()
            if key != "backend"
        ]
        with self.at(place):
            span = self._source.span((*place, "backend"))
            return stage(Word(name, True, span.value_start, span.value_end), arguments, self._source.text)

    def _key(self, place: Place) -> Word:
        span = self._source.span(place)
        return Word(str(place[-1]), True, span.start, span.end)

    def _value(self, place: Place, value: Any, *, nested: bool = False) -> Value:
        """Read the value of an argument: tables are chains, and so are lists in lists."""
        span = self._source.span(place)
        if isinstance(value, str):
            with self.at(place):
                value = filled(value)
            self._texts.append((value, place))  # it may be that of a chain
        elif isinstance(value, dict):
            value = self._chain(place, cast("dict[str, Any]", value))
        elif isinstance(value, list):
            items = cast("list[Any]", value)
            value = self._row(place, items) if nested else self._items(place, items)
        return Value(value, span.value_start, span.value_end)

    def _items(self, place: Place, items: list[Any]) -> list[Value]:
        return [self._value((*place, index), each, nested=True) for index, each in enumerate(items)]

    def _chain(self, place: Place, values: dict[str, Any]) -> Chain:
        if "backend" in values:
            return Chain(self._table_stage(place, values))
        table = Table(self._source, place, values)
        name = table.text("name") or ""
        return self._from_table(table, name)

    @contextmanager
    def at(self, place: Place) -> Generator[None]:
        """Name the line in the error about the value at a place."""
        try:
            yield
        except Mistake:
            raise
        except SwarmError as exc:
            raise self.located(exc, place) from exc

    def located(self, error: SwarmError, place: Place = ()) -> Mistake:
        """Return an error with its line: that at which it points, or else that of a place."""
        at = self._place_in(error) if isinstance(error, ChainSyntaxError) else None
        return self._source.mistake_at(self._source.span(place).value_start if at is None else at, error.message)

    def _place_in(self, error: ChainSyntaxError) -> int | None:
        """Return the place in the file that an error points at, or the beginning of the text in which it does."""
        if error.text is self._source.text:
            return error.start
        return next((self._source.span(place).value_start for text, place in self._texts if text is error.text), None)


def _expanded(chain: ChainText) -> ChainText:
    """Replace the environment variables in the words of a chain, none of which becomes two words by that."""
    stages = (StageText(_filled(each.name), tuple(map(_argument, each.arguments))) for each in chain.stages)
    return ChainText(tuple(stages), chain.source, chain.start, chain.end, chain.label)


def _argument(argument: Word | ChainText) -> Word | ChainText:
    return _filled(argument) if isinstance(argument, Word) else _expanded(argument)


def _filled(word: Word) -> Word:
    text = filled(word.text)
    return Word(text, word.quoted or text != word.text, word.start, word.end)  # what a variable holds is no option
