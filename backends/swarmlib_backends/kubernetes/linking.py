"""Links of the default bridge: by which a container finds others by name, and is told of them by variables.

A creation names the other containers, and its record keeps their ids. The names are resolved as those of links in other
networks are (`endpoints`). The variables are written into the record at each start, so that every gateway that lets the
run begin gives the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from swarmlib import NotFound

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal
from ..enginekit import links
from ..enginekit.networks import PREDEFINED
from ..enginekit.store import ContainerStore
from .container import PodContainer
from .pods.connections import BRIDGE, bridge_links, connections
from .pods.record import Record


def with_ids(body: Mapping[str, Any], store: ContainerStore[PodContainer]) -> Mapping[str, Any]:
    """Return the body of a creation whose links name the other containers by their ids.

    Raises:
        SwarmError: there is no such container, or none of them can be linked to.
    """
    host = dict_of(body.get("HostConfig"))
    mode = str(host.get("NetworkMode") or "default")
    if not (asked := list_of(host.get("Links"))) or mode not in ("default", *PREDEFINED):
        return body  # in a network that was made, they say nothing
    if mode == "host":
        raise links.conflict("host type networking")
    found: dict[str, str] = {}
    for name, alias in map(links.link_of, asked):
        try:
            other = store.find(name)
        except NotFound as exc:
            raise refusal(400, f"could not get container for {name}: {exc.message}") from exc
        if other.host.get("NetworkMode") == "host":
            raise links.conflict("host type networking")
        found.setdefault(alias, other.id)
    return {**body, "HostConfig": {**host, "Links": [f"{id}:{alias}" for alias, id in found.items()]}}


def variables(container: PodContainer, store: ContainerStore[PodContainer]) -> dict[str, str]:
    """Return the variables that the links of a container make, which is about to run: its own take precedence.

    Raises:
        SwarmError: one that it is linked to can't be reached.
    """
    found: dict[str, str] = {}
    for id, alias in bridge_links(container.record):
        other = _with_id(id, store)
        if other is None or not other.running:
            text = f"Cannot link to a non running container: {_name(id, store)} AS /{container.name}/{alias}"
            raise refusal(500, text)
        if BRIDGE not in connections(other.record):
            raise refusal(500, f"container {other.id} not attached to default bridge network")
        found |= links.variables(container.name, alias, other.config, other.address)
    own = {entry.partition("=")[0] for entry in list_of(container.config.get("Env"))}
    return {name: value for name, value in found.items() if name not in own}


def shown(container: PodContainer, store: ContainerStore[PodContainer]) -> list[str] | None:
    """Return the links of a container as its inspection has them."""
    links = bridge_links(container.record)
    return [f"{_name(id, store)}:/{container.name}/{alias}" for id, alias in links] or None


def _name(id: str, store: ContainerStore[PodContainer]) -> str:
    """Return how a container that is linked to is called; one that was removed, by its id."""
    other = _with_id(id, store)
    return f"/{other.name if other is not None else id[:12]}"


def _with_id(id: str, store: ContainerStore[PodContainer]) -> PodContainer | None:
    with suppress(NotFound):
        return store.find(id)
    return None


def names(store: ContainerStore[PodContainer]) -> dict[str, list[str]]:
    """Return the names that links give containers, as lists show them, by the ids of the containers."""
    found: dict[str, list[str]] = {}
    for parent in store:
        for id, alias in bridge_links(parent.record):
            found.setdefault(id, []).append(f"/{parent.name}/{alias}")
    return {id: sorted(each) for id, each in found.items()}


def named(ref: str, store: ContainerStore[PodContainer]) -> PodContainer | None:
    """Return the container that `PARENT/ALIAS` names, by a link to it; None if there is none."""
    name, slash, alias = ref.removeprefix("/").partition("/")
    parent = store.named(name) if slash else None
    asked = bridge_links(parent.record) if parent is not None else []
    return next((_with_id(id, store) for id, each in asked if each == alias), None)


def without(record: Record, alias: str) -> Record:
    """Return a record without a link."""
    kept = [f"{id}:{name}" for id, name in bridge_links(record) if name != alias]
    return replace(record, body={**record.body, "HostConfig": {**record.host, "Links": kept or None}})
