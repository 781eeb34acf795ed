"""How much a cluster has for the containers of a namespace: what its nodes have, within what the namespace may use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from swarmlib import Denied

from ..dockerapi.nullable import dict_of, list_of
from .api.client import Api
from .api.lists import listed
from .api.quantities import quantity
from .api.resources import NODES, QUOTAS
from .api.shapes import Object

_CPUS: Final = ("limits.cpu", "requests.cpu", "cpu")
_MEMORY: Final = ("limits.memory", "requests.memory", "memory")
"""What a quota may bound; by each name, the amount that all Pods together may ask for."""
_CLOSED: Final = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Capacity:
    """What there is. nodes: those that take Pods; None if the account may not list nodes.

    cpus, memory: a number and bytes; None where neither nodes nor a quota say it.
    """

    nodes: tuple[Object, ...] | None
    cpus: float | None
    memory: float | None

    def about(self, name: str) -> str:
        """Return what all nodes say of themselves by a name, such as `kernelVersion`; "" where they differ."""
        found = {str(dict_of(_status(each).get("nodeInfo")).get(name) or "") for each in self.nodes or ()}
        return found.pop() if len(found) == 1 else ""


async def capacity(api: Api, namespace: str) -> Capacity:
    """Ask the cluster what it has for a namespace. Raises `SwarmError`: the cluster's error."""
    every, quotas = await _listed(api, NODES.path()), await _listed(api, QUOTAS.path(namespace)) or []
    nodes = None if every is None else tuple(each for each in every if _is_open(each))
    bounds = [dict_of(dict_of(each.get("spec")).get("hard")) for each in quotas if not _is_partial(each)]
    return Capacity(nodes, _least(nodes, "cpu", bounds, _CPUS), _least(nodes, "memory", bounds, _MEMORY))


async def _listed(api: Api, path: str) -> list[Object] | None:
    try:
        return (await listed(api, path))[0]
    except Denied:
        return None


def _is_open(node: Object) -> bool:
    """Return whether a node is ready, and takes Pods that tolerate no taint."""
    spec, conditions = dict_of(node.get("spec")), list_of(_status(node).get("conditions"))
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
    tainted = any(each.get("effect") in _CLOSED for each in list_of(spec.get("taints")))
    return ready and not tainted and not spec.get("unschedulable")


def _is_partial(quota: Object) -> bool:
    """Return whether a quota is about some Pods only."""
    spec = dict_of(quota.get("spec"))
    return bool(spec.get("scopes") or spec.get("scopeSelector"))


def _least(
    nodes: Iterable[Object] | None, what: str, bounds: Iterable[Mapping[str, Any]], names: Iterable[str]
) -> float | None:
    found = [quantity(str(bound[name])) for bound in bounds for name in names if name in bound]
    if nodes is not None:
        found.append(sum(quantity(str(dict_of(_status(each).get("allocatable")).get(what))) or 0.0 for each in nodes))
    return min((each for each in found if each is not None), default=None)


def _status(node: Object) -> dict[str, Any]:
    return dict_of(node.get("status"))
