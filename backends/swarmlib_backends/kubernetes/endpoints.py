"""The names of running containers in their networks: one EndpointSlice for each connection, owned by the record.

Every gateway compares the slices with what follows from the containers, and writes where they differ. What they write
is the same, so that it does not matter which of them is first.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from swarmlib import Conflict, Denied, NotFound, SwarmError
from swarmlib.supervision import supervised

from ..dockerapi.nullable import dict_of, list_of
from ..enginekit.networks import PREDEFINED
from ..pauses import pauses
from .cluster import Cluster
from .container import PodContainer
from .following import Body
from .networks import Networks
from .pods import names
from .pods.connections import connections, resolvable
from .pods.status import State

_log = logging.getLogger(__name__)
KIND: Final = "connection"
"""The kind (`names.KIND`) of the EndpointSlices."""
_FIRST_PAUSE: Final = 0.5
_SERVICE: Final = "kubernetes.io/service-name"


class Endpoints:
    """Keeps the slices of a namespace as its containers are."""

    def __init__(self, cluster: Cluster, networks: Networks, nursery: trio.Nursery) -> None:
        self._cluster = cluster
        self._networks = networks
        self._nursery = nursery
        self._written: dict[str, bool] = {}
        """By the ids of the containers whose slices are written now: whether they have changed meanwhile."""
        cluster.mirror.listeners.append(self._container_changed)
        networks.slice_listeners.append(self._slice_changed)

    async def published(self, container: PodContainer) -> None:
        """Wait until the names of a container can be resolved, or it has ended.

        Raises:
            Unavailable: the cluster does not take them.
        """
        wanted = self._networks.slice_resource
        await self._networks.until(wanted, lambda: not self._missing(container), "take the names of a container")

    def _container_changed(self, container: PodContainer, before: State | None) -> None:
        if container.removed.is_set():
            return  # its slices go with its record
        if not self._networks.complete or self._missing(container) or self._surplus(container):
            self._write_soon(container)

    def _slice_changed(self, slice: Body, gone: bool) -> None:
        """See to a slice that somebody has removed or changed; one too many goes when its container changes."""
        short = slice["metadata"]["labels"].get(names.CONTAINER, "")
        found = [each for each in self._cluster.mirror.containers if names.short(each.id) == short]
        for container in found:
            if self._missing(container):
                self._write_soon(container)

    def _write_soon(self, container: PodContainer) -> None:
        if container.id in self._written:
            self._written[container.id] = True
        else:
            self._written[container.id] = False
            name = f"kubernetes: the names of {container.name}"
            self._nursery.start_soon(partial(supervised, name, self._write, container, expected=(Denied,)))

    async def _write(self, container: PodContainer) -> None:
        """Write what differs, until nothing has changed meanwhile; what fails is tried again.

        Raises:
            Denied: the account may not have networks.
        """
        waits = pauses(first=_FIRST_PAUSE)
        try:
            while not container.removed.is_set():
                self._written[container.id] = False
                try:
                    await self._write_once(container)
                except Denied:
                    raise
                except SwarmError as exc:
                    _log.warning("kubernetes: the names of %s: %s; it is tried again", container.name, exc)
                    await trio.sleep(next(waits))
                else:
                    if not self._written[container.id]:
                        return
        finally:
            del self._written[container.id]

    async def _write_once(self, container: PodContainer) -> None:
        await self._networks.ready()
        for body in self._missing(container):
            await self._put(body)
        for name in self._surplus(container):
            await self._delete(name)

    def _missing(self, container: PodContainer) -> list[Body]:
        """Return the slices of a container that the cluster does not have as they are to be."""
        wanted = (self._slice(container, network) for network in _networks_of(container))
        have = self._networks.slices
        return [each for each in wanted if _told(each) != _told(have.get(each["metadata"]["name"], {}))]

    def _surplus(self, container: PodContainer) -> list[str]:
        labels = names.own_labels(KIND, container.id).items()
        have = self._networks.slices.items()
        own = (name for name, each in have if labels <= dict_of(each["metadata"].get("labels")).items())
        wanted = {_name(container, network) for network in _networks_of(container)}
        return [name for name in own if name not in wanted]

    def _slice(self, container: PodContainer, network: str) -> Body:
        record, resource = container.record, self._networks.slice_resource
        return {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {
                "name": _name(container, network),
                "labels": names.own_labels(KIND, record.id) | {_SERVICE: names.network_name(network)},
                "ownerReferences": [names.owner_reference(names.record_name(record.id), record.uid)],
            },
            "addressType": "IPv6" if ":" in container.address else "IPv4",
            "endpoints": [
                {"addresses": [container.address], "hostname": name} for name in resolvable(container.record, network)
            ],
            "ports": [],
        }

    async def _put(self, body: Body) -> None:
        """Make a slice, or replace the one that is there. One that another gateway has changed is looked at again."""
        name = body["metadata"]["name"]
        resource, known = self._networks.slice_resource, self._networks.slices.get(name)
        if known is not None and known["addressType"] != body["addressType"]:
            await self._delete(name)  # a type can't be changed
            return
        with suppress(Conflict, NotFound):
            if known is None:
                made = await self._cluster.api.post(resource.path(self._networks.namespace), body)
            else:
                body["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
                made = await self._cluster.api.put(resource.path(self._networks.namespace, name), body)
            await self._networks.seen(made)

    async def _delete(self, name: str) -> None:
        resource = self._networks.slice_resource
        with suppress(NotFound):
            await self._cluster.api.delete(resource.path(self._networks.namespace, name))


def _networks_of(container: PodContainer) -> list[str]:
    """Return the networks in which a container has names now."""
    return [each for each in connections(container.record) if each not in PREDEFINED] if container.address else []


def _name(container: PodContainer, network: str) -> str:
    return f"{names.network_name(network)}-{names.short(container.id)}"


def _told(slice: Body) -> list[tuple[str, ...]]:
    """Return what a slice tells: the host names, with their addresses."""
    found = [dict_of(each) for each in list_of(slice.get("endpoints"))]
    return sorted((str(each.get("hostname")), *map(str, list_of(each.get("addresses")))) for each in found)
