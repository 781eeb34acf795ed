"""What a transcript test expects of a value: the value itself, or a pattern.

A value is matched part by part, at any depth: a dict by all its keys, a list by all its items. In place of any part
may stand ANY, a type (an instance of it fits), a compiled regular expression (fits text, or bytes, as a whole), a
function (fits if it returns something true), or `subset({...})` (a dict that has at least these).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast


class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""Fits everything."""


@dataclass(frozen=True)
class subset:  # noqa: N801 - it is written as a function is
    """Fits a dict that has at least these keys, with values that fit."""

    fields: dict[str, Any]

    def __repr__(self) -> str:
        return f"subset({self.fields!r})"


def mismatch(expected: Any, got: Any, at: str = "") -> str | None:
    """Return where `got` doesn't fit and what was expected there; None if it fits. `at` is the place of the value."""
    if expected is ANY:
        return None
    if isinstance(expected, subset):
        return _dict_mismatch(expected.fields, got, at, exact=False)
    if isinstance(expected, dict):
        return _dict_mismatch(cast("dict[str, Any]", expected), got, at, exact=True)
    if isinstance(expected, list):
        return _list_mismatch(cast("list[Any]", expected), got, at)
    return None if _fits(expected, got) else f"at {at or 'the value'}: expected {shown(expected)}, got {shown(got)}"


def _fits(expected: Any, got: Any) -> bool:
    if isinstance(expected, type):
        return isinstance(got, expected)
    if isinstance(expected, re.Pattern):
        pattern = cast("re.Pattern[Any]", expected)
        return isinstance(got, type(pattern.pattern)) and pattern.fullmatch(got) is not None
    if callable(expected):
        return bool(cast("Callable[[Any], Any]", expected)(got))
    return type(expected) is type(got) and bool(expected == got)  # True is not 1


def _dict_mismatch(expected: dict[str, Any], got: Any, at: str, *, exact: bool) -> str | None:
    if not isinstance(got, dict):
        return f"at {at or 'the value'}: expected a dict, got {shown(got)}"
    found = cast("dict[str, Any]", got)
    missing = [key for key in expected if key not in found]
    beyond = [key for key in found if key not in expected] if exact else []
    if missing or beyond:
        parts = [f"{what} {', '.join(keys)}" for what, keys in (("it lacks", missing), ("it also has", beyond)) if keys]
        return f"at {at or 'the value'}: {'; '.join(parts)}"
    return _first(mismatch(part, found[key], f"{at}.{key}" if at else key) for key, part in expected.items())


def _list_mismatch(expected: list[Any], got: Any, at: str) -> str | None:
    if not isinstance(got, list | tuple):
        return f"at {at or 'the value'}: expected a list, got {shown(got)}"
    items = cast("list[Any]", got)
    if len(items) != len(expected):
        return f"at {at or 'the value'}: expected {len(expected)} items, got {len(items)}"
    return _first(mismatch(part, items[n], f"{at}[{n}]") for n, part in enumerate(expected))


def _first(problems: Any) -> str | None:
    return next((problem for problem in problems if problem), None)


def shown(expected: Any) -> str:
    """Return an expected value, or one that came, as a test would write it."""
    if isinstance(expected, re.Pattern):
        return f"re.compile({cast('re.Pattern[Any]', expected).pattern!r})"
    if isinstance(expected, dict):
        fields = cast("dict[Any, Any]", expected)
        return "{" + ", ".join(f"{key!r}: {shown(value)}" for key, value in fields.items()) + "}"
    if isinstance(expected, list):
        return "[" + ", ".join(map(shown, cast("list[Any]", expected))) + "]"
    if isinstance(expected, type) or (callable(expected) and hasattr(expected, "__name__")):
        return str(expected.__name__)
    return repr(expected)
