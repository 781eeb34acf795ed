"""Where the names are searched for that a container asks for: its links, then its networks, then the cluster's domains.

With tools, the container has a file of theirs in place of the /etc/resolv.conf of its Pod (`search.sh`), so that its
domains can change while it runs. Without tools, they are the Pod's own, which are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...dockerapi.nullable import dict_of, list_of
from ...enginekit.networks import PREDEFINED
from . import names
from .connections import connections, links
from .options import PodOptions
from .record import Record
from .shim import BUSYBOX, FOLDER, VOLUME
from .status import is_usable
from .volume import Volume

_FILE: Final = "/etc/resolv.conf"
MOUNT: Final[dict[str, Any]] = {"name": VOLUME, "mountPath": _FILE, "subPath": "resolv.conf"}


def domains(record: Record, options: PodOptions) -> list[str]:
    """Return the domains that a container searches before the cluster's own."""
    services = [names.links_name(record.id)] if links(record) else []
    services += [names.network_name(each) for each in connections(record) if each not in PREDEFINED]
    return [f"{service}.{options.namespace}.svc.{options.domain}" for service in services]


def mounts(mounted: Sequence[Volume]) -> list[dict[str, Any]]:
    """Return the mount of the tools' file; none where the container's user mounts another one in its place."""
    return [] if any(each.mount["mountPath"] == _FILE for each in mounted) else [MOUNT]


def can_change(pod: Mapping[str, Any]) -> bool:
    """Return whether the domains that the container of a Pod searches can be changed now: it runs, and has the file."""
    containers = map(dict_of, list_of(dict_of(pod.get("spec")).get("containers")))
    mounted = [
        each
        for container in containers
        if container.get("name") == names.MAIN
        for each in list_of(container.get("volumeMounts"))
    ]
    return is_usable(pod) and any(MOUNT.items() <= dict_of(each).items() for each in mounted)


def command(domains: Sequence[str]) -> tuple[str, ...]:
    """Return the command that has a container search these domains first."""
    return (BUSYBOX, "sh", f"{FOLDER}/search", *domains)
