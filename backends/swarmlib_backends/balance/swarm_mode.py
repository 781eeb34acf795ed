"""Swarm mode, by what engines say of it in their `info`: which of them manage a swarm, and which belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..dockerapi.nullable import dict_of, list_of

FAMILIES: Final = frozenset({"swarm", "nodes", "services", "tasks", "secrets", "configs"})
"""The first words of the paths of swarm mode's objects."""
SCOPE: Final = "swarm"
"""The scope of networks and events that belong to a whole swarm."""
LOCKED: Final = "locked"
"""The state of a manager that must be unlocked before it manages again."""

_About = Mapping[str, Any]


def is_manager(about: _About) -> bool:
    """Return whether an engine's description says that it manages a swarm."""
    return bool(dict_of(about.get("Swarm")).get("ControlAvailable"))


def node_id(about: _About) -> str:
    """Return the id of an engine as a node of a swarm; "" if it is in none."""
    return dict_of(about.get("Swarm")).get("NodeID") or ""


def state(about: _About) -> str:
    """Return the state of an engine in swarm mode, such as `active` or `inactive`."""
    return dict_of(about.get("Swarm")).get("LocalNodeState") or ""


def speaker(abouts: Iterable[_About]) -> int | None:
    """Return the position of the description by the manager that speaks for the swarm; None if there is no manager.

    It is the first that has no trouble: one that has lost the other managers can neither read nor change the swarm.
    """
    managers = [
        (bool(dict_of(about.get("Swarm")).get("Error")), at) for at, about in enumerate(abouts) if is_manager(about)
    ]
    return min(managers)[1] if managers else None


def managers_of(about: _About) -> frozenset[str]:
    """Return the ids of the managers of an engine's swarm, as far as it knows them; empty if it is in none."""
    known = list_of(dict_of(about.get("Swarm")).get("RemoteManagers")) if state(about) == "active" else []
    return frozenset(str(id) for each in known if (id := dict_of(each).get("NodeID")))
