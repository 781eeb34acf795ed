"""The hook by which a balance gets nodes on demand: `Balance(provisioner=…)`.

A provisioner makes each node a member by a chain that reaches it (`members.join`), and removes it by `members.leave`.
The names of its nodes are generated, so rules about the node's name are ignored. `azure` is a provisioner: its nodes
are virtual machines, which it deallocates while they are idle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from swarmlib import Request, Unavailable

from .members import Members
from .node import Node
from .placement.request import PlacementRequest


class Provisioner(ABC):
    """Provides a balance with nodes."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The balance's name in errors."""

    @abstractmethod
    def provision(self, members: Members, /) -> AbstractAsyncContextManager[None]:
        """Provide nodes as long as the context is open: when it opens, add those that exist.

        Raises:
            SwarmError: the nodes can't be provided; the balance does not open then.
        """

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
