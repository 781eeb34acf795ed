"""What a cluster says of itself, as an engine does: version, info, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from swarmlib import Denied, Request

from ..dockerapi.values import stamp
from ..dockerapi.versions import API_VERSION, MIN_API_VERSION
from ..enginekit import views as kit_views
from ..enginekit.operations import answers
from ..registry.images import Images
from ..registry.operations import summary
from . import capacity, linking, views
from .api.rights import version
from .cluster import Cluster
from .networking import Networking
from .volume_operations import VolumeOperations

_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
"""Processors as the kernel calls them, by the names that Kubernetes has for them."""
_NO_SWARM: Final = {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False}
_LIMITS: Final = dict.fromkeys(("MemoryLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares"), True)
"""What a Pod can be limited in."""


@dataclass(frozen=True)
class System:
    """Answers what is asked of the engine."""

    cluster: Cluster
    networking: Networking
    images: Images
    volumes: VolumeOperations
    now: Callable[[], float]

    @answers("SystemVersion")
    async def _version(self, request: Request) -> dict[str, Any]:
        found = await version(self.cluster.api)
        own = kit_views.version()
        return own | {
            "KernelVersion": "",
            "ApiVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION,
            "Components": [
                {"Name": "Engine", "Version": own["Version"], "Details": {"ApiVersion": API_VERSION}},
                {"Name": "Kubernetes", "Version": found, "Details": {}},
            ],
        }

    @answers("SystemInfo")
    async def _info(self, request: Request) -> dict[str, Any]:
        found = await capacity.capacity(self.cluster.api, self.cluster.namespace)
        release = await version(self.cluster.api)
        machine, nodes = found.about("architecture"), found.nodes
        statuses = (each.status for each in self.cluster.mirror.containers)
        counted = [] if nodes is None else [["Nodes", str(len(nodes))]]
        return kit_views.info("kubernetes", statuses) | {
            "Name": self.cluster.namespace,
            "OperatingSystem": f"Kubernetes {release}",
            "DriverStatus": [["Namespace", self.cluster.namespace], ["Kubernetes", release], *counted],
            "KernelVersion": found.about("kernelVersion"),
            "Architecture": _MACHINES.get(machine, machine),
            "NCPU": int(found.cpus or 0),
            "MemTotal": int(found.memory or 0),
            "Images": len(self.images.known()),
            "SystemTime": stamp(self.now()),
            "LoggingDriver": views.LOG_DRIVER,
            "Swarm": _NO_SWARM,
            "Warnings": []
            if nodes is not None
            else ["the account may not list nodes: only the namespace's quota is known"],
            **_LIMITS,
        }

    @answers("SystemDataUsage")
    async def _df(self, request: Request) -> dict[str, Any]:
        now, volumes, store = self.now(), list[dict[str, Any]](), self.cluster.mirror.containers
        linked = linking.names(store)
        with suppress(Denied):  # an account without volumes can have containers all the same
            volumes = self.volumes.disk_usage(await self.volumes.volumes())
        return {
            "LayersSize": 0,
            "Images": [summary(each) for each in self.images.known()],
            "Containers": [
                views.summary(each, now, self.networking.shown(each), linked.get(each.id, ())) for each in store
            ],
            "Volumes": volumes,
            "BuildCache": [],
        }
