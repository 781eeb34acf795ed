"""What becomes of each operation of the Engine API for a tenant. What is not here is denied."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..policy import containers as descriptions
from ..policy import demands, objects
from ..policy.demands import Reader
from . import answers, containers, creation, networks
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
        own: the kinds of demands that `answer` itself limits to what is the tenant's.
    """

    answer: Callable[[Call], Awaitable[Any]]
    read: Reader = NOTHING
    own: frozenset[str] = frozenset()


def _unchanged(show: Show | None = None) -> Operation:
    """Make the operation that names no object."""
    return Operation(lambda call: call.forward(call.request, show))


def _container(show: Show | None = None, read: Reader = NOTHING) -> Operation:
    """Make the operation on a container that its path names."""
    return Operation(lambda call: containers.named(call, show), read)


OPERATIONS: Final[Mapping[str, Operation]] = {
    **dict.fromkeys(("SystemPing", "SystemPingHead", "SystemVersion"), _unchanged()),
    "ContainerList": Operation(containers.listed),
    "ContainerCreate": Operation(creation.create, descriptions.read, creation.OWN),
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
    "NetworkInspect": Operation(networks.named),
    "NetworkCreate": Operation(networks.create, objects.network),
    "ContainerExec": _container(answers.WARNED, objects.command),
}
