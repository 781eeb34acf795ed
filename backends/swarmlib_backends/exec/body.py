"""What a container's create body may ask of a plain process. What it can't have is refused by name, never ignored.

Bodies and parameters come here in canonical form, so that every field has the type that the Engine API gives it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from swarmlib import Invalid

from ..dockerapi import detachkeys
from ..dockerapi.isolation import demanded, named
from ..dockerapi.nullable import dict_of, list_of
from ..enginekit.bodies import HONOURED, USUAL, Accepted, anything, check_process, json_object, only
from .sandbox import NAME

_MAX_SIZE: Final = (1 << 16) - 1
"""Rows or columns of a terminal, at most."""
_MAX_TIMEOUT: Final = (1 << 31) - 1
"""Seconds that a workload may take to stop, at most."""
_NO_NEW_PRIVILEGES: Final = re.compile(r"no-new-privileges(?:[:=](true|false))?")
_PROCESS: Final = frozenset(
    {"AttachStderr", "AttachStdin", "AttachStdout", "Cmd", "Env", "Tty", "User", "WorkingDir"},
)


def _is_no_new_privileges(options: list[str]) -> bool:
    return all(map(_NO_NEW_PRIVILEGES.fullmatch, options))


PROCESS: Final = Accepted(
    "a local process",
    USUAL | _PROCESS,
    {
        **HONOURED,
        "GroupAdd": anything,
        "NetworkMode": only("default", "bridge", "host"),
        "Runtime": only(NAME),
        "SecurityOpt": _is_no_new_privileges,
    },
    advice=": omit it, or use a docker backend",
)
_SANDBOXED: Final = replace(PROCESS, host={**PROCESS.host, "NetworkMode": only("default", "bridge", "host", "none")})
_EXEC: Final = Accepted("a local process", _PROCESS | {"ConsoleSize", "Container", "Detach", "DetachKeys"})


def check(body: Any) -> dict[str, Any]:
    """Return the body, if a process can honour it.

    Raises:
        Invalid: there is no body, or a field is out of its bounds; names the field. Unsupported: it sets what a plain
        process can't have; names the field.
    """
    if not body:
        raise Invalid("Config cannot be empty in order to create a container")
    config = json_object(body)
    (_SANDBOXED if NAME in (demanded(config), named(config)) else PROCESS).check(config)
    if not (config.get("Cmd") or config.get("Entrypoint")):
        raise Invalid("No command specified")
    if abs(config.get("StopTimeout", 0)) > _MAX_TIMEOUT:
        raise Invalid(f"StopTimeout must be at most {_MAX_TIMEOUT} seconds")
    check_process(config)
    return config


def check_exec(body: Any, parent: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a process in the place of a workload, whose own is `parent`: it says the rest.

    Raises:
        Invalid: there is no body, or a field is out of its bounds; names the field. Unsupported: it sets what a plain
        process can't have; names the field.
    """
    given = {name: value for name, value in _EXEC.check(body, "exec").items() if value}
    console_size(given)
    detachkeys.keys_of_exec(given.get("DetachKeys", ""))
    inherited = {name: parent.get(name) for name in ("WorkingDir", "User", "HostConfig")}
    env = list_of(parent.get("Env")) + list_of(given.get("Env"))
    config = inherited | given | {"OpenStdin": bool(given.get("AttachStdin")), "Env": env}
    check_process(config)
    return config


def console_size(body: Mapping[str, Any] | None) -> tuple[int, int]:
    """Return the rows and columns of `ConsoleSize` in a body; (0, 0) for none. Raises Invalid if it is wrong."""
    rows, columns = (body or {}).get("ConsoleSize") or (0, 0)
    if max(rows, columns) > _MAX_SIZE:
        raise Invalid(f"ConsoleSize must be a terminal's rows and columns, each from 0 to {_MAX_SIZE}")
    return rows, columns


def no_new_privileges(config: Mapping[str, Any]) -> bool:
    """Return whether a checked body asks that its process and all that this starts never get more privileges."""
    return any(not option.endswith("false") for option in list_of(dict_of(config.get("HostConfig")).get("SecurityOpt")))
