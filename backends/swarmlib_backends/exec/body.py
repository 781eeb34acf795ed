"""What a container's create body may ask of a plain process. What it can't have is refused by name, never ignored."""

from __future__ import annotations

from typing import Any, Final, cast

from swarmlib import Invalid, Unsupported

from ..dockerapi.isolation import demanded, named
from .sandbox import NAME

_HONOURED: Final = frozenset(
    {
        "Cmd",
        "Entrypoint",
        "Env",
        "WorkingDir",
        "User",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Image",
        "Labels",
        "StopSignal",
        "StopTimeout",
        "HostConfig",
        "NetworkingConfig",
    }
)
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "AutoRemove": (True,),
    "NetworkMode": ("default", "bridge", "host"),
    "Runtime": (NAME,),
    "RestartPolicy": ({"Name": "no", "MaximumRetryCount": 0}, {"Name": "no"}, {"Name": "", "MaximumRetryCount": 0}),
    "LogConfig": ({"Type": "", "Config": {}}, {"Type": "", "Config": None}),
    "MemorySwappiness": (-1,),
    "ConsoleSize": ([0, 0],),
}
"""Values of the HostConfig, besides the empty ones, that a process on the host can have."""


def check(body: Any) -> dict[str, Any]:
    """The body, if a process can honour it.

    Raises:
        Invalid: it is no create body. Unsupported: it sets what a plain process can't have; names the field.
    """
    if not isinstance(body, dict):
        raise Invalid("the body of a create should be a JSON object")
    config = cast("dict[str, Any]", body)
    host = cast("dict[str, Any]", config.get("HostConfig") or {})
    refused = [name for name, value in config.items() if value and name not in _HONOURED]
    if NAME in (demanded(config), named(config)) and host.get("NetworkMode") == "none":
        host = {name: value for name, value in host.items() if name != "NetworkMode"}  # it has none
    refused += [f"HostConfig.{name}" for name, value in host.items() if not _can_have(name, value)]
    if refused:
        raise Unsupported(f"a local process can't have {', '.join(refused)}: leave it out, or use a docker backend")
    if not (config.get("Cmd") or config.get("Entrypoint")):
        raise Invalid("no command specified")
    return config


_EXEC_FIELDS: Final = frozenset(
    {
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "Cmd",
        "Env",
        "WorkingDir",
        "User",
        "ConsoleSize",
        "Detach",
        "DetachKeys",
        "Container",
    }
)


def check_exec(body: Any, parent: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a process in the place of a workload that has `parent`'s: what it doesn't say is as there.

    Raises:
        Invalid: it is no exec body. Unsupported: it sets what a plain process can't have; names the field.
    """
    if not isinstance(body, dict):
        raise Invalid("the body of an exec should be a JSON object")
    given = {name: value for name, value in cast("dict[str, Any]", body).items() if value}
    if refused := [name for name in given if name not in _EXEC_FIELDS]:
        raise Unsupported(f"a local process can't have {', '.join(refused)}")
    if not given.get("Cmd"):
        raise Invalid("No exec command specified")
    inherited = {name: parent.get(name) for name in ("WorkingDir", "User")}
    env: list[str] = (parent.get("Env") or []) + given.get("Env", [])
    return inherited | given | {"OpenStdin": bool(given.get("AttachStdin")), "Env": env}


def _can_have(name: str, value: Any) -> bool:
    if name == "ConsoleSize":  # the terminal's size at the start
        return True
    return not value or value in _NEUTRAL.get(name, ())
