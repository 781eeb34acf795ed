"""Volumes: made by name or by containers, in use as long as a container mounts them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..dockerapi.nullable import dict_of
from ..dockerapi.status import refusal
from ..enginekit.volumes import DRIVER, Use, VolumeOperations
from ..enginekit.volumes import check_name as check_form
from .container import Container
from .context import Context
from .files import Files
from .paths import LONGEST_NAME, ROOT


@dataclass(eq=False)
class Volume:
    """A volume."""

    name: str
    created: float
    labels: dict[str, str] | None
    options: dict[str, str] | None
    files: Files = field(default_factory=lambda: Files({}))


class VolumeStore(VolumeOperations[Volume]):
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
        self.tell("create", name, {"driver": DRIVER})
        return made

    def files_of(self, name: str) -> Files:
        """Return what is in a volume."""
        return self._volumes[name].files

    def discard(self, name: str) -> None:
        """Remove a volume that nobody mounts."""
        del self._volumes[name]
        self.tell("destroy", name, {"driver": DRIVER})

    def has(self, name: str) -> bool:
        """Return whether there is one of that name."""
        return name in self._volumes

    async def volumes(self) -> Iterable[Volume]:
        """See `VolumeOperations`."""
        return list(self._volumes.values())

    def use(self) -> Use:
        """See `VolumeOperations`."""
        found: dict[str, list[str]] = {}
        for each in self._context.containers:
            for name in {mount.name for mount in each.mounts if mount.type == "volume"}:
                found.setdefault(name, []).append(each.id)
        return found

    async def create(self, name: str, body: Mapping[str, Any]) -> Volume:
        """See `VolumeOperations`."""
        name, options = name or self._context.names.id(), dict_of(body.get("DriverOpts"))
        if not self.has(name):  # what is there already is given as it is
            _check_options(name, options)
        return self.make(name, body.get("Labels"), options or None)

    async def remove(self, volume: Volume) -> None:
        """See `VolumeOperations`."""
        self.discard(volume.name)

    async def prune(self, volume: Volume) -> None:
        """See `VolumeOperations`. Of the volumes themselves, an engine then tells nothing."""
        del self._volumes[volume.name]

    def place(self, volume: Volume) -> str:
        """See `VolumeOperations`."""
        return folder_of(volume.name)

    def tell(self, action: str, name: str, attributes: Mapping[str, str]) -> None:
        """See `VolumeOperations`."""
        self._context.tell_of("volume", action, name, attributes)


def folder_of(name: str) -> str:
    """Return where an engine would keep the files of a volume."""
    return f"{ROOT}/volumes/{name}/_data"


def check_name(name: str) -> None:
    """Refuse what is no name of a volume. Raises `SwarmError`."""
    check_form(name)
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
