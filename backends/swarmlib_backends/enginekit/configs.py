"""The configuration of a container: what its creation asks for, completed by its image's, as an inspection shows it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.schema import empty

LEFT_OUT_IF_EMPTY: Final = (
    *("ArgsEscaped", "ExposedPorts", "Healthcheck", "MacAddress", "NetworkDisabled", "Shell", "StopSignal"),
)
"""The fields of a configuration that are not shown where they say nothing."""
NO_CONFIG: Final = empty("ContainerConfig", *LEFT_OUT_IF_EMPTY, "StopTimeout")
"""The configuration of an image, or of a container, that says nothing."""
_CONFIG: Final[dict[str, Any]] = NO_CONFIG | {"Labels": {}}


_HOST: Final[dict[str, Any]] = {
    **empty("HostConfig", *("Annotations", "Init", "Mounts", "StorageOpt", "Sysctls", "Tmpfs")),
    "NetworkMode": "default",
    "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
    "CgroupnsMode": "host",
    "IpcMode": "private",
    "ShmSize": 67108864,
    "Runtime": "runc",
    "ConsoleSize": [0, 0],
    "MemorySwappiness": None,
    "PidsLimit": None,
    "MaskedPaths": [
        *("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
        *("/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"),
    ],
    "ReadonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
}
"""What an inspection shows of the host's side where nothing is asked for."""
_DEFAULT_IF_EMPTY: Final = (
    *("NetworkMode", "ShmSize", "IpcMode", "CgroupnsMode", "Runtime", "OomKillDisable", "ConsoleSize"),
)

_FIELDS: Final = empty("ContainerConfig").keys()
_HOST_FIELDS: Final = empty("HostConfig").keys()
"""What an engine knows; it ignores other fields, and does not show them."""


def completed(body: Mapping[str, Any], own: Mapping[str, Any], hostname: str) -> dict[str, Any]:
    """Return the configuration of a container, with what it takes from its image.

    body: of its creation. own: the configuration of its image. hostname: what it is called if it asks for no name.
    """
    given = {name: value for name, value in body.items() if name in _FIELDS}
    config = _CONFIG | {name: value for name, value in given.items() if value is not None or name not in _CONFIG}
    entrypoint, command = given.get("Entrypoint"), given.get("Cmd")
    if not entrypoint:
        command = command or own.get("Cmd")
        entrypoint = entrypoint if entrypoint is not None and given.get("Cmd") else own.get("Entrypoint")
    config |= {"Cmd": command, "Entrypoint": entrypoint}
    config["Env"] = _merged_env(list_of(own.get("Env")), list_of(given.get("Env"))) or None
    config["Labels"] = dict_of(own.get("Labels")) | dict_of(given.get("Labels"))
    for name in ("User", "WorkingDir", "StopSignal", "Healthcheck"):
        if not config.get(name) and own.get(name):
            config[name] = own[name]
    config["Volumes"] = dict_of(own.get("Volumes")) | dict_of(given.get("Volumes")) or None
    config["ExposedPorts"] = dict_of(own.get("ExposedPorts")) | dict_of(given.get("ExposedPorts"))
    config["Hostname"] = config["Hostname"] or hostname
    for name in LEFT_OUT_IF_EMPTY:
        if not config.get(name):
            config.pop(name, None)
    return config


def completed_host(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the host's side of a configuration with an engine's defaults, but for the log's, which are a backend's."""
    host = {**_HOST, **{name: value for name, value in given.items() if name in _HOST_FIELDS}}
    for name in _DEFAULT_IF_EMPTY:
        host[name] = host[name] or copy.copy(_HOST[name])
    host["RestartPolicy"] = {**_HOST["RestartPolicy"], **dict_of(given.get("RestartPolicy"))}
    if host["MemorySwappiness"] == -1:
        host["MemorySwappiness"] = None
    if host["PidsLimit"] == 0:
        host["PidsLimit"] = None
    return host


def _merged_env(own: list[str], given: list[str]) -> list[str]:
    named = {entry.partition("=")[0] for entry in given}
    return [*given, *(entry for entry in own if entry.partition("=")[0] not in named)]
