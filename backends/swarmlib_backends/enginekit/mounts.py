"""What a container mounts: the binds, mounts and volumes of its creation, read as an engine reads them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal, restated

_PROPAGATIONS: Final = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_MODES: Final = (
    frozenset({"ro", "rw"}),
    frozenset({"z", "Z"}),
    _PROPAGATIONS,
    frozenset({"nocopy"}),
    frozenset({"consistent", "cached", "delegated"}),
)
"""What the mode of a bind may say, one word of each kind."""


_OTHERS_OPTIONS: Final = {
    "bind": ("VolumeOptions",),
    "volume": ("BindOptions",),
    "tmpfs": ("BindOptions", "VolumeOptions"),
}
"""The kinds of mounts that Linux has, and which options belong to another one."""


@dataclass(slots=True, eq=False)
class Mount:
    """Something that is mounted: a volume (by its `name`), a folder of the host (`source`), or a tmpfs."""

    type: str
    target: str
    name: str = ""
    source: str = ""
    mode: str = ""
    writable: bool = True
    propagation: str = ""
    anonymous: bool = False
    inherited: bool = False
    """Whether it is another container's too, as `VolumesFrom` asked."""
    filled: bool = True
    """Whether a volume that is still empty gets what the image has there."""
    labels: dict[str, str] | None = None
    """Those that a volume gets if it is made for this."""
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Its description among `HostConfig.Mounts`, if it has one."""


def mounts_of(
    config: Mapping[str, Any],
    host: Mapping[str, Any],
    check_name: Callable[[str], None],
    inherited: Sequence[Mount] = (),
) -> list[Mount]:
    """Return what a container mounts.

    config: with its image's volumes. check_name: refuses what is no name of a volume. inherited: what it mounts of
    other containers.

    Raises:
        SwarmError: a specification is wrong; the words are an engine's.
    """
    temporary = dict_of(host.get("Tmpfs"))
    own: dict[str, Mount] = {}
    for mount in chain(map(_bind, list_of(host.get("Binds"))), map(asked_mount, list_of(host.get("Mounts")))):
        if mount.target in own or (mount.target in temporary and not mount.given):
            raise refusal(400, f"Duplicate mount point: {mount.target}")
        if mount.type == "volume" and not mount.anonymous:
            check_name(mount.name)
        own[mount.target] = mount
    found = {mount.target: mount for mount in inherited} | own
    for target in dict_of(config.get("Volumes")):
        path = posixpath.normpath(f"/{target.lstrip('/')}")
        if path not in temporary:
            found.setdefault(path, Mount("volume", path, anonymous=True))
    return list(found.values())


def _bind(spec: str) -> Mount:
    parts = spec.split(":")
    if len(parts) > 3 or not all(parts) or (len(parts) == 2 and _is_mode(parts[1])):
        raise refusal(500, f"invalid volume specification: '{spec}'")
    source, target, mode = ("", parts[0], "") if len(parts) == 1 else (parts[0], parts[1], (parts[2:] or [""])[0])
    if mode and not _is_mode(mode):
        raise refusal(500, f"invalid mode: {mode}")
    words = set(mode.split(","))
    kind = "bind" if source.startswith("/") else "volume"
    given: dict[str, Any] = {"Type": kind, "Source": source, "Target": target, "ReadOnly": "ro" in words}
    for propagation in words & _PROPAGATIONS:
        given["BindOptions"] = {"Propagation": propagation}
    if "nocopy" in words:
        given["VolumeOptions"] = {"NoCopy": True}
    with restated(f"invalid volume specification: '{spec}': ", 500):
        mount = asked_mount(given)
    mount.mode, mount.given = mode or mount.mode, {}
    return mount


def _is_mode(text: str) -> bool:
    words = text.split(",")
    return all(any(word in kind for kind in _MODES) for word in words) and all(
        sum(word in kind for word in words) <= 1 for kind in _MODES
    )


def _target_problem(target: str) -> str:
    """Return what is wrong with a place to mount something at; empty if nothing is."""
    if not target.startswith("/"):
        return f"invalid mount path: '{target}' mount path must be absolute"
    return "invalid specification: destination can't be '/'" if posixpath.normpath(target) == "/" else ""


def check_temporary(host: Mapping[str, Any]) -> None:
    """Refuse places of `HostConfig.Tmpfs` where nothing can be mounted. Raises `SwarmError`."""
    for target in dict_of(host.get("Tmpfs")):
        if problem := _target_problem(target):
            raise refusal(400, problem)


def asked_mount(given: dict[str, Any]) -> Mount:
    """Return one of `HostConfig.Mounts`. Raises `Invalid` if it can't be."""
    kind, target = str(given.get("Type") or ""), str(given.get("Target") or "")
    source, writable = str(given.get("Source") or ""), not given.get("ReadOnly")
    if problem := _mount_problem(kind, given, target, source):
        raise refusal(400, f'invalid mount config for type "{kind}": {problem}')
    target = posixpath.normpath(target)
    if kind == "volume":
        options = dict_of(given.get("VolumeOptions"))
        made = Mount(kind, target, name=source, mode="z", writable=writable, anonymous=not source)
        made.filled, made.labels, made.given = not options.get("NoCopy"), options.get("Labels"), given
        return made
    propagation = str(dict_of(given.get("BindOptions")).get("Propagation") or "rprivate") if kind == "bind" else ""
    if propagation and propagation not in _PROPAGATIONS:
        raise refusal(400, f'invalid mount config for type "bind": invalid propagation mode: {propagation}')
    source = posixpath.normpath(source) if kind == "bind" else ""
    return Mount(kind, target, source=source, writable=writable, propagation=propagation, given=given)


def _mount_problem(kind: str, given: dict[str, Any], target: str, source: str) -> str:
    """Return what is wrong with one of `HostConfig.Mounts`; empty if nothing is."""
    if not target:
        return "field Target must not be empty"
    if kind not in _OTHERS_OPTIONS:
        return "mount type unknown"
    if problem := _target_problem(target):
        return problem
    if kind == "bind" and not source:
        return "field Source must not be empty"
    if kind == "tmpfs" and source:
        return "field Source must not be specified"
    for name in _OTHERS_OPTIONS[kind]:
        if given.get(name) is not None:
            return f"field {name} must not be specified"
    if kind == "bind" and not source.startswith("/"):
        return f"invalid mount path: '{source}' mount path must be absolute"
    return ""


def described(mount: Mount, source: str) -> dict[str, Any]:
    """Return what lists and inspections show of what is mounted.

    source: the folder that it is, on the machine of the engine; "" for none.
    """
    is_volume = mount.type == "volume"
    return {
        "Type": mount.type,
        **({"Name": mount.name} if is_volume else {}),
        "Source": source,
        "Destination": mount.target,
        **({"Driver": "local"} if is_volume else {}),
        "Mode": mount.mode,
        "RW": mount.writable,
        "Propagation": mount.propagation,
    }
