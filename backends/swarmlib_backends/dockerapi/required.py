"""What a request can't do without, or with: an engine refuses it before it looks for the object that it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias, cast

from swarmlib import Invalid

from . import detachkeys, schema
from .values import signal_asked

Check: TypeAlias = Callable[[Mapping[str, Any], Any], None]
"""Takes the parameters and the body of a request in canonical form. Raises `Invalid` if something is missing."""

_NO_UINT: Final = 'strconv.ParseUint: parsing "": invalid syntax'
"""An engine's own words for a number that is missing."""
_MAY_LACK_A_BODY: Final = frozenset({"ImageCommit", "ImagePush"})
"""An image is pushed without one where a header has the credentials."""


@cache
def of_row(name: str) -> Check | None:
    """The check of the row with this name; None if it can do without everything."""
    return _CHECKS.get(name) or (_body if _must_have_a_body(name) else None)


def _must_have_a_body(name: str) -> bool:
    return name not in _MAY_LACK_A_BODY and schema.of_row(name).body is not None


def _body(_: Mapping[str, Any], body: Any) -> None:
    if body is None:
        raise Invalid("got EOF while reading request body")


def _command(args: Mapping[str, Any], body: Any) -> None:
    _body(args, body)
    if not cast("dict[str, Any]", body).get("Cmd"):
        raise Invalid("No exec command specified")


def _streams(args: Mapping[str, Any], _: Any) -> None:
    if "1" not in (args.get("stdout"), args.get("stderr")):
        raise Invalid("Bad parameters: you must choose at least one stream")


def _path(args: Mapping[str, Any], _: Any) -> None:
    if not args.get("path"):
        raise Invalid("bad parameter: pathcannot be empty")  # an engine's own words


def _size(args: Mapping[str, Any], _: Any) -> None:
    for name in ("h", "w"):
        if name not in args:
            raise Invalid('strconv.Atoi: parsing "": invalid syntax')  # an engine's own words


def _signal(args: Mapping[str, Any], _: Any) -> None:
    signal_asked(args)


def _new_name(args: Mapping[str, Any], _: Any) -> None:
    if not args.get("name"):
        raise Invalid("Neither old nor new names may be empty")


def _version(said: str) -> Check:
    """The check of an object of swarm mode that is changed: which version of it was seen must be told."""

    def check(args: Mapping[str, Any], body: Any) -> None:
        _body(args, body)
        if "version" not in args:
            raise Invalid(said)

    return check


def _detach_keys(args: Mapping[str, Any], _: Any) -> None:
    detachkeys.keys(str(args.get("detachKeys", "")))


_CHECKS: Final[Mapping[str, Check]] = {
    "ContainerExec": _command,
    "ContainerKill": _signal,
    "ContainerRename": _new_name,
    "SecretUpdate": _version("invalid secret version"),
    "ConfigUpdate": _version("invalid config version"),
    "NodeUpdate": _version(f"invalid node version '': {_NO_UINT}"),
    "ServiceUpdate": _version(f"invalid service version '': {_NO_UINT}"),
    "SwarmUpdate": _version(f"invalid swarm version '': {_NO_UINT}"),
    **dict.fromkeys(("ContainerAttach", "ContainerAttachWebsocket"), _detach_keys),
    **dict.fromkeys(("ContainerLogs", "ServiceLogs", "TaskLogs"), _streams),
    **dict.fromkeys(("ContainerArchive", "ContainerArchiveInfo", "PutContainerArchive"), _path),
    **dict.fromkeys(("ContainerResize", "ExecResize"), _size),
}
