"""What a rule changed in a request: the fields that differ, with their new values as far as these may be shown."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from swarmlib import Request

from .. import redact
from ..json_differences import Place, differing, in_words
from ..redact_fields import name_of

MAX_DIFFERENCES: Final = 32
"""The most differences that are shown."""


def between(before: Request, after: Request) -> dict[str, Any]:
    """Return the fields that differ, by their places: the path, parameters, and fields of the body.

    A value that may not be shown is ***, one that was removed is None.
    """
    found = dict[str, Any]()
    if before.path != after.path:
        found["path"] = "/".join(after.path)
    shown = redact.request(after)
    parts = ((before.params, after.params, shown.params, "params."), (before.json, after.json, shown.json, ""))
    changed = ((place, left, inside) for old, new, left, inside in parts for place, *_ in differing(old, new))
    for place, left, inside in islice(changed, MAX_DIFFERENCES - len(found)):
        names = tuple(each if isinstance(each, int) else name_of(each) for each in place)
        found[inside + in_words(names)] = _at(names, left)
    return found


def _at(place: Place, value: Any) -> Any:
    """Return what is at a place; None if there is nothing."""
    for each in place:
        try:
            value = value[each]
        except (KeyError, IndexError, TypeError):
            return None
    return value
