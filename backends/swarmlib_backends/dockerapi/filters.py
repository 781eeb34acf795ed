"""The `filters` of a request: a JSON object of lists, or the older form of objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

import orjson

from swarmlib import Invalid

from .status import refusal


def decode(args: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the filters among a request's args, each with its values.

    Raises:
        Invalid: the filters are not JSON of either form.
    """
    try:
        decoded = cast("dict[str, Any]", orjson.loads(args.get("filters") or "{}"))
        return {name: [str(value) for value in values] for name, values in decoded.items()}
    except (orjson.JSONDecodeError, AttributeError, TypeError) as exc:
        raise Invalid(f"filters must be a JSON object of lists: {exc}") from exc


def flag(wanted: Mapping[str, list[str]], name: str, yes: Collection[str], no: Collection[str]) -> bool:
    """Return whether a given filter says yes, by either set of words; without a value it does.

    Raises:
        SwarmError: the filter says neither yes nor no.
    """
    values = set(wanted[name])
    if not values or values & set(yes):
        return True
    if values & set(no):
        return False
    raise refusal(400, f"Invalid filter '{name}=[{' '.join(wanted[name])}]'")


def encode(filters: Mapping[str, list[str]]) -> str:
    """Return filters in the form that every engine reads; the inverse of `decode`."""
    return orjson.dumps(filters).decode()
