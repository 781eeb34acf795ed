"""The networks that containers are connected to, and the names that they have there.

What a container is connected to is in its record. All containers of a cluster reach each other; a network is the
names that its containers have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ...dockerapi.nullable import dict_of, list_of
from ...enginekit.links import link_of
from ...enginekit.networks import PREDEFINED
from . import fields
from .fields import refused
from .record import Record

Connections: TypeAlias = Mapping[str, Mapping[str, Any]]
"""What each connection asks for, by the names of the networks."""

BRIDGE: Final = "bridge"
"""The default network."""
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SHORT: Final = 12
_NO_NAME: Final = "a name has letters, digits and '-' in a cluster, at most 63"


def wanted_connections(body: Mapping[str, Any], name_of: Callable[[str], str]) -> Connections:
    """Return the connections that a creation asks for.

    body: of the creation. name_of: returns the name of the network that an id or a name refers to.

    Raises:
        Unsupported: a connection can't be had in a cluster; names why.
    """
    mode = str(dict_of(body.get("HostConfig")).get("NetworkMode") or "default")
    given = dict_of(dict_of(body.get("NetworkingConfig")).get("EndpointsConfig"))
    own = "bridge" if mode == "default" else mode
    named = given if own in PREDEFINED and given else {own: dict_of(None), **given}
    found: dict[str, Mapping[str, Any]] = {}
    for ref, each in named.items():
        name = name_of("bridge" if ref == "default" else ref)
        found[name] = checked(name, {**found.get(name, {}), **dict_of(each)})
    return found


def checked(network: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is kept of what a connection to a network asks for.

    Raises:
        Unsupported: it can't be had in a cluster; names it.
    """
    fields.check({"NetworkingConfig": {"EndpointsConfig": {network: given}}})
    aliases = list(dict.fromkeys(map(str, list_of(given.get("Aliases")))))
    for alias in aliases:
        if not is_label(alias):
            raise refused((f"Aliases {alias!r:.80}", _NO_NAME))
    links = list(dict.fromkeys(map(str, list_of(given.get("Links")))))
    for link in links:
        name, alias = link_of(link)
        if not is_label(alias) and not name.endswith(alias):  # Compose links a container by all of its own names, too
            raise refused((f"Links {link!r:.80}", _NO_NAME))
    return {name: each for name, each in (("Aliases", aliases), ("Links", links)) if each}


def is_label(name: str) -> bool:
    """Return whether a name can be resolved in a cluster."""
    return _LABEL.fullmatch(name.lower()) is not None


def connections(record: Record) -> Connections:
    """Return the connections that a container has."""
    return wanted_connections(record.body, lambda ref: ref) if record.networks is None else record.networks


def links(record: Record) -> list[tuple[str, str, str]]:
    """Return the links that a container has: the network of each, the other container there, and the alias.

    The other one is named; on the default bridge, by its id. There, the links of a connection say nothing.
    """
    made = [
        (network, *link_of(link))
        for network, asked in connections(record).items()
        if network not in PREDEFINED
        for link in list_of(asked.get("Links"))
    ]
    return made + [(BRIDGE, id, alias) for id, alias in bridge_links(record)]


def bridge_links(record: Record) -> list[tuple[str, str]]:
    """Return the links that a container has on the default bridge: the ids of the other ones, and the aliases."""
    return [link_of(link) for link in list_of(record.host.get("Links"))]


def given(record: Record, network: str) -> list[str] | None:
    """Return the names in a network that were asked for, as an engine shows them before a start; None for none."""
    return list_of(connections(record)[network].get("Aliases")) or None


def aliases(record: Record, network: str) -> list[str] | None:
    """Return the names that a container has in a network besides its own, as an engine shows them; None for none."""
    asked = given(record, network)
    if network in PREDEFINED:
        return asked
    return [*(each for each in asked or () if each != record.id[:_SHORT]), record.id[:_SHORT]]


def resolvable(record: Record, network: str) -> list[str]:
    """Return the names that a container has in a network, as far as a cluster can resolve them."""
    found = (record.name, *(aliases(record, network) or ()))
    return sorted({each.lower() for each in found if is_label(each)})
