"""What stands in for the containers of an engine that is down, and the removal of the originals when it is back."""

from __future__ import annotations

import logging

from swarmlib import Request, Verb

from .containers import Ask
from .index import Index
from .mirror import Mirror
from .node import Node
from .objects import RUNNING, Container

_log = logging.getLogger(__name__)


class StandIns:
    """Those of one engine's containers.

    What a container was recreated as is known from this memory alone: anybody can set a label.
    """

    def __init__(self, node: Node, mirror: Mirror, index: Index, ask: Ask) -> None:
        self._node = node
        self._mirror = mirror
        self._index = index
        self._ask = ask
        self._known: dict[str, Container] = {}

    def note(self, original: str, stand_in: Container) -> None:
        """Note what the container with this id was recreated as."""
        self._known[original] = stand_in

    async def drop_originals(self) -> None:
        """Remove the containers that were recreated elsewhere while their engine was down; never their volumes.

        Raises:
            SwarmError: the engine does not remove one.
        """
        for id, stand_in in list(self._known.items()):
            original = self._mirror.containers.get(id)
            if original is None:
                continue
            if not self._is_replaced(original, stand_in):
                _log.warning("%s is kept, although %s was recreated from it", original.label, stand_in.label)
                continue
            _log.warning("%s: removing %s, which was recreated on %s", self._node.name, id[:12], stand_in.node.name)
            await self._ask(Request(Verb.RM, ("containers", id), {"force": "1", "v": "0"}))
            self._mirror.removed("containers", id)
        self._known.clear()

    def _is_replaced(self, original: Container, stand_in: Container) -> bool:
        """Return whether a container may be moved, and its stand-in runs on another engine under its name."""
        return (
            original.id in self._mirror.inspected
            and stand_in.node is not self._node
            and stand_in in self._index.containers_on(stand_in.node)
            and stand_in.state in RUNNING
            and bool(set(original.names) & set(stand_in.names))
        )
