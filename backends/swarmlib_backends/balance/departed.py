"""The former nodes of containers that were removed or renamed, and of groups whose parts have left; in memory only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeAlias

from .node import Node
from .objects import Item

_REMEMBERED: Final = 10_000
"""Names, projects and beginnings of ids that are remembered."""
_SHORT: Final = 12

Ref: TypeAlias = tuple[str, str]
"""`nodes` and a node's name, `networks` or `containers` and an id, `names` and a container's name, or `groups` and
the name of a group.
"""


class Departed:
    """Remembers the nodes of containers and groups that have left them."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[Ref, Node] = OrderedDict()

    def note_names(self, item: Item) -> None:
        """Remember the node of a container that is losing its names."""
        for name in item.names:
            self._note(("names", name), item.node)
        self._note(("containers", item.id[:_SHORT]), item.node)

    def note_group(self, item: Item) -> None:
        """Remember the node of an object that is leaving its group."""
        self._note(("groups", item.group), item.node)

    def _note(self, ref: Ref, node: Node) -> None:
        self._nodes[ref] = node
        self._nodes.move_to_end(ref)
        if len(self._nodes) > _REMEMBERED:
            self._nodes.popitem(last=False)

    def holders(self, kind: str, ref: str) -> set[Node]:
        """Return the node that last had the container or group; empty if that is not remembered."""
        node = self._nodes.get((kind, ref[:_SHORT] if kind == "containers" else ref))
        return set() if node is None else {node}
