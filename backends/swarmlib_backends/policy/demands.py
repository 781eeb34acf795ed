"""What a body demands of an engine beyond the ordinary: the host's files, its namespaces, its ports.

A demand has a kind, which is the key of a rule that can grant it, and a value, which the rule judges. The readers of
`containers` and its like turn each field of a canonical body into demands: a field that is harmless, or has the value
that an engine uses anyway, makes none. A field that no reader knows is a demand of the kind `fields`, so nothing passes
unjudged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Value: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Demand:
    """Something that a rule must grant.

    Attributes:
        kind: the key in a rule's table that can grant it, such as `binds`.
        value: what is demanded, such as `/etc`.
        place: the field of the body that demands it, such as `HostConfig.Binds[0]`.
    """

    kind: str
    value: str
    place: str


Reader: TypeAlias = Callable[[str, Value], Iterator[Demand]]
"""Takes a field's place and its value; yields what the field demands."""

FIELDS: Final = "fields"
"""The kind of what has no kind of its own; its value is the field's place without indexes and keys."""


def nothing(place: str, value: Value) -> Iterator[Demand]:
    """Read a field that is harmless whatever its value."""
    yield from ()


def other(place: str, value: Value) -> Iterator[Demand]:
    """Read a field that has no kind of its own: any value demands it, but the one that Go substitutes for none."""
    if value not in (None, "", 0, False, [], {}):
        yield Demand(FIELDS, place.partition("[")[0], place)


def given(place: str, value: Value) -> Iterator[Demand]:
    """Read a field that changes what an engine does even if its value is empty."""
    if value is not None:
        yield Demand(FIELDS, place, place)


def text(kind: str, *harmless: str) -> Reader:
    """Make the reader of a text; "" and the texts that are harmless demand nothing."""

    def read(place: str, value: Value) -> Iterator[Demand]:
        if value and value not in harmless:
            yield Demand(kind, value, place)

    return read


def always(kind: str) -> Reader:
    """Make the reader of a text that is demanded whatever it is."""

    def read(place: str, value: Value) -> Iterator[Demand]:
        yield Demand(kind, value, place)

    return read


def assigned(kind: str, *harmless: Value) -> Reader:
    """Make the reader of a value that is demanded together with its field's name, such as `OomScoreAdj=-500`."""

    def read(place: str, value: Value) -> Iterator[Demand]:
        if value and value not in harmless:
            text = "true" if value is True else str(value)
            yield Demand(kind, f"{place.rpartition('.')[2].partition('[')[0]}={text}", place)

    return read


def keys(kind: str) -> Reader:
    """Make the reader of a map whose keys are demanded."""

    def read(place: str, value: Value) -> Iterator[Demand]:
        for name in value:
            yield Demand(kind, name, f"{place}.{name}")

    return read


def pairs(kind: str) -> Reader:
    """Make the reader of a map whose entries are demanded, as `KEY=VALUE`."""

    def read(place: str, value: Value) -> Iterator[Demand]:
        for name, inner in value.items():
            yield Demand(kind, f"{name}={inner}", f"{place}.{name}")

    return read


def each(read: Reader) -> Reader:
    """Make the reader of a list by that of its items."""

    def read_all(place: str, value: Value) -> Iterator[Demand]:
        items: Sequence[Any] = value or ()
        for index, item in enumerate(items):
            yield from read(f"{place}[{index}]", item)

    return read_all


def flag(kind: str) -> Reader:
    """Make the reader of a boolean."""

    def read(place: str, value: Value) -> Iterator[Demand]:
        if value:
            yield Demand(kind, "true", place)

    return read


def struct(fields: Mapping[str, Reader]) -> Reader:
    """Make the reader of an object by those of its fields; any other field is demanded, whatever its value."""

    def read(place: str, value: Value) -> Iterator[Demand]:
        inside: Mapping[str, Any] = value or {}
        for name, inner in inside.items():
            yield from fields.get(name, _unknown)(f"{place}.{name}" if place else name, inner)

    return read


def harmless(*fields: str) -> Reader:
    """Make the reader of an object whose fields are harmless; any other one is demanded."""
    return struct(dict.fromkeys(fields, nothing))


def both(first: Reader, second: Reader) -> Reader:
    """Make the reader of a value that two readers take."""

    def read(place: str, value: Value) -> Iterator[Demand]:
        yield from first(place, value)
        yield from second(place, value)

    return read


def _unknown(place: str, value: Value) -> Iterator[Demand]:
    """Read a field that the schema, or this version of swarmlib, does not know: its zero may mean anything."""
    yield Demand(FIELDS, place.partition("[")[0], place)
