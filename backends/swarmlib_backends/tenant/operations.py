"""What becomes of each operation of the Engine API for a tenant. What is not here is denied."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..policy.names import IMAGE_IDS, IMAGES, TAG_IDS, TAGS
from . import answers, archives, building, containers, creation, images, networks, pushing, system, volumes
from .call import Call
from .shapes import Show

_LIMITED: Final = frozenset(
    {
        *(IMAGES, IMAGE_IDS, TAGS, TAG_IDS, "names", "networks", "volumes"),
        *("volume_labels", "volumes_from", "links", "ports"),
        "uploads",  # into a container or an image of the tenant's
    }
)
"""The kinds of demands that the operations below limit to what is the tenant's."""


@dataclass(frozen=True)
class Operation:
    """How an operation is done for a tenant.

    Attributes:
        answer: does it.
        limited: the kinds of demands that `answer` itself limits to what is the tenant's; any other needs a grant.
    """

    answer: Callable[[Call], Awaitable[Any]]
    limited: frozenset[str] = _LIMITED


def _unchanged() -> Operation:
    """Make the operation that names no object."""
    return Operation(lambda call: call.forward(call.request), frozenset())


def _container(show: Show | None = None) -> Operation:
    """Make the operation on a container that its path names."""
    return Operation(lambda call: containers.named(call, show))


_SYSTEM: Final = {
    **dict.fromkeys(("SystemPing", "SystemPingHead", "SystemVersion", "SystemAuth"), _unchanged()),
    "SystemInfo": Operation(system.info),
    "SystemDataUsage": Operation(system.usage),
    "SystemEvents": Operation(system.watch),
    "SwarmLeave": Operation(system.leave),
}
_CONTAINERS: Final = {
    "ContainerList": Operation(containers.listed),
    "ContainerCreate": Operation(creation.create),
    "ContainerInspect": _container(answers.CONTAINER),
    **dict.fromkeys(
        (
            *("ContainerTop", "ContainerLogs", "ContainerChanges", "ContainerExport", "ContainerResize"),
            *("ContainerStop", "ContainerKill", "ContainerPause"),
            *("ContainerUnpause", "ContainerAttach", "ContainerAttachWebsocket", "ContainerDelete"),
            *("ContainerArchive", "ContainerArchiveInfo", "PutContainerArchive"),
        ),
        _container(),
    ),
    **dict.fromkeys(("ContainerStart", "ContainerRestart"), Operation(containers.start)),
    "ContainerStats": _container(answers.STATS),
    "ContainerWait": _container(answers.WAITED),
    "ContainerUpdate": Operation(containers.update),
    "ContainerRename": Operation(containers.rename),
    "ContainerPrune": Operation(containers.prune),
    "ContainerExec": _container(answers.WARNED),
    "ExecStart": Operation(containers.of_exec),
    **dict.fromkeys(("ExecInspect", "ExecResize"), Operation(containers.of_exec)),
}
_IMAGES: Final = {
    "ImageList": Operation(images.listed),
    "ImageInspect": Operation(images.named),
    "ImageHistory": Operation(images.history),
    "ImageCreate": Operation(images.pull, _LIMITED - {IMAGES}),
    "ImageImport": Operation(images.imported),
    "ImageCommit": Operation(images.commit),
    "ImageBuild": Operation(building.build),
    "BuildPrune": Operation(building.prune),
    "ImageTag": Operation(images.tag),
    "ImageDelete": Operation(images.delete),
    "ImagePrune": Operation(images.prune),
    "ImageGet": Operation(archives.saved),
    "ImageGetAll": Operation(archives.saved_all),
    "ImageLoad": Operation(archives.load),
    "ImagePush": Operation(pushing.push, _LIMITED - {TAGS}),
    "ImageSearch": Operation(images.searched, frozenset()),
    "DistributionInspect": _unchanged(),
}
_NETWORKS: Final = {
    "NetworkList": Operation(networks.listed),
    "NetworkCreate": Operation(networks.create),
    "NetworkInspect": Operation(networks.named),
    "NetworkDelete": Operation(networks.delete),
    "NetworkPrune": Operation(networks.prune),
    "NetworkConnect": Operation(networks.connect),
    "NetworkDisconnect": Operation(networks.disconnect),
}
_VOLUMES: Final = {
    "VolumeList": Operation(volumes.listed),
    "VolumeCreate": Operation(volumes.create),
    **dict.fromkeys(("VolumeInspect", "VolumeDelete"), Operation(volumes.named)),
    "VolumePrune": Operation(volumes.prune),
}
OPERATIONS: Final[Mapping[str, Operation]] = {**_SYSTEM, **_CONTAINERS, **_IMAGES, **_NETWORKS, **_VOLUMES}
