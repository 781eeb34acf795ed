"""What becomes of each operation of the Engine API for a tenant. What is not here is denied."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..policy import containers as descriptions
from ..policy import demands, objects
from ..policy.demands import Demand, Reader, Value
from . import answers, containers, creation, images, networks, system, volumes
from .call import Call
from .shapes import Show

NOTHING: Final = demands.struct({})
"""Reads a body that has no fields."""


@dataclass(frozen=True)
class Operation:
    """How an operation is done for a tenant.

    Attributes:
        answer: does it.
        read: yields what its body demands; without it, any field of a body is refused.
        limits: whether `answer` itself limits a demand to what is the tenant's.
    """

    answer: Callable[[Call], Awaitable[Any]]
    read: Reader = NOTHING
    limits: Callable[[Demand], bool] = lambda demand: False


def _unchanged() -> Operation:
    """Make the operation that names no object."""
    return Operation(lambda call: call.forward(call.request))


def _container(show: Show | None = None, read: Reader = NOTHING) -> Operation:
    """Make the operation on a container that its path names."""
    return Operation(lambda call: containers.named(call, show), read)


def _update(place: str, value: Value) -> Iterator[Demand]:
    """Read the body of ContainerUpdate, whose fields are some of a container's HostConfig."""
    return descriptions.read("", {"HostConfig": value})


_SYSTEM: Final = {
    **dict.fromkeys(("SystemPing", "SystemPingHead", "SystemVersion"), _unchanged()),
    "SystemInfo": Operation(system.info),
    "SystemDataUsage": Operation(system.usage),
    "SystemEvents": Operation(system.watch),
}
_CONTAINERS: Final = {
    "ContainerList": Operation(containers.listed),
    "ContainerCreate": Operation(creation.create, descriptions.read, creation.limits),
    "ContainerInspect": _container(answers.CONTAINER),
    **dict.fromkeys(
        (
            *("ContainerTop", "ContainerLogs", "ContainerChanges", "ContainerExport", "ContainerResize"),
            *("ContainerStart", "ContainerStop", "ContainerRestart", "ContainerKill", "ContainerPause"),
            *("ContainerUnpause", "ContainerAttach", "ContainerAttachWebsocket", "ContainerDelete"),
            *("ContainerArchive", "ContainerArchiveInfo", "PutContainerArchive"),
        ),
        _container(),
    ),
    "ContainerStats": _container(answers.STATS),
    "ContainerWait": _container(answers.WAITED),
    "ContainerUpdate": _container(answers.WARNED, _update),
    "ContainerRename": Operation(containers.rename),
    "ContainerPrune": Operation(containers.prune),
    "ContainerExec": _container(answers.WARNED, objects.command),
    "ExecStart": Operation(containers.of_exec, objects.beginning),
    **dict.fromkeys(("ExecInspect", "ExecResize"), Operation(containers.of_exec)),
}
_IMAGES: Final = {
    "ImageList": Operation(images.listed),
    "ImageInspect": Operation(images.named),
    "ImageHistory": Operation(images.history),
    "ImageCreate": Operation(images.pull),
    "ImageImport": Operation(images.imported),
    "ImageCommit": Operation(images.commit, descriptions.read, lambda demand: demand.kind == "images"),
    "ImageTag": Operation(images.tag),
    "ImageDelete": Operation(images.delete),
    "ImagePrune": Operation(images.prune),
    "ImageGet": Operation(images.saved),
    "ImageGetAll": Operation(images.saved_all),
    "DistributionInspect": Operation(images.distribution),
}
_NETWORKS: Final = {
    "NetworkList": Operation(networks.listed),
    "NetworkCreate": Operation(networks.create, objects.network),
    "NetworkInspect": Operation(networks.named),
    "NetworkDelete": Operation(networks.delete),
    "NetworkPrune": Operation(networks.prune),
    "NetworkConnect": Operation(networks.connect, networks.connection, creation.limits),
    "NetworkDisconnect": Operation(networks.disconnect, networks.disconnection),
}
_VOLUMES: Final = {
    "VolumeList": Operation(volumes.listed),
    "VolumeCreate": Operation(volumes.create, objects.volume),
    **dict.fromkeys(("VolumeInspect", "VolumeDelete"), Operation(volumes.named)),
    "VolumePrune": Operation(volumes.prune),
}
OPERATIONS: Final[Mapping[str, Operation]] = {**_SYSTEM, **_CONTAINERS, **_IMAGES, **_NETWORKS, **_VOLUMES}
