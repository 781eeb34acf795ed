"""What answers the operations of an engine: methods that name the rows of the routing table that they are for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, cast

from swarmlib import Request

from ..dockerapi.rows import ROWS, WHOLE

Operations: TypeAlias = Mapping[str, Callable[[Request], Awaitable[Any]]]
"""What answers, by the names of the rows in the routing table."""
FOLLOW: Final = "swarmlib.attach"
"""In the place of a row's name: swarmlib's own `attach`, for which an engine has several rows."""
_NAMES: Final = {FOLLOW, *(row.name for row in (*ROWS, WHOLE))}

M = TypeVar("M", bound=Callable[..., Awaitable[Any]])


def answers(*rows: str) -> Callable[[M], M]:
    """Return a decorator for the method that answers these rows; a method that overrides it needs none.

    Raises:
        ValueError: the routing table has no row of such a name.
    """
    if unknown := set(rows) - _NAMES:
        raise ValueError(f"the routing table has no row {', '.join(sorted(unknown))}")

    def marked(method: M) -> M:
        vars(method)["answered_rows"] = rows
        return method

    return marked


def operations_of(*families: object) -> Operations:
    """Return what answers each row: the method that is marked for it, of the last family and class that has one."""
    return {
        row: getattr(family, name)
        for family in families
        for base in reversed(type(family).__mro__)
        for name, method in vars(base).items()
        for row in getattr(method, "answered_rows", ())
    }


def ref_of(request: Request) -> str:
    """Return the name of the object that a request is about."""
    return request.path[1]


def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object of a canonical request; empty where it has none."""
    return cast("dict[str, Any]", request.json or {})
