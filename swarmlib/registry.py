"""Plug-ins: backends found by the entry points of every installed package (group `swarmlib.backends`)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from .errors import Internal, NotFound
from .service import Backend
from .suggestions import nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "swarmlib.backends"


@cache
def _found() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """Return the names of all installed backends, sorted."""
    return sorted(_found())


def find(name: str) -> type[Backend]:
    """Import and return the backend of that name.

    Raises:
        NotFound: no installed package has it; the message names the nearest.
        Internal: its package can't be imported, or has something other than a backend under that name.
    """
    point = _found().get(name)
    if point is None:
        if "://" in name:
            raise NotFound(f"unknown backend {name!r}: an address follows the name of a backend, as in 'docker {name}'")
        raise NotFound(f"unknown backend {name!r}; {nearest(name, names())}")
    try:
        kind = point.load()
    except (ImportError, AttributeError) as exc:
        raise Internal(f"can't import backend {name!r} ({point.value}): {exc}") from exc
    if not (isinstance(kind, type) and issubclass(kind, Backend)):
        raise Internal(f"backend {name!r} ({point.value}) is not a swarmlib.Backend")
    return kind
