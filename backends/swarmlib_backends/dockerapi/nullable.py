"""Docker writes `null` for an empty list or object; these functions read it as that."""

from __future__ import annotations

from typing import Any


def list_of(value: Any) -> list[Any]:
    """Return a JSON list, empty for null."""
    return value or []


def dict_of(value: Any) -> dict[str, Any]:
    """Return a JSON object, empty for null."""
    return value or {}
