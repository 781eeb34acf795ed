"""The filters that rule out nodes for a new container: one class for each kind of reason, with one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, Protocol, TypeAlias

from ...dockerapi.isolation import lacking, offered
from ...dockerapi.nullable import dict_of
from ..index import Index, placed
from ..node import Claim, Node, Port
from ..objects import ENDED
from .rules import Rule

LAST_RESORT: Final = "swarmlib.last-resort=true"
"""The label of an engine that is used only if no other fits, as it costs more (machines created on demand)."""
_ABOUT: Final = {
    "storagedriver": "Driver",
    "driver": "Driver",
    "kernelversion": "KernelVersion",
    "operatingsystem": "OperatingSystem",
    "ostype": "OSType",
    "architecture": "Architecture",
}
"""The properties of an engine that rules may name besides its labels, and their fields in `info`."""
_SLOTS: Final = "containerslots"
_ANY_ADDRESS: Final = frozenset({"", "0.0.0.0", "::"})

Reason: TypeAlias = "str | None"
"""Why a node can't have a container; None if it can."""


class Filter(Protocol):
    """One thing that a container asks of its node. It serves one choice, during which nothing changes."""

    def reason(self, node: Node) -> Reason:
        """Return why the node can't have the container; None if this filter allows it."""
        ...


@dataclass(frozen=True)
class RefusalFilter:
    """Rules out the nodes that have refused the container."""

    refused: Mapping[Node, str]
    """Why each did."""

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        return self.refused.get(node)


class HealthFilter:
    """Rules out a node that is down, or takes no new containers."""

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        if node.up:
            return node.closed or None
        return f"it is down ({node.failure.message})" if node.failure else node.trouble


@dataclass(frozen=True)
class ConstraintFilter:
    """A rule about the node: its name, its labels, or a property of its engine."""

    rule: Rule

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        return self._judged(_property(self.rule.key, node))

    @cached_property
    def _judged(self) -> Callable[[str | None], Reason]:
        return cache(self._judge)  # of many nodes, most have the same value

    def _judge(self, value: str | None) -> Reason:
        if (value is not None and self.rule.fits(value)) is self.rule.wanted:
            return None
        return f"constraint {self.rule.text}: its {self.rule.key} is {'not set' if value is None else value}"


def _property(key: str, node: Node) -> str | None:
    if key == "node":
        return node.name
    if (value := node.value_of(key)) is not None:
        return value
    known = _ABOUT.get(key.lower())
    return None if known is None else str(node.about.get(known, ""))


@dataclass(frozen=True)
class AffinityFilter:
    """A rule about what is already on the node: a container, an image, or a container's label."""

    rule: Rule
    index: Index

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        rule = self.rule
        if any(map(rule.fits, self._values(node))) is rule.wanted:
            return None
        noun = rule.key if rule.key in ("container", "image") else "label on a container"
        return f"affinity {rule.text}: it has {'no such' if rule.wanted else 'such a'} {noun}"

    @cached_property
    def _having(self) -> Set[Node]:
        """The nodes that have the container or the image that the rule names exactly."""
        return {item.node for item in self.index.find(f"{self.rule.key}s", self.rule.exact or "")}

    def _values(self, node: Node) -> Iterator[str]:
        """Yield the values that the rule is compared with."""
        key, exact = self.rule.key, self.rule.exact
        if key in ("container", "image") and exact is not None:
            if node in self._having:
                yield exact
        elif key == "container":
            yield from (name for each in self.index.containers_on(node) for name in (*each.names, each.id))
        elif key == "image":
            yield from self.index.image_names[node]
        else:
            labels = (dict_of(each.summary.get("Labels")) for each in self.index.containers_on(node))
            yield from (each[key] for each in labels if key in each)


@dataclass(frozen=True)
class IsolationFilter:
    """The isolation that the engine must have."""

    name: str

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        have = offered(node.about)
        return None if self.name in have else lacking(self.name, have)


@dataclass(frozen=True)
class ColocationFilter:
    """An object that the container uses, or its group, and the nodes that have it."""

    kind: str
    ref: str
    holders: Set[Node]

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        return None if node in self.holders else self._placed

    @cached_property
    def _placed(self) -> str:
        return placed(self.kind, self.ref, self.holders)


@dataclass(frozen=True)
class HomeFilter:
    """The node of a container that is recreated, and the resource of that machine which the container uses."""

    home: Node
    used: str

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        if node is self.home:
            return None
        return f"it was on {self.home.name}, and uses {self.used} there (constraint:node=={node.name} moves it)"


@dataclass(frozen=True)
class SlotsFilter:
    """The number of containers that an engine's label lets it have."""

    index: Index

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        slots = node.value_of(_SLOTS)
        if slots is None or not slots.isdigit() or self.index.count(node) < int(slots):
            return None
        return f"all its {slots} container slots are taken"


@dataclass(frozen=True)
class PortsFilter:
    """The ports that the container takes of its node."""

    claim: Claim
    index: Index

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        for wanted in self.claim.ports:
            protocol, _, number = wanted
            if (protocol, number) in node.ports and self._in_use(wanted, node):
                return f"its port {number}/{protocol} is taken"
        return None

    def _in_use(self, wanted: Port, node: Node) -> bool:
        """Return whether a container that runs, or is being created, has the port. Exited containers may still list a
        port, but no longer hold it.
        """
        alive = [each.claim for each in self.index.containers_on(node) if each.state not in ENDED]
        return any(_clash(wanted, port) for claim in [*alive, *node.placing] for port in claim.ports)


def _clash(one: Port, other: Port) -> bool:
    same = one[1] == other[1] or one[1] in _ANY_ADDRESS or other[1] in _ANY_ADDRESS
    return same and one[0] == other[0] and one[2] == other[2]


@dataclass(frozen=True)
class ResourcesFilter:
    """The memory and the CPUs that the container reserves."""

    claim: Claim

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`. A node that does not say what it has decides itself."""
        claim, load = self.claim, node.load
        if claim.memory and node.memory and claim.memory + load.memory > node.memory:
            free = max(node.memory - load.memory, 0)
            return f"{_mib(claim.memory)} of memory are wanted, {_mib(free)} of {_mib(node.memory)} are free"
        if claim.cpus and node.cpus and claim.cpus + load.cpus > node.cpus:
            free = max(node.cpus - load.cpus, 0)
            return f"{claim.cpus / 1e9:g} CPUs are wanted, {free / 1e9:g} of {node.cpus / 1e9:g} are free"
        return None


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


@dataclass(frozen=True)
class ServiceFilter:
    """Whether the container is to be a service of a swarm: then only a swarm can have it, and else no swarm."""

    wanted: bool

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        if (node.driver == "swarm") is self.wanted:
            return None
        return "it is not a swarm" if self.wanted else "its containers are services (label swarmlib.swarm=service)"


class ProcessesFilter:
    """Rules out a node whose workloads are processes."""

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        return "its workloads are processes, not containers" if node.driver == "exec" else None


class LastResortFilter:
    """Rules out a node that costs more."""

    _label, _, _value = LAST_RESORT.partition("=")

    def reason(self, node: Node) -> Reason:
        """See `Filter.reason`."""
        return "it is for what fits nowhere else" if node.labelled.get(self._label) == self._value else None
