"""The Engine API's objects of a workload and of the service, and which workloads a list shows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

from swarmlib import NotFound

from ..dockerapi.ages import human
from ..dockerapi.filters import flag
from ..dockerapi.matching import named
from ..dockerapi.references import looked_for
from ..dockerapi.values import NEVER, filters, is_true, labels_fit, number, stamp
from ..dockerapi.versions import API_VERSION, MIN_API_VERSION
from .sandbox import runtimes
from .workload import Workload

_LIST_FILTERS: Final = {"name", "id", "status", "label", "ancestor", "exited"}
_IMAGE_FILTERS: Final = {"before", "dangling", "label", "reference", "since"}


def listed(workloads: Iterable[Workload], args: Mapping[str, Any]) -> list[Any]:
    """The summaries that a list asks for, the newest first.

    Raises:
        Invalid, Unsupported: its filters are wrong.
    """
    wanted = filters(args, _LIST_FILTERS, "containers")
    limit = number(args, "limit", 0)
    everything = is_true(args.get("all")) or limit > 0 or bool({"status", "exited"} & set(wanted))
    has_name = named(wanted.get("name", []))
    shown = [w for w in workloads if (everything or w.running) and has_name(w.name, f"/{w.name}")]
    chosen = [w for w in shown if _fits(w, wanted)]
    newest = chosen[::-1]
    return [summary(w) for w in (newest[:limit] if limit > 0 else newest)]


def no_images(args: Mapping[str, Any]) -> list[Any]:
    """The images that a list asks for: none.

    Raises:
        SwarmError: its filters are wrong, or name an image.
    """
    wanted = filters(args, _IMAGE_FILTERS, "images")
    if "dangling" in wanted:
        flag(wanted, "dangling", ["true"], ["false"])
    for name in ("before", "since"):
        for ref in wanted.get(name, []):
            raise NotFound(f"No such image: {looked_for(ref)}")
    return []


def _fits(workload: Workload, wanted: Mapping[str, list[str]]) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "id": workload.id.startswith,
        "status": lambda value: workload.status == value,
        "exited": lambda value: workload.status == "exited" and str(workload.exit_code) == value,
        "ancestor": lambda value: workload.config.get("Image") == value,
    }
    plain = all(any(tests[key](value) for value in values) for key, values in wanted.items() if key in tests)
    return plain and labels_fit(workload.config.get("Labels") or {}, wanted.get("label", []))


def summary(workload: Workload) -> dict[str, Any]:
    """A workload in a list."""
    image = workload.config.get("Image", "")
    return {
        "Id": workload.id,
        "Names": [f"/{workload.name}"],
        "Image": image,
        "ImageID": image,
        "Command": " ".join(workload.command),
        "Created": int(workload.created),
        "State": workload.status,
        "Status": _status_text(workload),
        "Ports": [],
        "Labels": workload.config.get("Labels") or {},
        "Mounts": [],
        "HostConfig": {"NetworkMode": "host" if workload.sandbox is None or workload.sandbox.network else "none"},
        "NetworkSettings": {"Networks": {}},
    }


def _status_text(workload: Workload) -> str:
    if workload.status == "created":
        return "Created"
    if workload.status == "exited":
        return f"Exited ({workload.exit_code}) {_ago(workload.finished_at)} ago"
    return f"Up {_ago(workload.started_at)}{' (Paused)' if workload.status == 'paused' else ''}"


def _ago(at: float) -> str:
    return human(time.time() - at)[0]


def state(workload: Workload) -> dict[str, Any]:
    """How a workload is."""
    return {
        "Status": workload.status,
        "Running": workload.running,
        "Paused": workload.status == "paused",
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": workload.leader if workload.running else 0,
        "ExitCode": workload.exit_code,
        "Error": workload.error,
        "StartedAt": stamp(workload.started_at),
        "FinishedAt": NEVER if workload.running else stamp(workload.finished_at),
    }


def inspect(workload: Workload) -> dict[str, Any]:
    """All there is to know of a workload."""
    command = workload.command
    config = {key: value for key, value in workload.config.items() if key not in ("HostConfig", "NetworkingConfig")}
    return {
        "Id": workload.id,
        "Created": stamp(workload.created),
        "Path": command[0],
        "Args": command[1:],
        "State": state(workload),
        "Image": workload.config.get("Image", ""),
        "Name": f"/{workload.name}",
        "RestartCount": 0,
        "Driver": "exec",
        "Platform": "linux",
        "Mounts": [],
        "Config": {"Tty": False, "OpenStdin": False, "Labels": {}} | config,
        "HostConfig": workload.config.get("HostConfig") or {},
        "NetworkSettings": {"Networks": {}, "Ports": {}},
    }


def check_shown(workload: Workload) -> None:
    """Raise whatever showing it would raise, while nobody can meet it in a list: afterwards all lists would fail."""
    summary(workload)
    inspect(workload)


def inspect_exec(made: Workload, parent: str) -> dict[str, Any]:
    """All there is to know of a process in a workload's place."""
    command = made.command
    return {
        "ID": made.id,
        "Running": made.running,
        "ExitCode": made.exit_code if made.status == "exited" else None,
        "Pid": made.process.pid if made.process else 0,
        "ProcessConfig": {"entrypoint": command[0], "arguments": command[1:], "tty": made.tty},
        "OpenStdin": bool(made.config.get("OpenStdin")),
        "ContainerID": parent,
    }


def service_version() -> dict[str, Any]:
    """The service's version."""
    system = os.uname()
    return {
        "Version": version("swarmlib"),
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
        "Arch": system.machine,
        "KernelVersion": system.release,
        "Components": [],
    }


def service_info(workloads: Iterable[Workload]) -> dict[str, Any]:
    """What the service is, and how much of it there is."""
    system = os.uname()
    states = [w.status for w in workloads]
    return {
        "ID": "exec",
        "Name": system.nodename,
        "ServerVersion": version("swarmlib"),
        "Driver": "exec",
        "Runtimes": runtimes(),
        "OperatingSystem": "processes",
        "OSType": "linux",
        "Architecture": system.machine,
        "KernelVersion": system.release,
        "NCPU": os.cpu_count(),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Images": 0,
        "Containers": len(states),
        "ContainersRunning": states.count("running"),
        "ContainersPaused": states.count("paused"),
        "ContainersStopped": states.count("created") + states.count("exited"),
        "Warnings": None,
    }


def disk_usage(workloads: Iterable[Workload]) -> dict[str, Any]:
    """What the service keeps: nothing on disk."""
    return {
        "LayersSize": 0,
        "Images": [],
        "Containers": [summary(w) for w in workloads],
        "Volumes": [],
        "BuildCache": [],
    }
