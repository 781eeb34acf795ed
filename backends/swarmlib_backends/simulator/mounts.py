"""What a container mounts, out of the four ways to ask for it: binds, mounts, volumes, and another container's."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal, restated
from .container import Mount
from .engine import Engine
from .files import Files, Mounted, folder
from .volumes import check_name

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


def mounts_of(config: Mapping[str, Any], host: Mapping[str, Any], engine: Engine) -> list[Mount]:
    """Return what a container mounts; the volumes are made later, by `make_volumes`.

    Raises:
        SwarmError: a specification is wrong, or the container whose volumes it wants doesn't exist.
    """
    temporary = dict_of(host.get("Tmpfs"))
    inherited = [mount for spec in list_of(host.get("VolumesFrom")) for mount in _from_container(spec, engine)]
    own: dict[str, Mount] = {}
    for spec in list_of(host.get("Binds")):
        _add(own, _bind(spec), temporary)
    for given in list_of(host.get("Mounts")):
        _add(own, asked_mount(given))
    found = {mount.target: mount for mount in inherited} | own
    for target in dict_of(config.get("Volumes")):
        path = posixpath.normpath(f"/{target.lstrip('/')}")
        if path not in temporary:
            found.setdefault(path, Mount("volume", path, anonymous=True))
    return list(found.values())


def _add(own: dict[str, Mount], mount: Mount, others: Collection[str] = ()) -> None:
    """Add a mount, unless there is one at its place, or one of the others will be. Raises `SwarmError`."""
    if mount.target in own or mount.target in others:
        raise refusal(400, f"Duplicate mount point: {mount.target}")
    if mount.type == "volume" and not mount.anonymous:
        check_name(mount.name)
    own[mount.target] = mount


def _from_container(spec: str, engine: Engine) -> list[Mount]:
    ref, _, mode = spec.partition(":")
    if not spec:
        raise refusal(400, "volumes-from specification cannot be an empty string")
    if mode not in ("", "ro", "rw", "z", "Z"):
        raise refusal(400, f"invalid mode: {mode}")
    with restated("", 400):
        source = engine.find(ref)
    mounts = [copy.copy(mount) for mount in source.mounts]
    for mount in mounts:
        mount.mode, mount.writable, mount.inherited = "", mount.writable and mode != "ro", True
    return mounts


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
    mount.mode = mode or mount.mode
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
        made.filled, made.labels = not options.get("NoCopy"), options.get("Labels")
        return made
    propagation = str(dict_of(given.get("BindOptions")).get("Propagation") or "rprivate") if kind == "bind" else ""
    if propagation and propagation not in _PROPAGATIONS:
        raise refusal(400, f'invalid mount config for type "bind": invalid propagation mode: {propagation}')
    source = posixpath.normpath(source) if kind == "bind" else ""
    return Mount(kind, target, source=source, writable=writable, propagation=propagation)


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


def make_volumes(mounts: Sequence[Mount], engine: Engine) -> None:
    """Make the volumes that are mounted and not there yet."""
    for mount in mounts:
        if mount.type == "volume" and not mount.inherited:
            mount.name = engine.volumes.make(mount.name, mount.labels).name


def mount_all(files: Files, mounts: Sequence[Mount], engine: Engine) -> None:
    """Let a container's file system have what it mounts. A volume that is still empty gets what the image has there."""
    for mount in sorted(mounts, key=lambda each: each.target):
        if mount.type == "volume":
            there = Mounted(engine.volumes.files_of(mount.name), writable=mount.writable)
            if mount.filled:
                _fill(there.files, files, mount.target)
        elif mount.type == "bind":
            there = Mounted(engine.host_files, mount.source, mount.writable)
            if engine.host_files.get(mount.source) is None:
                engine.host_files.put(mount.source, folder(engine.clock.now()))
        else:
            there = Mounted(Files({}), writable=mount.writable)
        files.mount(mount.target, there)


def _fill(volume: Files, files: Files, target: str) -> None:
    if volume.below("/"):
        return
    for path in files.below(target):
        if (node := files.get(path)) is not None:
            volume.put(posixpath.join("/", posixpath.relpath(path, target)), node)
