"""The operations of networks in a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from swarmlib import NotFound, Request, Unsupported

from ..dockerapi.matching import named
from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import NetworkInspect, NetworkList, NetworkPrune
from ..dockerapi.status import refusal
from ..enginekit.events import Events
from ..enginekit.filters import checked, pruned
from ..enginekit.networks import AMBIGUOUS, FILTERS, PREDEFINED, fits, only, shown
from ..enginekit.operations import answers, body_of, ref_of
from . import searching
from .cluster import Cluster
from .container import PodContainer
from .networking import Networking, endpoint_id
from .networks import Network
from .pods import names
from .pods.connections import checked as checked_connection
from .pods.connections import connections
from .pods.record import Record
from .pods.status import State

_KNOWN: Final = frozenset({"Name", "CheckDuplicate", "Driver", "Labels", "Attachable", "IPAM", "Scope"})
"""What a network can be created with; all containers of a cluster are attachable."""


@dataclass(eq=False)
class NetworkOperations:
    """Answers what is asked of networks, and tells what happens to them."""

    cluster: Cluster
    networking: Networking
    events: Events
    now: Callable[[], float]
    _active: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The networks in which a running container has an address, by the container's id."""

    def __post_init__(self) -> None:
        self.networking.networks.listeners.append(self._network_changed)
        self.cluster.mirror.listeners.insert(0, self._came)  # before its start is told
        self.cluster.mirror.listeners.append(self._left)  # after its end

    @answers("NetworkList")
    async def _ls(self, request: Request) -> list[Any]:
        wanted = checked(NetworkList.of(request).filters, FILTERS)
        has_name = named(wanted.get("name", []))
        found = [each for each in await self._networks() if has_name(each.name)]
        return [shown(each, {}) for each in found if fits(each, wanted, dangling=self._dangling(each))]

    async def _networks(self) -> list[Network]:
        """Return all networks, the predefined ones first. Raises `SwarmError`: they can't be known."""
        await self.networking.networks.ready()
        return list(self.networking.networks)

    @answers("NetworkInspect")
    async def _get(self, request: Request) -> dict[str, Any]:
        several = "{count} matches found based on {where}: network {ref} is ambiguous"
        listed = await self._networks() if NetworkInspect.of(request).scope in ("", "local") else []
        network = only(listed, ref_of(request), several)
        return shown(network, {each.id: _member(each, network) for each in self._members(network)})

    @answers("NetworkCreate")
    async def _create(self, request: Request) -> dict[str, Any]:
        body = body_of(request)
        name = str(body.get("Name") or "")
        if name in PREDEFINED:
            raise refusal(403, f"operation is not permitted on predefined {name} network ")
        if not name.strip():
            raise refusal(500, f"invalid name: {name}")
        _check(body)
        await self.networking.networks.ready()
        network = Network(names.new_id(), name, self.now(), body)
        await self.networking.networks.create(network)
        return {"Id": network.id, "Warning": ""}

    @answers("NetworkDelete")
    async def _rm(self, request: Request) -> None:
        several = "network {ref} is ambiguous ({count} matches found based on {where})"
        network = only(await self._networks(), ref_of(request), several)
        if network.predefined:
            raise refusal(403, f"{network.name} is a pre-defined network and cannot be removed")
        if self._members(network):
            text = f"network {network.name} id {network.id} has active endpoints"
            raise refusal(403, f"error while removing network: {text}")
        await self.networking.networks.remove(network)

    @answers("NetworkPrune")
    async def _prune(self, request: Request) -> dict[str, Any]:
        is_wanted = pruned(NetworkPrune.of(request).filters, self.now())
        dangling = [each for each in await self._networks() if self._dangling(each)]
        unused = [each for each in dangling if is_wanted(dict_of(each.body.get("Labels")), each.created)]
        for each in unused:
            await self.networking.networks.remove(each)
        self.events.tell_object("network", "prune", "", {"reclaimed": "0"})
        return {"NetworksDeleted": [each.name for each in unused] or None}

    # Connections.

    @answers("NetworkConnect")
    async def _connect(self, request: Request) -> None:
        body = body_of(request)
        container = self.cluster.mirror.containers.find(str(body.get("Container") or ""))
        network = only(await self._networks(), ref_of(request), AMBIGUOUS)
        given = dict_of(body.get("EndpointConfig"))
        if network.predefined and given.get("Aliases"):
            raise refusal(400, "network-scoped alias is supported only for containers in user defined networks")
        if network.name in ("host", "none") or "host" in connections(container.record):
            raise refusal(400, "container cannot be disconnected from host network or connected to host network")
        kept = checked_connection(network.name, given)

        def connected(record: Record) -> Record:
            before = connections(record)
            if network.name in before and container.running:
                text = f"endpoint with name {container.name} already exists in network {network.name}"
                raise refusal(403, text)
            return replace(record, networks={**before, network.name: kept})

        await self._change(container, connected)

    @answers("NetworkDisconnect")
    async def _disconnect(self, request: Request) -> None:
        body = body_of(request)
        container = self.cluster.mirror.containers.find(str(body.get("Container") or ""))
        networks = await self._networks()
        try:
            name = only(networks, ref_of(request), AMBIGUOUS).name
        except NotFound:
            if container.running and not body.get("Force"):
                raise
            name = ref_of(request)
        if name == "host" and container.running:
            raise refusal(400, "container cannot be disconnected from host network or connected to host network")

        def disconnected(record: Record) -> Record:
            before = connections(record)
            if name not in before:
                raise refusal(500, f"container {container.id} is not connected to network {name}")
            return replace(record, networks={each: before[each] for each in before if each != name})

        await self._change(container, disconnected)

    # What happens.

    def _network_changed(self, network: Network, removed: bool) -> None:
        self._tell("destroy" if removed else "create", network)

    def _tell(self, action: str, network: Network, **attributes: str) -> None:
        about = {**attributes, "name": network.name, "type": network.driver}
        self.events.tell_object("network", action, network.id, about)

    def _came(self, container: PodContainer, before: State | None) -> None:
        """Tell which networks a container has come into."""
        known, now = self._active.get(container.id, []), _networks_of(container)
        if new := [each for each in now if each not in known]:
            self._active[container.id] = [*known, *new]
            self._tell_moves("connect", container, new)

    def _left(self, container: PodContainer, before: State | None) -> None:
        """Tell which networks a container has left."""
        known, now = self._active.pop(container.id, []), _networks_of(container)
        if now:
            self._active[container.id] = now
        self._tell_moves("disconnect", container, [each for each in known if each not in now])

    def _tell_moves(self, action: str, container: PodContainer, moved: list[str]) -> None:
        for network in self.networking.networks if self.cluster.mirror.complete else ():
            if network.name in moved:
                self._tell(action, network, container=container.id)

    async def _change(self, container: PodContainer, change: Callable[[Record], Record]) -> None:
        await self.cluster.change(container, change)
        await self.networking.moved(container)
        await searching.follow(self.cluster, container)

    def _members(self, network: Network) -> list[PodContainer]:
        """Return the running containers in a network."""
        found = self.cluster.mirror.containers
        return [each for each in found if _is_active(each) and network.name in connections(each.record)]

    def _dangling(self, network: Network) -> bool:
        return not network.predefined and not self._members(network)


