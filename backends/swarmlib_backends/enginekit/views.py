"""The Engine API's objects of containers that are played, and of the backend that plays them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version as version_of
from typing import Any, Final, Protocol

from swarmlib import Json, ReplySender

from ..dockerapi.ages import human
from ..dockerapi.values import stamp
from ..dockerapi.versions import API_VERSION, MIN_API_VERSION
from .played import Played

VERSION: Final = version_of("swarmlib")
_PONG: Final = [
    (b"Content-Type", b"text/plain; charset=utf-8"),
    (b"Api-Version", API_VERSION.encode()),
    (b"Docker-Experimental", b"false"),
    (b"Ostype", b"linux"),
    (b"Cache-Control", b"no-cache, no-store, must-revalidate"),
    (b"Pragma", b"no-cache"),
]


class Shown(Played, Protocol):
    """What is shown of a container. Times are seconds since the epoch, 0 for never."""

    @property
    def image(self) -> str:
        """The name of its image."""
        ...

    @property
    def command(self) -> list[str]:
        """The words of its command."""
        ...

    @property
    def host(self) -> dict[str, Any]:
        """The host's side of its configuration."""
        ...

    @property
    def network_mode(self) -> str:
        """The network that it is shown to have."""
        ...

    @property
    def error(self) -> str:
        """Why its last start failed."""
        ...

    @property
    def started(self) -> float:
        """When its last run began."""
        ...

    @property
    def finished(self) -> float:
        """When its last run ended."""
        ...

    @property
    def pid(self) -> int:
        """Its process id."""
        ...


def summary(container: Shown) -> dict[str, Any]:
    """Return a container as lists show it."""
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.image,
        "ImageID": container.image,
        "Command": " ".join(container.command),
        "Created": int(container.created),
        "State": container.status,
        "Status": _status_text(container),
        "Ports": [],
        "Labels": container.labels,
        "Mounts": [],
        "HostConfig": {"NetworkMode": container.network_mode},
        "NetworkSettings": {"Networks": {}},
    }


def _status_text(container: Shown) -> str:
    if container.status == "created":
        return "Created"
    if container.status == "exited":
        return f"Exited ({container.exit_code}) {_age(container.finished)} ago"
    if container.status == "restarting":
        return f"Restarting ({container.exit_code}) {_age(container.finished)} ago"
    return f"Up {_age(container.started)}{' (Paused)' if container.status == 'paused' else ''}"


def _age(at: float) -> str:
    return human(time.time() - at)[0]


def state(container: Shown) -> dict[str, Any]:
    """Return how a container is."""
    return {
        "Status": container.status,
        "Running": container.running,
        "Paused": container.status == "paused",
        "Restarting": container.status == "restarting",
        "OOMKilled": False,
        "Dead": False,
        "Pid": container.pid if container.running else 0,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": stamp(container.started),
        "FinishedAt": stamp(0 if container.running else container.finished),
    }


def inspect(container: Shown, backend: str) -> dict[str, Any]:
    """Return all there is to know of a container of this backend."""
    command = container.command or [""]
    config = {key: value for key, value in container.config.items() if key not in ("HostConfig", "NetworkingConfig")}
    return {
        "Id": container.id,
        "Created": stamp(container.created),
        "Path": command[0],
        "Args": command[1:],
        "State": state(container),
        "Image": container.image,
        "Name": f"/{container.name}",
        "RestartCount": 0,
        "Driver": backend,
        "Platform": "linux",
        "Mounts": [],
        "Config": {"Tty": False, "OpenStdin": False, "Labels": {}} | config,
        "HostConfig": container.host,
        "NetworkSettings": {"Networks": {}, "Ports": {}},
    }


def check_shown(container: Shown) -> None:
    """Raise whatever showing it would raise, while nobody can meet it in a list: afterwards all lists would fail."""
    summary(container)
    inspect(container, "")


def version() -> dict[str, Any]:
    """Return the version of a backend that plays an engine on this machine."""
    system = os.uname()
    return {
        "Version": VERSION,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
        "Arch": system.machine,
        "KernelVersion": system.release,
        **dict.fromkeys(("BuildTime", "GitCommit", "GoVersion"), ""),
        "Components": [],
    }


def info(backend: str, statuses: Iterable[str]) -> dict[str, Any]:
    """Return what a backend is on this machine, and how many containers it has.

    statuses: one for each container.
    """
    system = os.uname()
    return {
        "ID": backend,
        "Name": system.nodename,
        "ServerVersion": VERSION,
        "Driver": backend,
        "OperatingSystem": backend,
        "OSType": "linux",
        "Architecture": system.machine,
        "KernelVersion": system.release,
        "NCPU": os.cpu_count(),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Images": 0,
        **dict.fromkeys(("Debug", "ExperimentalBuild", "LiveRestoreEnabled"), False),
        **counted(statuses),
        "Warnings": None,
    }


def counted(statuses: Iterable[str]) -> dict[str, int]:
    """Return how many containers there are in each state, as an `info` says it."""
    found = Counter(statuses)
    running, paused = found["running"] + found["restarting"], found["paused"]
    return {
        "Containers": found.total(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": found.total() - running - paused,
    }


def disk_usage(containers: Iterable[Shown]) -> dict[str, Any]:
    """Return what a backend keeps that has nothing on disk."""
    return {
        "LayersSize": 0,
        "Images": [],
        "Containers": [summary(each) for each in containers],
        "Volumes": [],
        "BuildCache": [],
    }


async def pong(reply: ReplySender) -> None:
    """Answer a ping."""
    await reply.set(Json(b"OK"), details={"headers": _PONG})
    await reply.ack()
