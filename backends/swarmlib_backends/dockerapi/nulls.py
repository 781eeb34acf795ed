"""Docker writes `null` for a list or an object that is empty: here it is read as what it means."""

from __future__ import annotations

from typing import Any


def items(value: Any) -> list[Any]:
    """A JSON list."""
    return value or []


def fields(value: Any) -> dict[str, Any]:
    """A JSON object."""
    return value or {}
