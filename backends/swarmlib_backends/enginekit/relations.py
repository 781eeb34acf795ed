"""Filters of containers by what they have to do with: other containers, networks, mounts, ports, and their health.

Each is made of functions that say what a backend's containers have; `FILTERS` has those that need nothing of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol, TypeVar

from swarmlib import SwarmError

from ..dockerapi.filters import flag
from ..dockerapi.nullable import list_of
from ..dockerapi.status import refusal
from .filters import Filter, one_of

C = TypeVar("C")
_HEALTHS: Final = frozenset({"starting", "healthy", "unhealthy", "none"})
_LAST_PORT: Final = 2**16 - 1


class Created(Protocol):
    """What must be known of a container to compare its age with that of others."""

    @property
    def created(self) -> float:
        """When it was made, in seconds since the epoch."""
        ...


def by_age(find: Callable[[str], Created], *, before: bool) -> Filter[Created]:
    """Return the filter `before` or `since`, whose values are containers. It raises `SwarmError` if there is none.

    find: returns a container by its id or name, or raises `SwarmError`.
    """

    def test(values: list[str]) -> Callable[[Created], bool]:
        bounds = [_bound(find, ref) for ref in values]
        return lambda each: all(each.created < bound if before else each.created > bound for bound in bounds)

    return test


def _bound(find: Callable[[str], Created], ref: str) -> float:
    try:
        return find(ref).created
    except SwarmError as exc:
        raise refusal(500, f"no such container {ref}") from exc


def by_health(of: Callable[[C], str]) -> Filter[C]:
    """Return the filter `health`. It raises `SwarmError` for an unknown value.

    of: returns an engine's word for a container's health, "none" for one without checks.
    """

    def test(values: list[str]) -> Callable[[C], bool]:
        for value in values:
            if value not in _HEALTHS:
                raise refusal(400, f"Unrecognised filter value for health: {value}")
        return lambda each: not values or of(each) in values

    return test


def by_network(of: Callable[[C], Mapping[str, str]]) -> Filter[C]:
    """Return the filter `network`, whose values are names, or beginnings of ids.

    of: returns the ids of a container's networks by their names; "" for one that it is not in yet.
    """

    def fits(each: C, value: str) -> bool:
        return any(value == name or (id and id.startswith(value)) for name, id in of(each).items())

    return one_of(fits)


def by_mount(of: Callable[[C], Collection[str]]) -> Filter[C]:
    """Return the filter `volume`. of: returns the names, sources and targets of a container's mounts."""
    return one_of(lambda each, value: value in of(each))


def by_port(of: Callable[[C], Collection[str]]) -> Filter[C]:
    """Return the filter `publish` or `expose`, whose values are ports and ranges of ports: 80, 80/udp, 80-90/tcp.

    It raises `SwarmError` for other values.

    of: returns the ports, each with its protocol (80/tcp), that a container exposes, or at which it is published.
    """

    def test(values: list[str]) -> Callable[[C], bool]:
        wanted = {port for value in values for port in _ports(value)}
        return lambda each: not values or not wanted.isdisjoint(of(each))

    return test


def published(ports: Mapping[str, Any]) -> set[str]:
    """Return the host's ports, with their protocols, at which a container's ports are published.

    ports: as an inspection shows them, each with its bindings.
    """
    return {
        f"{binding['HostPort']}/{name.partition('/')[2]}"
        for name, bindings in ports.items()
        for binding in list_of(bindings or None)
    }


def _ports(value: str) -> list[str]:
    """Return the ports of a range, each with its protocol. Raises `SwarmError`."""
    ports, _, protocol = value.partition("/")
    first, _, last = ports.partition("-")
    for bound in (first, last or first):
        if not re.fullmatch("[0-9]{1,5}", bound) or int(bound) > _LAST_PORT:
            why = f'strconv.ParseUint: parsing "{bound}": invalid syntax'
            raise refusal(500, f"error while looking up for publish {value}: {why}")
    return [f"{port}/{protocol or 'tcp'}" for port in range(int(first), int(last or first) + 1)]


def _by_task(values: list[str]) -> Callable[[object], bool]:
    return lambda each: not flag({"is-task": values}, "is-task", ["true"], ["false"])


FILTERS: Final[Mapping[str, Filter[object]]] = {
    "is-task": _by_task,
    "isolation": lambda values: lambda each: True,
}
"""Those of a backend without services, on Linux."""
