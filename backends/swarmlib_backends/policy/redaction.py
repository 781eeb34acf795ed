"""What a rule redacts in answers, wherever it shows: environment variables, labels, arguments and the host's paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeAlias, cast

from swarmlib import Request

from .. import shown
from ..dockerapi.rows import Row
from ..globs import Match, globs
from ..redact_fields import hidden, without_command
from ..redact_text import HIDDEN
from ..toml_tables import Table
from .answer_fields import ANSWERS, Fields, Kind

Show: TypeAlias = Callable[[Any], Any]
"""Returns a value as a client may see it."""


@dataclass(frozen=True)
class Redaction:
    """What a rule redacts.

    Attributes:
        by_operation: returns the value of an answer as the client sees it; operations that show nothing of what is
            redacted are left out.
        labels: the labels whose values are redacted; None for no labels.
        hides_sources: whether the host's paths are redacted.
    """

    by_operation: Mapping[str, Show]
    labels: Match | None
    hides_sources: bool

    @classmethod
    def read(cls, table: Table) -> Self:
        """Read the table `[rule.redact]`.

        Raises:
            Invalid: something in it is wrong; the error names the line.
        """
        env, labels = (_names(table.texts(key)) for key in ("env", "labels"))
        args, mounts = (bool(table.take(key, bool, "true or false")) for key in ("args", "mounts"))
        table.end()
        kinds = dict(_kinds(env, labels, args=args, mounts=mounts))
        if not kinds:
            raise table.mistake("", "[rule.redact] requires env, labels, args or mounts")
        kinds[Kind.TEXT] = hidden
        shows = {name: show for name, fields in ANSWERS.items() if (show := _compiled(fields, kinds)) is not None}
        return cls(shows, labels, mounts)

    def refusals(self, row: Row, request: Request) -> Iterator[str]:
        """Yield why a request would get around the redaction, in words."""
        if "filters" in request.params and "filters" in row.params.declared:
            yield from self._guesses(cast("Any", row.params.of(request)).filters)

    def _guesses(self, filters: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """Yield the filters by which a client could guess what is redacted."""
        for name, values in filters.items():
            guessed = [each.partition("=")[0] for each in values if "=" in each] if "label" in name else []
            for label in guessed:
                if self.labels is not None and self.labels(label):
                    yield f"the filter {name!r} would tell the value of {label!r:.60}, which the rule redacts"
        if self.hides_sources and "volume" in filters:
            yield "the filter 'volume' would tell the host's paths, which the rule redacts"


def _names(patterns: Sequence[str] | None) -> Match | None:
    """Match names by shell patterns, in which `*` stands for anything, and upper case for lower case too."""
    if patterns is None:
        return None
    match = globs([re.sub(r"\*+", "**", each.casefold()) for each in patterns])
    return lambda name: match(name.casefold())


def _kinds(env: Match | None, labels: Match | None, *, args: bool, mounts: bool) -> Iterator[tuple[Kind, Show]]:
    if env is not None:
        yield Kind.ENV, partial(_pairs, env)
        yield Kind.VALUE, hidden
    if labels is not None:
        yield Kind.LABELS, partial(_pairs, labels)
        yield Kind.ATTRIBUTES, partial(_pairs, lambda name: name not in shown.ATTRIBUTES and labels(name))
    if args:
        yield Kind.ARGS, hidden
        yield Kind.ACTION, _action
        yield Kind.PROCESSES, _processes
    if mounts:
        yield Kind.SOURCE, _source
        yield Kind.BINDS, _binds
        yield Kind.OPTIONS, hidden


def _compiled(fields: Fields, kinds: Mapping[Kind, Show]) -> Show | None:
    """Return what shows a value with these fields; None if nothing in it is redacted."""
    if isinstance(fields, Kind):
        return kinds.get(fields)
    shows = {name: show for name, each in fields.items() if (show := _compiled(each, kinds)) is not None}
    return partial(_objects, shows) if shows else None


# Each of the functions below shows one kind of value. What is not of the kind is hidden.


def _objects(shows: Mapping[str, Show], given: Any) -> Any:
    if isinstance(given, dict):
        fields = cast("dict[str, Any]", given)
        return {name: shows[name](each) if name in shows else each for name, each in fields.items()}
    if isinstance(given, list):
        return [_objects(shows, each) for each in cast("list[Any]", given)]
    return hidden(given)


def _pairs(is_secret: Match, given: Any) -> Any:
    if isinstance(given, dict):
        pairs = cast("dict[str, Any]", given)
        return {name: hidden(each) if is_secret(name) else each for name, each in pairs.items()}
    if isinstance(given, list):
        return [_pairs(is_secret, each) for each in cast("list[Any]", given)]
    name, equals, value = given.partition("=") if isinstance(given, str) else ("", "", "")
    if not name:
        return hidden(given)
    return f"{name}={hidden(value)}" if equals and is_secret(name) else given


def _action(given: Any) -> Any:
    return without_command(given) if isinstance(given, str) else hidden(given)


def _processes(given: Any) -> Any:
    rows = cast("list[Any]", given) if isinstance(given, list) else []
    return [[*row[:-1], HIDDEN] if isinstance(row, list) and row else hidden(row) for row in rows]


def _source(given: Any) -> Any:
    """Show the name of a volume, but no path."""
    return given if isinstance(given, str) and "/" not in given and "\\" not in given else hidden(given)


def _binds(given: Any) -> Any:
    if isinstance(given, list):
        return [_binds(each) for each in cast("list[Any]", given)]
    source, colon, rest = given.partition(":") if isinstance(given, str) else ("", "", "")
    return f"{_source(source)}{colon}{rest}" if colon else hidden(given)
