"""Volumes: made by name or by containers, in use as long as a container mounts them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from swarmlib import NotFound, Request, Unsupported

from ..dockerapi.filters import flag
from ..dockerapi.matching import named
from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import VolumeDelete, VolumeList, VolumePrune
from ..dockerapi.status import refusal
from ..dockerapi.values import stamp
from ..enginekit.filters import checked, labels_wanted, pruned
from ..enginekit.operations import answers, body_of, ref_of
from .container import Container
from .context import Context
from .files import Files
from .paths import LONGEST_NAME, ROOT

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_FILTERS: Final = {"dangling", "driver", "label", "name"}


@dataclass(eq=False)
class Volume:
    """A volume."""

    name: str
    created: float
    labels: dict[str, str] | None
    options: dict[str, str] | None
    files: Files = field(default_factory=lambda: Files({}))


class VolumeStore:
    """The volumes of an engine."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._volumes: dict[str, Volume] = {}

    def users(self, name: str) -> list[Container]:
        """Return the containers that mount a volume."""
        return [
            each
            for each in self._context.containers
            if any(mount.type == "volume" and mount.name == name for mount in each.mounts)
        ]

    def make(self, name: str, labels: dict[str, str] | None = None, options: dict[str, str] | None = None) -> Volume:
        """Return the volume of that name, made if there is none.

        Raises:
            SwarmError: the name has not the form of one.
        """
        name = name or self._context.names.id()
        check_name(name)
        made = self._volumes.get(name)
        if made is None:
            made = self._volumes[name] = Volume(name, self._context.clock.now(), labels, options)
        self._context.tell_of("volume", "create", name, {"driver": "local"})
        return made

    def files_of(self, name: str) -> Files:
        """Return what is in a volume."""
        return self._volumes[name].files

    def remove(self, name: str) -> None:
        """Remove a volume that nobody mounts."""
        del self._volumes[name]
        self._context.tell_of("volume", "destroy", name, {"driver": "local"})

    def has(self, name: str) -> bool:
        """Return whether there is one of that name."""
        return name in self._volumes

    @answers("VolumeList")
    async def _ls(self, request: Request) -> dict[str, Any]:
        wanted = checked(VolumeList.of(request).filters, _FILTERS)
        used = self._use()
        has_name = named(wanted.get("name", []))
        found = [each for each in self._volumes.values() if has_name(each.name) and _fits(each, wanted)]
        if "dangling" in wanted:
            dangling = flag(wanted, "dangling", ("true", "1"), ("false", "0"))
            found = [each for each in found if dangling is not bool(used[each.name])]
        return {"Volumes": [_shown(each) for each in found], "Warnings": None}

    def _use(self) -> Counter[str]:
        """Return how many containers mount each volume."""
        return Counter(
            name
            for each in self._context.containers
            for name in {mount.name for mount in each.mounts if mount.type == "volume"}
        )

    @answers("VolumeInspect")
    async def _get(self, request: Request) -> dict[str, Any]:
        return _shown(self._find(ref_of(request)))

    def _find(self, name: str) -> Volume:
        found = self._volumes.get(name)
        if found is None:
            raise NotFound(f"get {name}: no such volume")
        return found

    @answers("VolumeCreate")
    async def _create(self, request: Request) -> dict[str, Any]:
        body = body_of(request)
        name, driver = str(body.get("Name") or ""), body.get("Driver") or "local"
        if driver != "local":
            raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
        name = name or self._context.names.id()
        options = dict_of(body.get("DriverOpts"))
        if not self.has(name):  # what is there already is given as it is
            _check_options(name, options)
        return _shown(self.make(name, body.get("Labels"), options or None))

    @answers("VolumeUpdate")
    async def _update(self, request: Request) -> None:
        raise Unsupported("page not found", details={"status": 404})

    @answers("VolumeDelete")
    async def _rm(self, request: Request) -> None:
        name = ref_of(request)
        if name not in self._volumes and VolumeDelete.of(request).force:
            return
        self._find(name)
        if users := self.users(name):
            ids = ", ".join(each.id for each in users)
            raise refusal(409, f"remove {name}: volume is in use - [{ids}]")
        self.remove(name)

    @answers("VolumePrune")
    async def _prune(self, request: Request) -> dict[str, Any]:
        used, fits = self._use(), pruned(VolumePrune.of(request).filters, 0, {"label", "label!"})
        unused = [each.name for each in self._volumes.values() if not used[each.name] and fits(each.labels, 0)]
        for name in unused:
            del self._volumes[name]  # of which an engine tells nothing but the prune
        self._context.tell_of("volume", "prune", "", {"reclaimed": "0"})
        return {"VolumesDeleted": unused, "SpaceReclaimed": 0}

    def disk_usage(self) -> list[dict[str, Any]]:
        """Return what `system df` shows."""
        used = self._use()
        return [_shown(v) | {"UsageData": {"RefCount": used[v.name], "Size": 0}} for v in self._volumes.values()]


def _fits(volume: Volume, wanted: dict[str, list[str]]) -> bool:
    return labels_wanted(dict_of(volume.labels), wanted) and "local" in (wanted.get("driver") or ["local"])


def _shown(volume: Volume) -> dict[str, Any]:
    return {
        "CreatedAt": stamp(volume.created)[:19] + "Z",
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": f"{ROOT}/volumes/{volume.name}/_data",
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    }


def check_name(name: str) -> None:
    """Refuse what is no name of a volume. Raises `SwarmError`."""
    if len(name.encode()) < 2:
        raise refusal(
            400, f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _NAME.fullmatch(name):
        raise refusal(
            400,
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
        )
    if len(name) > LONGEST_NAME:
        folder = f"{ROOT}/volumes/{name}"
        problem = f"error while creating volume root path '{folder}': mkdir {folder}: file name too long"
        raise refusal(500, f"create {name}: {problem}")


def _check_options(name: str, options: Mapping[str, str]) -> None:
    for option in options:
        if option not in ("type", "o", "device", "size"):
            raise refusal(400, f'create {name}: invalid option: "{option}"')
    for option in ("device", "type") if options else ():
        if option not in options:
            raise refusal(400, f'create {name}: missing required option: "{option}"')
