"""Choosing the node for a new container: filters rule out nodes, each with a reason, and the strategy picks one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from swarmlib import Unavailable

from ..index import Index
from ..node import Node
from . import origins
from .filters import (
    AffinityFilter,
    ColocationFilter,
    ConstraintFilter,
    Filter,
    HealthFilter,
    HomeFilter,
    IsolationFilter,
    LastResortFilter,
    PortsFilter,
    ProcessesFilter,
    RefusalFilter,
    ResourcesFilter,
    ServiceFilter,
    SlotsFilter,
)
from .request import PlacementRequest
from .strategies import Strategy, strategies


class NoRoom(Unavailable):
    """No node fits a container."""


class Placement:
    """Chooses nodes.

    at_hand: returns whether a node can be used at once; others are chosen only if none of these fits.
    """

    def __init__(self, strategy: Strategy, index: Index, at_hand: Callable[[Node], bool]) -> None:
        self._pick = strategies(index)[strategy]
        self._index = index
        self._at_hand = at_hand

    def choose(self, request: PlacementRequest, nodes: Sequence[Node], tried: Mapping[Node, str]) -> Node:
        """Choose the node for a container.

        nodes: all nodes. tried: those that have refused the container, and why.

        Raises:
            NoRoom: no node fits; the error says why each was ruled out.
        """
        home = origins.home(request.origins, nodes, self._index)
        filters = [*self._required(request, home, tried)]
        fitting = [*nodes]
        for each in filters:
            fitting = _allowed(each, fitting)
        if not fitting:
            said = "; ".join(f"{node.name}: {_reason(filters, node)}" for node in nodes)
            raise NoRoom(f"no engine fits this container: {said or 'there is none'}")
        fitting = self._narrowed(request, fitting)
        return home if home in fitting else self._pick(request, fitting)

    def _required(self, request: PlacementRequest, home: Node | None, tried: Mapping[Node, str]) -> Iterator[Filter]:
        """Yield the filters that rule out nodes: only those for what the container asks for.

        home: the node of the original, if the container is recreated. What it asks for may move it; lack of room can't.
        tried: see `choose`.
        """
        if tried:
            yield RefusalFilter(tried)
        yield HealthFilter()
        yield ServiceFilter(wanted=request.service)
        if request.service:
            return
        asked = [*self._asked(request)]
        yield from asked
        if request.of_host and home is not None and _reason(asked, home) is None:
            yield HomeFilter(home, request.of_host)
        yield SlotsFilter(self._index)
        if request.claim.ports:
            yield PortsFilter(request.claim, self._index)
        if request.claim.cpus or request.claim.memory:
            yield ResourcesFilter(request.claim)

    def _asked(self, request: PlacementRequest) -> Iterator[Filter]:
        yield from (ConstraintFilter(rule) for rule in request.constraints if not rule.soft)
        if request.isolation:
            yield IsolationFilter(request.isolation)
        for kind, ref in request.beside:
            if holders := self._index.places(kind, ref):
                yield ColocationFilter(kind, ref, holders)
        yield from (AffinityFilter(rule, self._index) for rule in request.affinities if not rule.soft)

    def _narrowed(self, request: PlacementRequest, nodes: list[Node]) -> list[Node]:
        """Return the preferred nodes; a preference that would leave none is ignored."""
        nodes = [node for node in nodes if self._at_hand(node)] or nodes
        for preference in self._preferred(request):
            nodes = _allowed(preference, nodes) or nodes
        return nodes

    def _preferred(self, request: PlacementRequest) -> Iterator[Filter]:
        if request.runtime:
            yield IsolationFilter(request.runtime)
        yield from (ConstraintFilter(rule) for rule in request.constraints if rule.soft)
        yield from (AffinityFilter(rule, self._index) for rule in request.affinities if rule.soft)
        yield ProcessesFilter()
        yield LastResortFilter()
        if holders := self._index.holders_of_group(request.group):
            yield ColocationFilter("group", request.group, holders)


def _allowed(by: Filter, nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes that a filter does not rule out."""
    return [node for node in nodes if by.reason(node) is None]


def _reason(filters: Iterable[Filter], node: Node) -> str | None:
    """Return the first reason why a node is ruled out; None if there is none."""
    return next((reason for each in filters if (reason := each.reason(node)) is not None), None)
