"""The operations of named volumes in a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..dockerapi.nullable import dict_of
from ..enginekit import volumes as kit
from ..enginekit.events import Events
from ..enginekit.mounts import Mount
from .cluster import Cluster
from .container import PodContainer
from .pods import names
from .pods.claims import Claim, claim, options_of
from .pods.record import Record
from .pods.status import State
from .pods.volumes import mounts, named_volumes
from .volumes import Volume, Volumes


class VolumeOperations(kit.VolumeOperations[Volume]):
    """Answers what is asked of volumes, and tells what happens to them."""

    def __init__(self, cluster: Cluster, volumes: Volumes, events: Events, now: Callable[[], float]) -> None:
        self.cluster = cluster
        self._volumes = volumes
        self.events = events
        self._now = now
        volumes.listeners.append(self._changed)
        cluster.mirror.listeners.append(self._container_changed)

    async def volumes(self) -> Iterable[Volume]:
        """See `VolumeOperations`."""
        await self._volumes.ready()
        return list(self._volumes)

    def use(self) -> kit.Use:
        """See `VolumeOperations`."""
        found: dict[str, list[str]] = {}
        for each in self.cluster.mirror.containers:
            for name in named_volumes(each.record):
                found.setdefault(name, []).append(each.id)
        return found

    async def create(self, name: str, body: Mapping[str, Any]) -> Volume:
        """See `VolumeOperations`."""
        return await self._make(name or names.new_id(), body.get("Labels"), dict_of(body.get("DriverOpts")))

    async def make_for(self, record: Record) -> None:
        """Make the volumes that a container mounts, and that are not there yet.

        Raises:
            SwarmError: a volume can't have what is asked for, or the cluster's error.
        """
        wanted = [each for each in mounts(record) if each.type == "volume" and not each.anonymous]
        for mount in wanted:  # none is made if one can't be
            self._claim(mount.name, options_of(mount))
        for mount in wanted:
            await self._make(mount.name, mount.labels, options_of(mount))

    async def _make(self, name: str, labels: dict[str, str] | None, options: dict[str, str]) -> Volume:
        kit.check_name(name)
        made = Volume(name, self._now(), labels, options or None)
        return await self._volumes.make(made, self._claim(name, options))

    def _claim(self, name: str, options: Mapping[str, str]) -> Claim:
        return claim(name, options, self.cluster.options.claim)

    async def remove(self, volume: Volume) -> None:
        """See `VolumeOperations`."""
        await self._volumes.remove(volume)

    def place(self, volume: Volume) -> str:
        """See `VolumeOperations`. A claim has no folder that anybody could open."""
        return ""

    def size(self, volume: Volume) -> int:
        """See `VolumeOperations`. A cluster tells only how large a volume may become."""
        return -1

    def shown(self, volume: Volume) -> dict[str, Any]:
        """See `VolumeOperations`."""
        return {**super().shown(volume), "Status": dict(volume.status)}

    # What happens.

    def tell(self, action: str, name: str, attributes: Mapping[str, str]) -> None:
        """See `VolumeOperations`."""
        self.events.tell_object("volume", action, name, attributes)

    def _changed(self, volume: Volume, removed: bool) -> None:
        self.tell("destroy" if removed else "create", volume.name, {"driver": kit.DRIVER})

    def _container_changed(self, container: PodContainer, before: State | None) -> None:
        """Tell that a container's run has begun, or ended, to mount its volumes."""
        if before is None:
            return
        runs = container.running and not container.removed.is_set()
        ended = container.status == "exited" and before.status != "exited"
        passed = ended and not before.running  # its end came together with its start
        if passed or (runs and not before.running):
            self._tell_mounts(container, mounted=True)
        if passed or (before.running and not runs):
            self._tell_mounts(container, mounted=False)

    def _tell_mounts(self, container: PodContainer, *, mounted: bool) -> None:
        for mount in mounts(container.record):
            if mount.type == "volume" and not mount.anonymous:
                about = {"container": container.id, "driver": kit.DRIVER}
                self.tell("mount" if mounted else "unmount", mount.name, (_place(mount) if mounted else {}) | about)


def _place(mount: Mount) -> dict[str, str]:
    return {"read/write": str(mount.writable).lower(), "destination": mount.target, "propagation": ""}
