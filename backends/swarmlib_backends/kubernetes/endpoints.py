"""The names of running containers in their networks: one EndpointSlice for each connection, owned by the record.

The names that a container's links give are a slice, too, of a Service of this container's own: no other one searches
its domain. They follow the containers that are linked to, and are there before the container itself runs.

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
from .api.errors import reason_of
from .api.resources import SERVICES
from .cluster import Cluster
from .container import PodContainer
from .following import Body
from .networks import Networks
from .pods import names
from .pods.connections import BRIDGE, aliases, connections, is_label, links, resolvable
from .pods.status import State

_log = logging.getLogger(__name__)
KIND: Final = "connection"
"""The kind (`names.KIND`) of the EndpointSlices."""
LINKS: Final = "links"
"""The kind of the Services whose domains one container searches."""
_FIRST_PAUSE: Final = 0.5
_SERVICE: Final = "kubernetes.io/service-name"


class Endpoints:
    """Keeps the slices of a namespace as its containers are."""

    def __init__(self, cluster: Cluster, networks: Networks, nursery: trio.Nursery) -> None:
        self._cluster = cluster
        self._networks = networks
        self._nursery = nursery
        self._linking: dict[str, PodContainer] = {}
        """The containers that have links, by their ids."""
        self._known: dict[str, frozenset[str]] = {}
        """The names of all containers in their networks, by their ids."""
        self._written: dict[str, bool] = {}
        """By the ids of the containers whose slices are written now: whether they have changed meanwhile."""
        cluster.mirror.listeners.append(self._container_changed)
        networks.slice_listeners.append(self._slice_changed)

    async def published(self, container: PodContainer) -> None:
        """Wait until the names of a container can be resolved, and those that its links give; or it has ended.

        Raises:
            Unavailable: the cluster does not take them.
        """
        wanted = self._networks.slice_resource
        await self._networks.until(wanted, lambda: not self._missing(container), "take the names of a container")

    def _container_changed(self, container: PodContainer, before: State | None) -> None:
        self._linking.pop(container.id, None)
        known = self._known.pop(container.id, frozenset())
        if not container.removed.is_set():
            networks = connections(container.record)
            names_there = (name for each in networks for name in _names(container, each))
            self._known[container.id] = frozenset((container.id, *names_there))
            if links(container.record):
                self._linking[container.id] = container
            self._check(container)  # of one that was removed, the slices go with its record
        for each in self._linking_to(known | self._known.get(container.id, frozenset())):
            self._check(each)

    def _linking_to(self, known: frozenset[str]) -> list[PodContainer]:
        """Return the containers that have links to one by a name that it has, or has had."""
        return [each for each in self._linking.values() if any(name in known for _, name, _ in links(each.record))]

    def _check(self, container: PodContainer) -> None:
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
        missing = self._missing(container)
        if any(each["metadata"]["labels"][_SERVICE] == names.links_name(container.id) for each in missing):
            await self._serve_links(container)
        for body in missing:
            await self._put(body)
        for name in self._surplus(container):
            await self._delete(name)

    def _missing(self, container: PodContainer) -> list[Body]:
        """Return the slices of a container that the cluster does not have as they are to be."""
        wanted, have = self._slices(container), self._networks.slices
        return [each for each in wanted if _told(each) != _told(have.get(each["metadata"]["name"], {}))]

    def _surplus(self, container: PodContainer) -> list[str]:
        labels = names.own_labels(KIND, container.id).items()
        have = self._networks.slices.items()
        own = (name for name, each in have if labels <= dict_of(each["metadata"].get("labels")).items())
        wanted = {each["metadata"]["name"] for each in self._slices(container)}
        return [name for name in own if name not in wanted]

    def _slices(self, container: PodContainer) -> list[Body]:
        """Return the slices that a container is to have now."""
        found = {
            names.network_name(network): [(name, container.address) for name in resolvable(container.record, network)]
            for network in _networks_of(container)
        }
        if linked := self._linked(container):
            found[names.links_name(container.id)] = linked
        return [self._slice(container, service, told) for service, told in found.items()]

    def _linked(self, container: PodContainer) -> list[tuple[str, str]]:
        """Return the names that the links of a container give, with the addresses, if it runs or is about to."""
        asked = links(container.record) if _may_resolve(container) else []
        found = [
            (given.lower(), other.address)
            for network, name, alias in asked
            for other in self._cluster.mirror.containers
            if other.address and network in connections(other.record) and _is_meant(other, network, name)
            for given in ([alias] if network != BRIDGE else [alias, other.config["Hostname"], other.name])
            if is_label(given)
        ]
        return list(dict.fromkeys(found))

    def _slice(self, container: PodContainer, service: str, told: list[tuple[str, str]]) -> Body:
        """Return the slice of a Service with these names and their addresses."""
        record, resource = container.record, self._networks.slice_resource
        return {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {
                "name": f"{service}-{names.short(container.id)}",
                "labels": names.own_labels(KIND, record.id) | {_SERVICE: service},
                "ownerReferences": [names.owner_reference(names.record_name(record.id), record.uid)],
            },
            "addressType": "IPv6" if ":" in told[0][1] else "IPv4",  # Pods of a cluster have addresses of one kind
            "endpoints": [{"addresses": [address], "hostname": name} for name, address in told],
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

    async def _serve_links(self, container: PodContainer) -> None:
        """Make the Service of the names that a container's links give, unless it is there."""
        record = container.record
        metadata = {
            "name": names.links_name(record.id),
            "labels": names.own_labels(LINKS, record.id),
            "ownerReferences": [names.owner_reference(names.record_name(record.id), record.uid)],
        }
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": "None"}}
        try:
            await self._cluster.api.post(SERVICES.path(self._networks.namespace), service)
        except Conflict as exc:
            if reason_of(exc) != "AlreadyExists":
                raise

    async def _delete(self, name: str) -> None:
        resource = self._networks.slice_resource
        with suppress(NotFound):
            await self._cluster.api.delete(resource.path(self._networks.namespace, name))


def _networks_of(container: PodContainer) -> list[str]:
    """Return the networks in which a container has names now."""
    return [each for each in connections(container.record) if each not in PREDEFINED] if container.address else []


def _names(container: PodContainer, network: str) -> list[str]:
    """Return all names of a container in a network, by which a link may name it."""
    return [container.name, *(aliases(container.record, network) or ())]


def _is_meant(other: PodContainer, network: str, name: str) -> bool:
    """Return whether a link in a network is to a container: it says its id on the default bridge, else its name."""
    return other.id == name if network == BRIDGE else name in _names(other, network)


def _may_resolve(container: PodContainer) -> bool:
    """Return whether a container runs, or will as soon as the cluster has started it."""
    return container.running or (container.status == "created" and container.record.wanted == "running")


def _told(slice: Body) -> list[tuple[str, ...]]:
    """Return what a slice tells: the host names, with their addresses."""
    found = [dict_of(each) for each in list_of(slice.get("endpoints"))]
    return sorted((str(each.get("hostname")), *map(str, list_of(each.get("addresses")))) for each in found)
