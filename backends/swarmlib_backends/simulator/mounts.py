"""What a container mounts, out of the four ways to ask for it: binds, mounts, volumes, and another container's."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from ..dockerapi.nullable import list_of
from ..dockerapi.status import refusal, restated
from ..enginekit.mounts import Mount, mounts_of
from .engine import Engine
from .files import Files, Mounted, folder
from .volumes import check_name


def mounts_asked(config: Mapping[str, Any], host: Mapping[str, Any], engine: Engine) -> list[Mount]:
    """Return what a container mounts; the volumes are made later, by `make_volumes`.

    Raises:
        SwarmError: a specification is wrong, or the container whose volumes it wants doesn't exist.
    """
    inherited = [mount for spec in list_of(host.get("VolumesFrom")) for mount in _from_container(spec, engine)]
    return mounts_of(config, host, check_name, inherited)


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