def _is_active(container: PodContainer) -> bool:
    return bool(container.address) and not container.removed.is_set()


def _networks_of(container: PodContainer) -> list[str]:
    """Return the networks in which a container has an address."""
    return list(connections(container.record)) if _is_active(container) else []


def _check(body: Mapping[str, Any]) -> None:
    """Refuse what a network of a cluster can't have. Raises `SwarmError`, which names it."""
    driver, ipam = str(body.get("Driver") or "bridge"), dict_of(body.get("IPAM"))
    if driver in ("host", "null"):
        raise refusal(403, f'only one instance of "{driver}" network is allowed')
    if driver != "bridge":
        raise NotFound(f'plugin "{driver}" not found')
    if ipam.get("Config") or ipam.get("Options") or ipam.get("Driver") not in (None, "", "default"):
        raise Unsupported("a network of a cluster can't have IPAM: the cluster gives Pods their addresses")
    if body.get("Scope") not in (None, "", "local"):
        raise Unsupported(f"a network of a cluster can't have Scope {body['Scope']!r:.40}: it is local")
    for name, value in body.items():
        if name not in _KNOWN and (any(dict_of(value).values()) if isinstance(value, dict) else value):
            raise Unsupported(f"a network of a cluster can't have {name}")


def _member(container: PodContainer, network: Network) -> dict[str, Any]:
    found = container.address
    return {
        "Name": container.name,
        "EndpointID": endpoint_id(container, network.name),
        "MacAddress": "",
        "IPv4Address": f"{found}/32" if ":" not in found else "",
        "IPv6Address": f"{found}/128" if ":" in found else "",
    }
