"""The hook by which a balance gets nodes on demand: `Balance(provisioner=…)`.

A provisioner is a source of members (see `member_source`) that can make more of them. The names of its nodes are
generated, so rules about the node's name are ignored. `azure` is a provisioner: its nodes are virtual machines, which
it deallocates while they are idle.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from swarmlib import Request, Unavailable

from .member_source import MemberSource
from .node import Node
from .placement.request import PlacementRequest


class Provisioner(MemberSource):
    """Provides a balance with nodes."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The balance's name in errors."""

    @abstractmethod
    async def make_room(self, request: PlacementRequest, unfit: Callable[[], Unavailable | None], /) -> None:
        """Provide a node for a container that fits on none, or whose node is gone. Return once a node fits.

        unfit: returns why no node fits now; None if one does.

        Raises:
            Unavailable: there can be no such node; the error says why.
        """

    @abstractmethod
    def capacity(self) -> Mapping[str, Any]:
        """Return the fields of `info` that include the nodes that could be provided, such as NCPU and MemTotal."""

    @abstractmethod
    def at_hand(self, node: Node, /) -> bool:
        """Return whether a node can be used at once. Others get what fits nowhere else, and no pulled images."""

    @abstractmethod
    async def when_empty(self, request: Request, /) -> Any:
        """Answer a `get` while no node is up, as a method of `Server` does.

        Raises:
            SwarmError: there is no answer.
        """
