"""The operations of the engine itself, and what it says to those of families that it has not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from swarmlib import Request

from ..dockerapi.operations import BuildPrune
from ..dockerapi.references import is_id, normal
from ..dockerapi.status import refusal, restated
from ..dockerapi.times import duration
from ..dockerapi.values import stamp
from ..dockerapi.versions import API_VERSION, MIN_API_VERSION
from ..enginekit.filters import checked
from ..enginekit.operations import answers, body_of, ref_of
from ..enginekit.views import VERSION, counted
from . import views
from .engine import Family
from .logdrivers import DRIVERS
from .paths import ROOT
from .pulled import digest
from .registries import DOCKER_HUB, named, unreachable
from .resources import RUNTIMES

_KERNEL: Final = "6.1.0-simulated"
_COMMIT: Final = "simulated"
_BUILT: Final = "2026-01-01T00:00:00.000000000+00:00"
_REGISTRIES: Final[dict[str, Any]] = {
    "AllowNondistributableArtifactsCIDRs": [],
    "AllowNondistributableArtifactsHostnames": [],
    "InsecureRegistryCIDRs": ["127.0.0.0/8"],
    "IndexConfigs": {"docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}},
    "Mirrors": [],
}
_INFO: Final[dict[str, Any]] = {
    **dict.fromkeys(
        (
            *("MemoryLimit", "SwapLimit", "KernelMemory", "KernelMemoryTCP", "CpuCfsPeriod", "CpuCfsQuota"),
            *("CPUShares", "CPUSet", "PidsLimit", "IPv4Forwarding", "BridgeNfIptables", "BridgeNfIp6tables"),
            "OomKillDisable",
        ),
        True,
    ),
    **dict.fromkeys(("Debug", "ExperimentalBuild", "LiveRestoreEnabled"), False),
    **dict.fromkeys(("HttpProxy", "HttpsProxy", "NoProxy", "Isolation"), ""),
    **dict.fromkeys(("NEventsListener", "NFd", "NGoroutines"), 0),
    **dict.fromkeys(("GenericResources", "Warnings")),
    "Driver": "simulator",
    "DriverStatus": [["Backing Filesystem", "memory"]],
    "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": None, "Log": DRIVERS},
    "LoggingDriver": "json-file",
    "CgroupDriver": "none",
    "CgroupVersion": "1",
    "KernelVersion": _KERNEL,
    "OperatingSystem": "swarmlib simulator",
    "OSVersion": VERSION,
    "OSType": "linux",
    "Architecture": "x86_64",
    "IndexServerAddress": "https://index.docker.io/v1/",
    "RegistryConfig": _REGISTRIES,
    "DockerRootDir": ROOT,
    "ServerVersion": VERSION,
    "Runtimes": {name: {"path": "runc"} for name in RUNTIMES},
    "DefaultRuntime": "runc",
    "Swarm": {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    },
    "InitBinary": "docker-init",
    "ContainerdCommit": {"ID": _COMMIT, "Expected": _COMMIT},
    "RuncCommit": {"ID": _COMMIT, "Expected": _COMMIT},
    "InitCommit": {"ID": "", "Expected": ""},
    "SecurityOptions": ["name=seccomp,profile=default"],
}
"""What an engine says of itself that is the same for each."""
_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_MANIFEST_SIZE: Final = 528
"""Bytes of the manifest of an image with one layer."""
_AGES: Final = ("until", "unused-for")
_CACHE_FILTERS: Final = {*_AGES, "id", "parent", "type", "description", "inuse", "shared", "private", "label", "label!"}


class System(Family):
    """Answers what is asked of the engine."""

    @answers("SystemVersion")
    async def _version(self, request: Request) -> dict[str, Any]:
        about = {"ApiVersion": API_VERSION, "MinAPIVersion": MIN_API_VERSION, "Os": "linux", "Arch": "amd64"}
        about |= {"KernelVersion": _KERNEL, "GitCommit": _COMMIT, "GoVersion": "none", "BuildTime": _BUILT}
        engine = {"Name": "Engine", "Version": VERSION, "Details": about | {"Experimental": "false"}}
        return {"Platform": {"Name": "swarmlib simulator"}, "Components": [engine], "Version": VERSION} | about

    @answers("SystemInfo")
    async def _info(self, request: Request) -> dict[str, Any]:
        engine = self.engine
        own = {
            "ID": engine.id,
            "Name": engine.name,
            "Labels": engine.labels,
            "NCPU": engine.cpus,
            "MemTotal": engine.memory,
            "Images": len(engine.images),
            "SystemTime": stamp(engine.clock.now()),
        }
        return {**_INFO, **own, **counted(each.status for each in engine.containers)}

    @answers("SystemDataUsage")
    async def _df(self, request: Request) -> dict[str, Any]:
        engine, now = self.engine, self.engine.clock.now()
        containers = [
            orjson.loads(views.summary(engine, each, now)) | views.sizes(each) for each in reversed(engine.containers)
        ]
        return {
            "LayersSize": engine.images.layers_size,
            "Images": engine.images.disk_usage(),
            "Containers": containers,
            "Volumes": engine.volumes.disk_usage(await engine.volumes.volumes()),
            "BuildCache": None,
            "BuilderSize": 0,
        }

    @answers("SystemAuth")
    async def _auth(self, request: Request) -> dict[str, str]:
        body = body_of(request)
        url = named(str(body.get("serveraddress") or ""))
        if not self.engine.online:
            raise unreachable(url)
        if not (body.get("username") or body.get("identitytoken")):
            raise refusal(500, f"login attempt to {url} failed with status: 401 Unauthorized")
        return {"Status": "Login Succeeded", "IdentityToken": ""}

    @answers("DistributionInspect")
    async def _distribution(self, request: Request) -> dict[str, Any]:
        if is_id(ref_of(request)):
            raise refusal(500, "no manifest found for full image ID")
        ref = normal(ref_of(request))
        if not self.engine.online:
            raise unreachable(DOCKER_HUB)
        described = {"mediaType": _MANIFEST, "digest": digest(ref), "size": _MANIFEST_SIZE}
        return {"Descriptor": described, "Platforms": [{"architecture": "amd64", "os": "linux"}]}

    @answers("BuildPrune")
    async def _build_prune(self, request: Request) -> dict[str, Any]:
        with restated("failed to prune build cache: "):
            _check_cache_filters(checked(BuildPrune.of(request).filters, _CACHE_FILTERS))
        return {"CachesDeleted": None, "SpaceReclaimed": 0}


def _check_cache_filters(wanted: Mapping[str, list[str]]) -> None:
    if all(wanted.get(name) for name in _AGES):
        raise refusal(400, 'conflicting filters: "until" and "unused-for"')
    for name, values in wanted.items():
        if len(values) > 1 and not name.startswith("label"):
            raise refusal(400, "filters expect only one value")
        if name in _AGES and values and duration(values[0]) is None:
            problem = f"time: invalid duration {orjson.dumps(values[0]).decode()}"
            raise refusal(500, f"\"{name}\" filter expects a duration (e.g., '24h'): {problem}")
