"""What an engine answers about swarms that is part of none, and about plug-ins if it has none."""

from __future__ import annotations

from typing import Any, Final

from swarmlib import NotFound, Request, Unsupported

from ..dockerapi.filters import flag
from ..dockerapi.operations import PluginList
from ..dockerapi.rows import ROWS
from ..dockerapi.status import refusal
from .filters import checked
from .operations import answers, ref_of

NOT_A_MANAGER: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
_FAMILIES: Final = ("Swarm", "Node", "Service", "Task", "Secret", "Config")
_MANAGERS: Final = {row.name for row in ROWS if row.name.startswith(_FAMILIES)} - {
    *("SwarmInit", "SwarmJoin", "SwarmLeave")
}
"""The operations of which only a swarm's managers know."""


class Swarmless:
    """Answers for a backend that joins no swarm and has no plug-ins. backend: its name in errors."""

    def __init__(self, backend: str) -> None:
        self._backend = backend

    @answers(*_MANAGERS)
    async def _no_manager(self, request: Request) -> None:
        raise refusal(503, NOT_A_MANAGER)

    @answers("SwarmInit", "SwarmJoin")
    async def _no_init(self, request: Request) -> None:
        raise Unsupported(f"{self._backend} has no swarm mode")

    @answers("SwarmLeave")
    async def _no_leave(self, request: Request) -> None:
        raise refusal(503, "This node is not part of a swarm")

    @answers("PluginList")
    async def _no_plugins(self, request: Request) -> list[Any]:
        wanted = checked(PluginList.of(request).filters, {"capability", "enabled"})
        if "enabled" in wanted:
            flag(wanted, "enabled", ["true"], ["false"])
        return []

    @answers("PluginInspect")
    async def _no_plugin(self, request: Request) -> None:
        raise NotFound(f'plugin "{ref_of(request)}" not found')
