"""What a request must have, or must not combine: an engine checks it before it looks for the object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias, cast

from swarmlib import Invalid

from . import detachkeys, schema
from .operations import (
    ConfigUpdate,
    ContainerArchive,
    ContainerAttach,
    ContainerKill,
    ContainerLogs,
    ContainerRename,
    ContainerResize,
    ImageCreate,
)
from .parameters import Params
from .values import signal_asked

Check: TypeAlias = Callable[[Any, Any], None]
"""Takes the typed parameters and the body of a request in canonical form. Raises `Invalid` if something is missing."""

_NO_UINT: Final = 'strconv.ParseUint: parsing "": invalid syntax'
"""An engine's own words for a number that is missing."""
_MAY_LACK_A_BODY: Final = frozenset({"ImageCommit", "ImagePush"})
"""The rows with an optional body. (A push may have the credentials in a header instead.)"""


@cache
def of_row(name: str) -> Check | None:
    """Return the check of the row with this name; None if the row requires nothing."""
    return _CHECKS.get(name) or (_body if _must_have_a_body(name) else None)


def _must_have_a_body(name: str) -> bool:
    return name not in _MAY_LACK_A_BODY and schema.body_reader(name) is not None


def _body(_: Params, body: Any) -> None:
    if body is None:
        raise Invalid("got EOF while reading request body")


def _command(asked: Params, body: Any) -> None:
    _body(asked, body)
    if not cast("dict[str, Any]", body).get("Cmd"):
        raise Invalid("No exec command specified")


def _streams(asked: ContainerLogs, _: Any) -> None:
    if not (asked.stdout or asked.stderr):
        raise Invalid("Bad parameters: you must choose at least one stream")


def _path(asked: ContainerArchive, _: Any) -> None:
    if not asked.path:
        raise Invalid("bad parameter: pathcannot be empty")  # an engine's own words


def _size(asked: ContainerResize, _: Any) -> None:
    if asked.h is None or asked.w is None:
        raise Invalid('strconv.Atoi: parsing "": invalid syntax')  # an engine's own words


def _signal(asked: ContainerKill, _: Any) -> None:
    signal_asked(asked.signal)


def _new_name(asked: ContainerRename, _: Any) -> None:
    if not asked.name:
        raise Invalid("Neither old nor new names may be empty")


def _one_source(asked: ImageCreate, _: Any) -> None:
    if asked.from_image and asked.from_src:
        raise Invalid("fromImage and fromSrc can't be used together: an image is either pulled or imported")


def _version(said: str) -> Check:
    """Return the check of a change of a swarm mode object, which must name the version of the object that was seen."""

    def check(asked: ConfigUpdate, body: Any) -> None:
        _body(asked, body)
        if asked.version is None:
            raise Invalid(said)

    return check


def _detach_keys(asked: ContainerAttach, _: Any) -> None:
    detachkeys.keys(asked.detach_keys)


_CHECKS: Final[Mapping[str, Check]] = {
    "ContainerExec": _command,
    "ContainerKill": _signal,
    "ContainerRename": _new_name,
    "SecretUpdate": _version("invalid secret version"),
    "ConfigUpdate": _version("invalid config version"),
    "NodeUpdate": _version(f"invalid node version '': {_NO_UINT}"),
    "ServiceUpdate": _version(f"invalid service version '': {_NO_UINT}"),
    "SwarmUpdate": _version(f"invalid swarm version '': {_NO_UINT}"),
    **dict.fromkeys(("ImageCreate", "ImageImport"), _one_source),
    **dict.fromkeys(("ContainerAttach", "ContainerAttachWebsocket"), _detach_keys),
    **dict.fromkeys(("ContainerLogs", "ServiceLogs", "TaskLogs"), _streams),
    **dict.fromkeys(("ContainerArchive", "ContainerArchiveInfo", "PutContainerArchive"), _path),
    **dict.fromkeys(("ContainerResize", "ExecResize"), _size),
}
