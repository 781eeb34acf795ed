"""How two JSON values differ: where, and in what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, TypeAlias, cast

Place: TypeAlias = tuple[str | int, ...]
"""The names of fields and the indexes that lead to a value."""


def differing(before: Any, after: Any, place: Place = ()) -> Iterator[tuple[Place, Any, Any]]:
    """Yield each place at which they differ, with the values before and after; None where there is none."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        old, new = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", after)
        for name in dict.fromkeys((*old, *new)):
            yield from differing(old.get(name), new.get(name), (*place, name))
    elif isinstance(before, list) and isinstance(after, list):
        for index, (one, other) in enumerate(zip_longest(cast("list[Any]", before), cast("list[Any]", after))):
            yield from differing(one, other, (*place, index))
    elif before != after:
        yield place, before, after


def in_words(place: Place) -> str:
    """Return a place as people write it: `HostConfig.Binds[0]`."""
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place).removeprefix(".")
