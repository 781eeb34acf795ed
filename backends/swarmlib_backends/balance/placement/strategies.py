"""The strategies: which of the nodes that fit a new container gets it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import count
from typing import Literal, TypeAlias

from ..index import Index
from ..node import Claim, Node
from ..objects import RUNNING
from .request import PlacementRequest

Strategy: TypeAlias = Literal["spread", "binpack", "random", "round-robin", "least-loaded", "hash"]
Pick: TypeAlias = Callable[[PlacementRequest, Sequence[Node]], Node]


def strategies(index: Index) -> Mapping[Strategy, Pick]:
    """Return the function of each strategy, over the nodes of an index."""
    turns = count()

    def fullness(claim: Claim, node: Node) -> tuple[float, int]:
        """Return how much of the node would be reserved, of 2: its CPUs and its memory, as far as they are claimed; and
        the number of its containers.
        """
        share = 0.0
        if claim.cpus and node.cpus:
            share += (node.load.cpus + claim.cpus) / node.cpus
        if claim.memory and node.memory:
            share += (node.load.memory + claim.memory) / node.memory
        return share, index.count(node)

    def busy(node: Node) -> float:
        """Count the running containers per CPU."""
        running = sum(each.state in RUNNING for each in index.containers_on(node)) + len(node.placing)
        return running / float(node.about.get("NCPU") or 1)

    return {
        "spread": lambda request, nodes: min(nodes, key=partial(fullness, request.claim)),
        "binpack": lambda request, nodes: max(nodes, key=partial(fullness, request.claim)),
        "random": lambda _, nodes: random.choice(nodes),  # not a secret
        "round-robin": lambda _, nodes: nodes[next(turns) % len(nodes)],
        "least-loaded": lambda _, nodes: min(nodes, key=busy),
        # For most keys, the highest stays the highest when nodes join and leave.
        "hash": lambda request, nodes: max(nodes, key=partial(_weight, request.key)),
    }


def _weight(key: str, node: Node) -> bytes:
    return blake2b(f"{node.name}\0{key}".encode()).digest()
