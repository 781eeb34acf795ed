"""What a container mounts: the volumes of its Pod, and what is copied into them before it starts."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ...dockerapi.nullable import dict_of
from ...dockerapi.status import refusal
from ...enginekit.mounts import Mount, check_temporary, mounts_of
from ...enginekit.volumes import check_name
from . import binds, names, shim
from .fields import refused
from .options import PodOptions
from .record import Record
from .volume import Volume

_FILL: Final = "swarm-fill"
_SHM: Final = "/dev/shm"
_SIZE: Final = re.compile(r"([0-9]{1,15})([kmgKMG]?)")
_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_OPTIONS: Final = frozenset({"rw", "nosuid", "nodev", "noexec", "suid", "dev", "exec", "mode=1777", "mode=777"})
"""What a volume in memory is, or may be without harm."""
_BEHIND: Final = "/.swarm-volumes"
"""Where the volumes are while what the image has in their places is copied into them."""
_COPY: Final = f"""while [ $# -gt 0 ]; do
  there=$({shim.BUSYBOX} ls -A "$2")
  if [ -d "$1" ] && {{ [ -z "$there" ] || [ "$there" = lost+found ]; }}; then
    {shim.BUSYBOX} cp -a "$1/." "$2" 2>/dev/null || {shim.BUSYBOX} cp -R "$1/." "$2" # only root keeps owners
  fi
  shift 2
done"""
"""A new disk has a folder lost+found, and is empty all the same."""


def mounts(record: Record) -> list[Mount]:
    """Return what a container mounts, but for memory: as an inspection shows it. A volume without a name has none.

    Raises:
        SwarmError: a specification is wrong; the words are an engine's.
    """
    return mounts_of(record.config, record.host, check_name)


def named_volumes(record: Record) -> list[str]:
    """Return the names of the volumes that a container mounts and that outlive it, each once."""
    found = (mount.name for mount in mounts(record) if mount.type == "volume" and not mount.anonymous)
    return list(dict.fromkeys(found))


def volumes(record: Record, options: PodOptions) -> list[Volume]:
    """Return the volumes of a Pod.

    Raises:
        Unsupported: a Pod can't have what is asked for. SwarmError: a specification is wrong.
    """
    check_temporary(record.host)
    asked = [*_of_mounts(mounts(record), options), *_of_memory(record.host)]
    made = [replace(each, name=f"v{n}", mount=each.mount | {"name": f"v{n}"}) for n, each in enumerate(asked)]
    for each in made:
        path = each.mount["mountPath"]
        if options.tools != "never" and (path + "/").startswith(f"{shim.FOLDER}/"):
            raise refused((f"a mount at {path!r:.80}", "swarmlib has its tools there"))
    return made


def _of_mounts(found: Sequence[Mount], options: PodOptions) -> Iterator[Volume]:
    """Yield the volumes of mounts, which get their names later."""
    for mount in found:
        where = {"mountPath": mount.target} | ({} if mount.writable else {"readOnly": True})
        if mount.type == "volume":
            if options.tools == "never" and mount.filled and not mount.anonymous:
                why = "swarmlib's tools copy what the image has there; mount it with nocopy, or without --tools never"
                raise refused((f"the volume {mount.name!r:.80}", why))
            if path := dict_of(mount.given.get("VolumeOptions")).get("Subpath"):
                where["subPath"] = _inside(path)
            claimed = {"persistentVolumeClaim": {"claimName": names.volume_name(mount.name)}}
            yield Volume("", {"emptyDir": {}} if mount.anonymous else claimed, where, mount.filled)
        elif mount.type == "tmpfs":
            yield Volume("", _memory(int(dict_of(mount.given.get("TmpfsOptions")).get("SizeBytes") or 0)), where)
        else:
            _check_bind(mount, options)
            yield Volume("", {"emptyDir": {}}, where | {"subPath": binds.INSIDE}, bind=mount.source)


def _check_bind(mount: Mount, options: PodOptions) -> None:
    place = f"{'HostConfig.Mounts' if mount.given else 'HostConfig.Binds'} {mount.source!r:.80}"
    if options.binds == "refuse":
        why = "a Pod has no folders of this machine; --binds copy copies them, or docker cp before the start"
        raise refused((place, why))
    if options.tools == "never":
        raise refused((place, "it would be copied by swarmlib's tools, which --tools never forbids"))


def _of_memory(host: Mapping[str, Any]) -> Iterator[Volume]:
    for target, options in dict_of(host.get("Tmpfs")).items():
        where = {"mountPath": posixpath.normpath(target)}
        words = [word for word in str(options).split(",") if word]
        sizes = [word.removeprefix("size=") for word in words if word.startswith("size=")]
        rest = {word for word in words if not word.startswith("size=")}
        read_only = {"readOnly": True} if "ro" in rest else {}
        if strange := sorted(rest - _OPTIONS - {"ro"}):
            raise refused((f"HostConfig.Tmpfs.{target:.80} {strange[0]!r:.40}", "a volume in memory has only a size"))
        yield Volume("", _memory(_size(sizes[-1], target) if sizes else 0), where | read_only)
    if size := int(host.get("ShmSize") or 0):
        if size < 0:
            raise refusal(400, "SHM size can not be less than 0")
        yield Volume("", _memory(size), {"mountPath": _SHM})


def _memory(size: int) -> dict[str, Any]:
    return {"emptyDir": {"medium": "Memory"} | ({"sizeLimit": str(size)} if size else {})}


def _size(text: str, target: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise refused(
            (f"HostConfig.Tmpfs.{target:.80} {f'size={text}'!r:.40}", "its size is given in bytes, or as 64m")
        )
    return int(found[1]) * _UNITS[found[2].lower()]


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise refused((f"HostConfig.Mounts.VolumeOptions.Subpath {path!r:.80}", "it must be a path in the volume"))
    return path


def fill_container(record: Record, made: Sequence[Volume]) -> list[dict[str, Any]]:
    """Return the init container that copies what the image has in the places of volumes, if there are such volumes."""
    filled = [each for each in made if each.fill]
    if not filled:
        return []
    pairs = [word for each in filled for word in (each.mount["mountPath"], f"{_BEHIND}/{each.name}")]
    behind = [
        {"name": each.name, "mountPath": f"{_BEHIND}/{each.name}"}
        | ({"subPath": path} if (path := each.mount.get("subPath")) else {})
        for each in filled
    ]
    return [
        {
            "name": _FILL,
            "image": record.reference,
            "imagePullPolicy": "IfNotPresent",
            "command": shim.doubled((shim.BUSYBOX, "sh", "-c", _COPY, "sh", *pairs)),
            "securityContext": {"runAsUser": 0},  # the image's own user may not write into a new volume
            "volumeMounts": [shim.MOUNT, *behind],
        }
    ]
