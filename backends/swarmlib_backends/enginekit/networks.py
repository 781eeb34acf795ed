"""The networks of a backend, found and filtered as an engine finds and filters its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

from swarmlib import NotFound

from ..dockerapi.filters import flag
from ..dockerapi.nullable import dict_of
from ..dockerapi.status import refusal
from ..dockerapi.values import stamp
from .filters import labels_wanted

PREDEFINED: Final = {"bridge": "bridge", "host": "host", "none": "null"}
"""The networks that every engine has, with their drivers."""
FILTERS: Final = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
"""The filters of a list of networks."""
AMBIGUOUS: Final = "network {ref} is ambiguous ({count} matches found {on_name})"
"""What is said of several networks, unless a call says it otherwise."""


class Named(Protocol):
    """What must be known of a network."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def driver(self) -> str:
        """Its driver."""
        ...

    @property
    def created(self) -> float:
        """When it was created, in seconds since the epoch."""
        ...

    @property
    def body(self) -> Mapping[str, Any]:
        """What it was created with."""
        ...


N = TypeVar("N", bound=Named)


def shown(network: Named, members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inspection of a network that has no options but whether containers may be attached, and labels.

    members: what is shown of the containers in it, by their ids.
    """
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": stamp(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": bool(network.body.get("Attachable")),
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": members,
        "Options": {},
        "Labels": dict_of(network.body.get("Labels")),
    }


def only(networks: Iterable[N], ref: str, several: str = AMBIGUOUS) -> N:
    """Return a network by its id, its name, or a prefix of its id.

    several: a format of what is said of several, which differs by call.

    Raises:
        NotFound: there is none. SwarmError: there are several.
    """
    listed = {each.id: each for each in networks}
    if ref in listed:
        return listed[ref]
    by_name = [each for each in listed.values() if each.name == ref]
    by_prefix = [each for id, each in listed.items() if id.startswith(ref)]
    for where, on_name, fitting in (("name", "on name", by_name), ("ID prefix", "based on ID prefix", by_prefix)):
        if len(fitting) > 1:
            raise refusal(400, several.format(ref=ref, count=len(fitting), where=where, on_name=on_name))
        if fitting:
            return fitting[0]
    raise NotFound(f"network {ref} not found")


def fits(network: Named, wanted: dict[str, list[str]], *, dangling: bool) -> bool:
    """Return whether a network fits the filters of a list, but for its name.

    dangling: whether no container uses it.

    Raises:
        SwarmError: a filter has a value that it can't have.
    """
    if wanted.get("dangling") and flag(wanted, "dangling", ("true", "1"), ("false", "0")) is not dangling:
        return False
    for value in wanted.get("type", []):
        if value not in ("custom", "builtin"):
            raise refusal(500, f"invalid filter: 'type'='{value}'")
        if (network.name in PREDEFINED) is not (value == "builtin"):
            return False
    labels = dict_of(network.body.get("Labels"))
    tests: dict[str, Callable[[str], bool]] = {
        "driver": lambda value: network.driver == value,
        "scope": lambda value: value == "local",
        "id": lambda value: value in network.id,
    }
    return labels_wanted(labels, wanted) and all(
        any(test(value) for value in wanted[key]) for key, test in tests.items() if wanted.get(key)
    )
