"""What a cluster says of itself, as an engine does: version, info, and what it keeps."""

from __future__ import annotations

from typing import Any

from swarmlib import Request

from ..dockerapi.versions import API_VERSION, MIN_API_VERSION
from ..enginekit import views as kit_views
from ..enginekit.operations import answers
from .cluster import Cluster


class System:
    """Answers what is asked of the engine."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @answers("SystemVersion")
    async def _version(self, request: Request) -> dict[str, Any]:
        found: dict[str, Any] = await self._cluster.api.get("/version")
        own = kit_views.version()
        return own | {
            "KernelVersion": "",
            "ApiVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION,
            "Components": [
                {"Name": "Engine", "Version": own["Version"], "Details": {"ApiVersion": API_VERSION}},
                {"Name": "Kubernetes", "Version": str(found.get("gitVersion", "")), "Details": {}},
            ],
        }

    @answers("SystemInfo")
    async def _info(self, request: Request) -> dict[str, Any]:
        statuses = (each.status for each in self._cluster.mirror.containers)
        return kit_views.info("kubernetes", statuses) | {"Name": self._cluster.namespace}
