"""What a container's create body may ask of a plain process. What it can't have is refused by name, never ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from swarmlib import Invalid, Unsupported

from ..dockerapi.isolation import demanded, named
from ..dockerapi.values import signal_number
from .sandbox import NAME

_MAX_SIZE: Final = (1 << 16) - 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, cast("list[Any]", value)))


def _is_command(value: Any) -> bool:
    return _is_text(value) or _is_list(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_labels(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, cast("dict[str, Any]", value).values()))


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31


def _is_size(value: Any) -> bool:
    """Whether it is a terminal's rows and columns."""
    if not isinstance(value, list) or len(cast("list[Any]", value)) != 2:
        return False
    return all(_is_integer(each) and 0 <= each <= _MAX_SIZE for each in cast("list[Any]", value))


_Type = tuple[Callable[[Any], bool], str]
_TEXT: Final[_Type] = (_is_text, "text without a NUL")
_LIST: Final[_Type] = (_is_list, "a list of texts without a NUL")
_COMMAND: Final[_Type] = (_is_command, "a list of texts without a NUL")
_OBJECT: Final[_Type] = (_is_object, "an object")
_LABELS: Final[_Type] = (_is_labels, "an object of texts")
_FLAG: Final[_Type] = (_is_flag, "true or false")
_INTEGER: Final[_Type] = (_is_integer, "an integer")
_SIZE: Final[_Type] = (_is_size, f"a terminal's rows and columns, each from 0 to {_MAX_SIZE}")

_PROCESS: Final[Mapping[str, _Type]] = {
    "AttachStderr": _FLAG,
    "AttachStdin": _FLAG,
    "AttachStdout": _FLAG,
    "Cmd": _COMMAND,
    "Env": _LIST,
    "Tty": _FLAG,
    "User": _TEXT,
    "WorkingDir": _TEXT,
}
_CONTAINER: Final[Mapping[str, _Type]] = {
    **_PROCESS,
    "Entrypoint": _COMMAND,
    "HostConfig": _OBJECT,
    "Image": _TEXT,
    "Labels": _LABELS,
    "NetworkingConfig": _OBJECT,
    "OpenStdin": _FLAG,
    "StdinOnce": _FLAG,
    "StopSignal": _TEXT,
    "StopTimeout": _INTEGER,
}
_EXEC: Final[Mapping[str, _Type]] = {
    **_PROCESS,
    "ConsoleSize": _SIZE,
    "Container": _TEXT,
    "Detach": _FLAG,
    "DetachKeys": _TEXT,
}
_HOST: Final[Mapping[str, _Type]] = {
    "AutoRemove": _FLAG,
    "ConsoleSize": _SIZE,
    "GroupAdd": _LIST,
    "NetworkMode": _TEXT,
    "Runtime": _TEXT,
    "SecurityOpt": _LIST,
}
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
        Invalid: it is no create body; names the field. Unsupported: it sets what a plain process can't have; names the
        field.
    """
    config = _object(body, "create")
    refused = [name for name, value in config.items() if value and name not in _CONTAINER]
    _check_types(config, _CONTAINER, "")
    host = host_config(config)
    _check_types(host, _HOST, "HostConfig.")
    if NAME in (demanded(config), named(config)) and host.get("NetworkMode") == "none":
        host = {name: value for name, value in host.items() if name != "NetworkMode"}  # it has none
    refused += [f"HostConfig.{name}" for name, value in host.items() if not _can_have(name, value)]
    if refused:
        raise Unsupported(f"a local process can't have {', '.join(refused)}: leave it out, or use a docker backend")
    if not (config.get("Cmd") or config.get("Entrypoint")):
        raise Invalid("no command specified")
    signal_number(config.get("StopSignal") or "TERM")
    _check_process(config)
    return config


def check_exec(body: Any, parent: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a process in the place of a workload that has `parent`'s: what it doesn't say is as there.

    Raises:
        Invalid: it is no exec body; names the field. Unsupported: it sets what a plain process can't have; names the
        field.
    """
    given = {name: value for name, value in _object(body, "exec").items() if value}
    if refused := [name for name in given if name not in _EXEC]:
        raise Unsupported(f"a local process can't have {', '.join(refused)}")
    _check_types(given, _EXEC, "")
    if not given.get("Cmd"):
        raise Invalid("No exec command specified")
    inherited = {name: parent.get(name) for name in ("WorkingDir", "User", "HostConfig")}
    env = texts(parent, "Env") + texts(given, "Env")
    config = inherited | given | {"OpenStdin": bool(given.get("AttachStdin")), "Env": env}
    _check_process(config)
    return config


def console_size(body: Any) -> tuple[int, int]:
    """The rows and columns of `ConsoleSize` in a body; (0, 0) where it says nothing. Raises Invalid if it is wrong."""
    found = _object(body or {}, "start").get("ConsoleSize")
    _check_types({"ConsoleSize": found}, _HOST, "")
    return (found[0], found[1]) if found else (0, 0)


def terminal_size(args: Mapping[str, Any]) -> tuple[int, int]:
    """The rows and columns that a resize asks for, `h` and `w`. Raises Invalid if one is no such number."""
    return _length(args, "h"), _length(args, "w")


def _length(args: Mapping[str, Any], name: str) -> int:
    found = integer(args, name, 0)
    if not 0 <= found <= _MAX_SIZE:
        raise Invalid(f"{name} should be a number from 0 to {_MAX_SIZE}, not {found}")
    return found


def integer(args: Mapping[str, Any], name: str, default: int) -> int:
    """A parameter that is a whole number. Raises Invalid if it is something else."""
    text = str(args.get(name, "") or default)
    if not re.fullmatch("[+-]?[0-9]{1,10}", text):
        raise Invalid(f"{name} should be a whole number, not {text[:80]!r}")
    return int(text)


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


def _check_types(given: Mapping[str, Any], types: Mapping[str, _Type], where: str) -> None:
    for name, (fits, wanted) in types.items():
        value = given.get(name)
        if value is not None and not fits(value):
            raise Invalid(f"{where}{name} should be {wanted}")


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
