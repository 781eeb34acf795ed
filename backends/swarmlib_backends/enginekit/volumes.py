"""The operations of volumes, by the names of their rows in the routing table."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from swarmlib import NotFound, Request, Unsupported

from ..dockerapi.filters import flag
from ..dockerapi.matching import named
from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import VolumeDelete, VolumeList, VolumePrune
from ..dockerapi.status import refusal
from ..dockerapi.values import stamp
from .filters import checked, labels_wanted, pruned
from .operations import answers, body_of, ref_of

DRIVER: Final = "local"
"""The driver that every volume is shown with."""
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_FILTERS: Final = {"dangling", "driver", "label", "name"}


class Named(Protocol):
    """What must be known of a volume."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def created(self) -> float:
        """When it was made, in seconds since the epoch."""
        ...

    @property
    def labels(self) -> Mapping[str, str] | None:
        """Its labels."""
        ...

    @property
    def options(self) -> Mapping[str, str] | None:
        """The options of its driver."""
        ...


V = TypeVar("V", bound=Named)
Use = Mapping[str, Collection[str]]
"""The ids of the containers that mount each volume, by its name."""


class VolumeOperations(ABC, Generic[V]):
    """Answers what is asked of volumes. A backend says how they are kept, made and removed."""

    # What a backend says.

    @abstractmethod
    async def volumes(self) -> Iterable[V]:
        """Return all volumes. Raises `SwarmError`: they can't be known."""

    @abstractmethod
    def use(self) -> Use:
        """Return what mounts the volumes."""

    @abstractmethod
    async def create(self, name: str, body: Mapping[str, Any]) -> V:
        """Return the volume of that name, made if there is none.

        name: "" for one of the backend's choice. body: of the creation.

        Raises:
            SwarmError: the name or an option is wrong, or can't be had.
        """

    @abstractmethod
    async def remove(self, volume: V) -> None:
        """Remove a volume that nothing mounts. Raises `SwarmError`."""

    async def prune(self, volume: V) -> None:
        """Remove a volume as one of those that nothing mounts. Raises `SwarmError`."""
        await self.remove(volume)

    @abstractmethod
    def place(self, volume: V) -> str:
        """Return the folder in which a volume is said to be; "" for none."""

    @abstractmethod
    def tell(self, action: str, name: str, attributes: Mapping[str, str]) -> None:
        """Tell what happened to a volume, or to several at once (without a name)."""

    # What it answers.

    @answers("VolumeList")
    async def _ls(self, request: Request) -> dict[str, Any]:
        wanted = checked(VolumeList.of(request).filters, _FILTERS)
        use, has_name = self.use(), named(wanted.get("name", []))
        found = [each for each in await self.volumes() if has_name(each.name) and _fits(each, wanted)]
        if "dangling" in wanted:
            dangling = flag(wanted, "dangling", ("true", "1"), ("false", "0"))
            found = [each for each in found if dangling is not bool(use.get(each.name))]
        return {"Volumes": [self.shown(each) for each in found], "Warnings": None}

    @answers("VolumeInspect")
    async def _get(self, request: Request) -> dict[str, Any]:
        return self.shown(await self._find(ref_of(request)))

    async def _find(self, name: str) -> V:
        found = await self._known(name)
        if found is None:
            raise NotFound(f"get {name}: no such volume")
        return found

    async def _known(self, name: str) -> V | None:
        return next((each for each in await self.volumes() if each.name == name), None)

    @answers("VolumeCreate")
    async def _create(self, request: Request) -> dict[str, Any]:
        body = body_of(request)
        name, driver = str(body.get("Name") or ""), body.get("Driver") or DRIVER
        if driver != DRIVER:
            raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
        return self.shown(await self.create(name, body))

    @answers("VolumeUpdate")
    async def _update(self, request: Request) -> None:
        raise Unsupported("page not found", details={"status": 404})

    @answers("VolumeDelete")
    async def _rm(self, request: Request) -> None:
        name = ref_of(request)
        if VolumeDelete.of(request).force and await self._known(name) is None:
            return
        volume = await self._find(name)
        if users := self.use().get(name):
            raise refusal(409, f"remove {name}: volume is in use - [{', '.join(users)}]")
        await self.remove(volume)

    @answers("VolumePrune")
    async def _prune(self, request: Request) -> dict[str, Any]:
        use, fits = self.use(), pruned(VolumePrune.of(request).filters, 0, {"label", "label!"})
        found = await self.volumes()
        unused = [each for each in found if not use.get(each.name) and fits(dict_of(each.labels), 0)]
        for each in unused:
            await self.prune(each)
        self.tell("prune", "", {"reclaimed": "0"})
        return {"VolumesDeleted": [each.name for each in unused], "SpaceReclaimed": 0}

    def size(self, volume: V) -> int:
        """Return the bytes that a volume holds; -1 if that is not known."""
        return 0

    def disk_usage(self, volumes: Iterable[V]) -> list[dict[str, Any]]:
        """Return what `system df` shows of volumes."""
        use = self.use()
        return [
            self.shown(each) | {"UsageData": {"RefCount": len(use.get(each.name, ())), "Size": self.size(each)}}
            for each in volumes
        ]

    def shown(self, volume: V) -> dict[str, Any]:
        """Return a volume as lists and inspections show it."""
        return {
            "CreatedAt": stamp(volume.created)[:19] + "Z",
            "Driver": DRIVER,
            "Labels": volume.labels,
            "Mountpoint": self.place(volume),
            "Name": volume.name,
            "Options": volume.options,
            "Scope": "local",
        }


def _fits(volume: Named, wanted: dict[str, list[str]]) -> bool:
    return labels_wanted(dict_of(volume.labels), wanted) and DRIVER in (wanted.get("driver") or [DRIVER])


def check_name(name: str) -> None:
    """Refuse what has not the form of a volume's name. Raises `SwarmError`."""
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
