"""Choosing an engine, compared with a plain reading of the rules, which judges one engine after the other."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from swarmlib import Unavailable
from swarmlib_backends.balance.index import Index
from swarmlib_backends.balance.node import Claim, Node
from swarmlib_backends.balance.objects import Container, Item
from swarmlib_backends.balance.placement.placement import NoRoom, Placement
from swarmlib_backends.balance.placement.request import PlacementRequest
from swarmlib_backends.balance.placement.rules import Rule
from tests.support.placing import MIB, PLACING, Amounts, Asked, Box, Machine, Reference, Wish


def placed_in(machines: Sequence[Machine]) -> tuple[Index, list[Node]]:
    """Return the index and the nodes of these engines."""
    index, ids, nodes = Index(), count(1), list[Node]()
    for each in machines:
        node = Node(each.name)
        nodes.append(node)
        node.up, node.closed, node.attributes = each.up, each.closed, each.attributes
        node.failure = Unavailable(each.failure) if each.failure and not each.up else None
        node.about = {
            "Driver": each.driver,
            "Labels": each.labels,
            "Runtimes": {name: {} for name in each.runtimes},
            "NCPU": each.cpus,
            "MemTotal": each.memory * MIB,
        }
        held = dict[str, Container]()
        index.join(node, held).listed({"sha256:1": [f"{name}:latest" for name in each.images]})
        index.images.add(Item(node, "sha256:1", [f"{name}:latest" for name in each.images]))
        for box in each.boxes:
            node.take(claim := box.claim.claim, 1)
            if box.state == PLACING:
                node.placing.append(claim)
                continue
            made = Container(node, f"{next(ids):064}", [box.name])
            made.claim = claim
            held[made.id] = made
            made.tell({"Id": made.id, "State": box.state, "Labels": {"tier": box.tier}})
            index.add(made)
    return index, nodes


def asked_for(asked: Asked) -> PlacementRequest:
    """Return the placement request of what is asked for."""
    return PlacementRequest(
        claim=asked.claim.claim,
        constraints=[Rule.read(str(each)) for each in asked.constraints],
        affinities=[Rule.read(str(each)) for each in asked.affinities],
        beside=[("containers", name) for name in asked.beside],
        isolation=asked.isolation,
        runtime=asked.runtime,
        origins=[("nodes", asked.origin)] if asked.origin else [],
        of_host=asked.of_host,
        service=asked.service,
    )


_Some = TypeVar("_Some")


def _at_times(some: st.SearchStrategy[_Some], usual: _Some) -> st.SearchStrategy[_Some]:
    """Make what is `usual` seven times of eight, so that enough engines are left to choose from."""
    return st.integers(0, 7).flatmap(lambda number: some if number == 5 else st.just(usual))


_ports = st.tuples(st.sampled_from(["tcp", "udp"]), st.sampled_from(["", "10.0.0.1", "10.0.0.2"]), st.integers(80, 81))
_amounts = st.builds(Amounts, st.integers(0, 2), st.integers(0, 2), st.lists(_ports, max_size=2))
_names = st.sampled_from(["web", "sql"])
_tiers = st.sampled_from(["front", "back"])
_regions = st.sampled_from(["eu", "us"])
_runtimes = st.sampled_from(["runc", "kata"])
_boxes = st.builds(Box, _names, st.sampled_from(["running", "exited", PLACING]), _tiers, _amounts)
_labels = st.sampled_from(["region=eu", "region=us", "swarmlib.last-resort=true", "containerslots=2"])
_machines = st.builds(
    Machine,
    name=st.just(""),
    up=_at_times(st.just(value=False), True),
    failure=st.sampled_from(["", "it hangs"]),
    closed=_at_times(st.just("it is drained"), ""),
    driver=_at_times(st.sampled_from(["exec", "swarm"]), "overlay2"),
    labels=st.lists(_labels, max_size=3),
    attributes=st.one_of(st.just(dict[str, str]()), st.dictionaries(st.just("region"), _regions)),
    runtimes=st.lists(_runtimes, unique=True),
    cpus=st.sampled_from([0, 3, 8]),
    memory=st.sampled_from([0, 3, 8]),
    boxes=st.lists(_boxes, max_size=3),
    images=st.lists(st.just("tool"), max_size=1),
    at_hand=st.booleans(),
)
_clusters = st.lists(_machines, min_size=2, max_size=6).map(
    lambda machines: [replace(each, name="ABCDEF"[at]) for at, each in enumerate(machines)]
)
_operators = st.sampled_from(["==", "!=", "==~", "!=~"])
_constraints = st.one_of(
    st.builds(Wish, st.just("region"), _operators, st.sampled_from(["eu", "us", "e*"])),
    st.builds(Wish, st.sampled_from(["node", "driver"]), _operators, st.sampled_from(["A", "B", "exec", "over*"])),
)
_affinities = st.one_of(
    st.builds(Wish, st.just("container"), _operators, st.sampled_from(["web", "sql", "w*"])),
    st.builds(Wish, st.just("image"), _operators, st.sampled_from(["tool", "t*", "other"])),
    st.builds(Wish, st.just("tier"), _operators, _tiers),
)
_requests = st.builds(
    Asked,
    constraints=st.one_of(st.just([]), st.lists(_constraints, min_size=1, max_size=2)),
    affinities=st.one_of(st.just([]), st.lists(_affinities, min_size=1, max_size=2)),
    beside=_at_times(st.lists(_names, max_size=1), []),
    origin=st.sampled_from(["", "A", "B"]),
    of_host=st.sampled_from(["", "/srv"]),
    isolation=_at_times(_runtimes, ""),
    runtime=st.one_of(st.just(""), _runtimes),
    claim=st.one_of(st.just(Amounts(0, 0, [])), _amounts),
    service=_at_times(st.just(value=True), False),
)
_refusals = st.one_of(
    st.just(dict[str, str]()), st.dictionaries(st.sampled_from("ABC"), st.just("it refused"), max_size=2)
)


@given(_clusters, _requests, _refusals, st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_choice_and_the_reasons_are_those_of_a_plain_reading(
    machines: list[Machine], asked: Asked, tried: dict[str, str], fullest: bool
) -> None:
    index, nodes = placed_in(machines)
    at_hand = {each.name for each in machines if each.at_hand}
    placement = Placement("binpack" if fullest else "spread", index, lambda node: node.name in at_hand)
    refused = {node: tried[node.name] for node in nodes if node.name in tried}
    try:
        chosen = placement.choose(asked_for(asked), nodes, refused).name
    except NoRoom as exc:
        chosen = exc.message
    assert chosen == Reference(machines, asked, tried).choice(fullest=fullest)


def test_a_placement_takes_few_calls_for_each_engine_however_many_have_what_it_uses() -> None:
    usual = Amounts(0, 0, [("tcp", "", 80)])
    boxes = [Box("web", "running", "front", usual)]
    plain = Machine("", True, "", "", "overlay2", ["region=eu"], {}, ["runc"], 8, 8, [], [], True)
    machines = [replace(plain, name=str(number), boxes=boxes if number % 2 else []) for number in range(200)]
    index, nodes = placed_in(machines)
    placement = Placement("spread", index, lambda _: True)
    web = Wish("container", "==", "web")
    unconstrained = PlacementRequest()
    beside = PlacementRequest(
        beside=[("containers", "web")], affinities=[Rule.read(str(web))], claim=Claim(ports=[("tcp", "", 81)])
    )
    for request, most in ((unconstrained, 12), (beside, 24)):
        assert calls(lambda: placement.choose(request, nodes, {})) / len(nodes) < most  # noqa: B023


def calls(action: Callable[[], object]) -> int:
    """Count the calls of Python functions, and the resumptions of generators, that an action takes."""
    seen = Counter[str]()
    sys.setprofile(lambda frame, event, arg: seen.update([event]))
    try:
        action()
    finally:
        sys.setprofile(None)
    return seen["call"]
