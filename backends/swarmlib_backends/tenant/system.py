"""What a tenant is told of its host: events, the disk's usage, and a description that is about the tenant alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from swarmlib import Request, Verb

from ..dockerapi import events
from ..dockerapi.filters import encode
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import SystemEvents
from ..dockerapi.status import refusal
from ..enginekit.filters import checked
from . import answers, images
from .call import Call

_OF_THE_HOST: Final = (
    *("Driver", "DockerRootDir", "MemoryLimit", "SwapLimit", "KernelMemory", "KernelMemoryTCP", "CpuCfsPeriod"),
    *("CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit", "OomKillDisable", "IPv4Forwarding", "BridgeNfIptables"),
    *("BridgeNfIp6tables", "Debug", "SystemTime", "LoggingDriver", "CgroupDriver", "CgroupVersion", "KernelVersion"),
    *("OperatingSystem", "OSVersion", "OSType", "Architecture", "IndexServerAddress", "RegistryConfig", "NCPU"),
    *("MemTotal", "HttpProxy", "HttpsProxy", "NoProxy", "ExperimentalBuild", "ServerVersion", "Runtimes"),
    *("DefaultRuntime", "LiveRestoreEnabled", "Isolation", "InitBinary", "ContainerdCommit", "RuncCommit"),
    *("InitCommit", "SecurityOptions", "Plugins"),
)
"""The fields of an engine's description of itself that are the same for everybody, and tell of nobody."""
_NO_SWARM: Final = {
    **dict.fromkeys(("NodeID", "NodeAddr", "Error"), ""),
    "LocalNodeState": "inactive",
    "ControlAvailable": False,
    "RemoteManagers": None,
}
_COUNTS: Final = {"running": "ContainersRunning", "paused": "ContainersPaused"}
_KINDS: Final = ("container", "image", "network", "volume")
"""The types of events that a tenant is told of."""


async def info(call: Call) -> Any:
    """Describe the tenant's host: what it has, on a machine of the engine's kind."""
    engine = await call.ask(call.request)
    states = Counter(each.get("State") for each in await call.own.listed("containers", all="1"))
    counts = {field: states[state] for state, field in _COUNTS.items()}
    return {
        **{field: engine[field] for field in _OF_THE_HOST if field in engine},
        **call.tenancy.terms.host,
        **counts,
        "ID": call.tenancy.name,
        "Name": call.tenancy.name,
        "Containers": states.total(),
        "ContainersStopped": states.total() - sum(counts.values()),
        "Images": len(await _images(call)),
        "Labels": [],
        "Swarm": _NO_SWARM,
        "Warnings": None,
    }


async def leave(call: Call) -> NoReturn:
    """Answer as an engine that is in no swarm, as its description says."""
    raise refusal(503, "This node is not part of a swarm")


async def usage(call: Call) -> Any:
    """Tell what the tenant's objects take of the disk; the layers of shared images are counted as its own."""
    engine = await call.ask(call.request)
    seen = [row for each in list_of(engine.get("Images")) if (row := images.shown(call, each)) is not None]
    containers = [each for each in list_of(engine.get("Containers")) if call.own.owns("containers", each)]
    volumes = [each for each in list_of(engine.get("Volumes")) if call.own.owns("volumes", each)]
    return {
        "LayersSize": sum(each.get("Size") or 0 for each in seen),
        "Images": seen,
        "Containers": [answers.CONTAINER_SUMMARY(call.names, each) for each in containers],
        "Volumes": [answers.VOLUME(call.names, each) for each in volumes],
        "BuildCache": [],
        "BuilderSize": 0,
    }


async def _images(call: Call) -> list[Any]:
    found = await call.ask(Request(Verb.LS, ("images",), meta=call.meta))
    return [each for each in found if call.own.sees(each)]


async def watch(call: Call) -> Any:
    """Tell what happens to the tenant's objects. Filters are about what is shown, so they are applied here."""
    asked = SystemEvents.of(call.request)
    wanted = checked(asked.filters, events.FILTERS)
    types = [each for each in wanted.get("type", _KINDS) if each in _KINDS]
    params = {**asked, "filters": encode({"type": types or ["none"]})}

    def see(value: Any) -> Any:
        shown = answers.EVENT(call.names, value) if _is_own(call, value) else None
        return shown if shown is not None and events.fits(shown, wanted) else None

    return await call.forward_seen(call.request.replace(params=params), see)


def _is_own(call: Call, event: Mapping[str, Any]) -> bool:
    """Return whether an event is about an object of the tenant's; only those of containers have its labels."""
    actor = dict_of(event.get("Actor"))
    attributes = dict_of(actor.get("Attributes"))
    name = str(attributes.get("name") or "")
    match event.get("Type"):
        case "container":
            return call.names.is_own(name) and call.names.owns(attributes)
        case "network":
            return call.names.is_own(name)
        case "volume":
            return call.names.is_own(str(actor.get("ID")))
        case "image":
            return name.startswith(call.names.repositories)
        case _:
            return False
