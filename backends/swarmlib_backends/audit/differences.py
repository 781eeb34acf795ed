"""What a rule changed in a request: the fields that differ, with their new values as far as these may be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final, cast

from swarmlib import Request

from .. import redact
from ..redact_fields import name_of

MAX_DIFFERENCES: Final = 32
"""The most differences that are shown."""


def between(before: Request, after: Request) -> dict[str, Any]:
    """Return the fields that differ, by their places: the path, parameters, and fields of the body.

    A value that may not be shown is ***, one that was removed is None.
    """
    shown = redact.request(after)
    found = dict[str, Any]()
    if before.path != after.path:
        found["path"] = "/".join(after.path)
    for place, value in (
        *_differing("params", before.params, after.params, shown.params),
        *_differing("", before.json, after.json, shown.json),
    ):
        if len(found) == MAX_DIFFERENCES:
            break
        found[place] = value
    return found


def _differing(place: str, before: Any, after: Any, shown: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        old, new = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", after)
        left = cast("Mapping[str, Any]", shown)
        for name in {**old, **new}:
            inside = f"{place}.{name_of(name)}".lstrip(".")
            yield from _differing(inside, old.get(name), new.get(name), left.get(name_of(name)))
    elif isinstance(before, list) and isinstance(after, list):
        items = zip_longest(cast("list[Any]", before), cast("list[Any]", after), cast("list[Any]", shown))
        for index, each in enumerate(items):
            yield from _differing(f"{place}[{index}]", *each)
    elif before != after:
        yield place, shown
