"""What a container's create body may ask of a plain process. What it can't have is refused by name, never ignored.

Bodies and parameters come here in canonical form, so that every field has the type that the Engine API gives it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from swarmlib import Invalid, Unsupported

from ..dockerapi import detachkeys
from ..dockerapi.isolation import demanded, named
from ..dockerapi.values import signal_number
from .sandbox import NAME

_MAX_SIZE: Final = (1 << 16) - 1
"""Rows or columns of a terminal, at most."""
_MAX_TIMEOUT: Final = (1 << 31) - 1
"""Seconds that a workload may take to stop, at most."""
_PROCESS: Final = frozenset(
    {"AttachStderr", "AttachStdin", "AttachStdout", "Cmd", "Env", "Tty", "User", "WorkingDir"},
)
_CONTAINER: Final = _PROCESS | {
    *("Entrypoint", "HostConfig", "Image", "Labels", "NetworkingConfig", "OpenStdin", "StdinOnce"),
    *("StopSignal", "StopTimeout"),
}
_EXEC: Final = _PROCESS | {"ConsoleSize", "Container", "Detach", "DetachKeys"}
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "AutoRemove": (True,),
    "NetworkMode": ("default", "bridge", "host"),
    "Runtime": (NAME,),
    "RestartPolicy": ({"Name": "no", "MaximumRetryCount": 0}, {"Name": "no"}, {"Name": "", "MaximumRetryCount": 0}),
    "LogConfig": ({"Type": "", "Config": {}}, {"Type": "", "Config": None}),
    "MemorySwappiness": (-1,),
}
"""Values of the HostConfig, besides the empty ones, that a process on the host can have."""
_NO_NEW_PRIVILEGES: Final = re.compile(r"no-new-privileges(?:[:=](true|false))?")


def check(body: Any) -> dict[str, Any]:
    """The body, if a process can honour it.

    Raises:
        Invalid: there is no body, or a field is out of its bounds; names the field. Unsupported: it sets what a plain
        process can't have; names the field.
    """
    config = _object(body, "create")
    if not config:
        raise Invalid("Config cannot be empty in order to create a container")
    refused = [name for name, value in config.items() if value and name not in _CONTAINER]
    host = host_config(config)
    if NAME in (demanded(config), named(config)) and host.get("NetworkMode") == "none":
        host = {name: value for name, value in host.items() if name != "NetworkMode"}  # it has none
    refused += [f"HostConfig.{name}" for name, value in host.items() if not _can_have(name, value)]
    if refused:
        raise Unsupported(f"a local process can't have {', '.join(refused)}: leave it out, or use a docker backend")
    if not (config.get("Cmd") or config.get("Entrypoint")):
        raise Invalid("No command specified")
    if abs(config.get("StopTimeout", 0)) > _MAX_TIMEOUT:
        raise Invalid(f"StopTimeout should be {_MAX_TIMEOUT} seconds at most")
    signal_number(config.get("StopSignal") or "TERM")
    _check_process(config)
    return config


def check_exec(body: Any, parent: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a process in the place of a workload that has `parent`'s: what it doesn't say is as there.

    Raises:
        Invalid: there is no body, or a field is out of its bounds; names the field. Unsupported: it sets what a plain
        process can't have; names the field.
    """
    given = {name: value for name, value in _object(body, "exec").items() if value}
    if refused := [name for name in given if name not in _EXEC]:
        raise Unsupported(f"a local process can't have {', '.join(refused)}")
    console_size(given)
    detachkeys.keys_of_exec(given.get("DetachKeys", ""))
    inherited = {name: parent.get(name) for name in ("WorkingDir", "User", "HostConfig")}
    env = texts(parent, "Env") + texts(given, "Env")
    config = inherited | given | {"OpenStdin": bool(given.get("AttachStdin")), "Env": env}
    _check_process(config)
    return config


def console_size(body: Mapping[str, Any] | None) -> tuple[int, int]:
    """The rows and columns of `ConsoleSize` in a body; (0, 0) where it says nothing. Raises Invalid if it is wrong."""
    rows, columns = (body or {}).get("ConsoleSize") or (0, 0)
    if max(rows, columns) > _MAX_SIZE:
        raise Invalid(f"ConsoleSize should be a terminal's rows and columns, each from 0 to {_MAX_SIZE}")
    return rows, columns


def no_new_privileges(config: Mapping[str, Any]) -> bool:
    """Whether a checked body asks that its process and all that this starts never get more privileges."""
    return any(not option.endswith("false") for option in texts(host_config(config), "SecurityOpt"))


def host_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The HostConfig of a checked body."""
    return config.get("HostConfig") or {}


def texts(config: Mapping[str, Any], name: str) -> list[str]:
    """The list of texts `name` in a checked body."""
    return config.get(name) or []


def _object(body: Any, what: str) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Invalid(f"the body of {what} should be a JSON object")
    return cast("dict[str, Any]", body)


def _check_process(config: Mapping[str, Any]) -> None:
    """Refuse what no process can have: variables without a name, and folders that depend on where swarmd is."""
    for entry in texts(config, "Env"):
        if entry.startswith("=") or not entry:
            raise Invalid(f"invalid environment variable: {entry}")
    folder = config.get("WorkingDir") or "/"
    if not folder.startswith("/"):
        raise Invalid(f"the working directory {folder!r} is invalid, it needs to be an absolute path")


def _can_have(name: str, value: Any) -> bool:
    if name in ("ConsoleSize", "GroupAdd"):
        return True
    if name == "SecurityOpt":
        return all(map(_NO_NEW_PRIVILEGES.fullmatch, texts({name: value}, name)))
    return not value or value in _NEUTRAL.get(name, ())
