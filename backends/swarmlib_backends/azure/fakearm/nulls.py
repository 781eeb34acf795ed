"""JSON without the members that are null: ARM treats them as missing."""

from __future__ import annotations

from typing import Any, cast

from ...http.serving import Body


def without_nulls(value: Any) -> Any:
    """Return a JSON value without the members that are null: ARM treats them as missing."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in cast("Body", value).items() if each is not None}
    return [without_nulls(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value
