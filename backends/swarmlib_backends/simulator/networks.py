"""Networks: bridge, host and none, and those that are made; their addresses, and who is connected."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from swarmlib import NotFound, Request, SwarmError

from ..dockerapi.filters import flag
from ..dockerapi.matching import named
from ..dockerapi.nulls import fields, items
from ..dockerapi.status import refusal
from ..dockerapi.values import stamp
from .addresses import Address, Addresses, Pools, Subnet, address_in
from .asked import NOT_A_MANAGER, Operations, body_of, filters_of, labels_wanted, ref_of, until_of
from .ipam import Ipam, ipam_of
from .links import link_of
from .network_options import check_operator, check_options, check_subnets, config_from

if TYPE_CHECKING:
    from .container import Container
    from .engine import Engine

_PREDEFINED: Final = {"bridge": "bridge", "host": "host", "none": "null"}
_FILTERS: Final = {"dangling", "driver", "id", "label", "name", "scope", "type"}


@dataclass(slots=True)
class Endpoint:
    """A container's place in a network; it has an id and an address only while the container runs."""

    given: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the user asked for: aliases, an address, links."""
    id: str = ""
    network_id: str = ""
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    mac: str = ""
    aliases: list[str] | None = None

    def __post_init__(self) -> None:
        self.aliases = self.aliases or self.given.get("Aliases")
        self.mac = self.given.get("MacAddress") or ""  # which an engine shows until the start, and then forgets

    def clear(self) -> None:
        """The container doesn't run any more."""
        self.id = self.address = self.gateway = self.address6 = self.gateway6 = self.mac = ""
        self.prefix = self.prefix6 = 0


@dataclass(eq=False)
class Network:
    """A network; `addresses` is None for host and none."""

    id: str
    name: str
    driver: str
    created: float
    addresses: Ipam | None
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    """As it was asked for."""
    members: dict[str, Container] = field(default_factory=dict[str, "Container"])
    """The running containers that are connected, by id."""

    @property
    def predefined(self) -> bool:
        """Whether it is one of the three that every engine has."""
        return self.name in _PREDEFINED

    @property
    def config_only(self) -> bool:
        """Whether it is there for others that take their configuration from it, and nothing can be connected to it."""
        return bool(self.body.get("ConfigOnly"))


class NetworkStore:
    """The networks of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._networks: dict[str, Network] = {}
        self._pools = Pools()
        for name, driver in _PREDEFINED.items():
            subnet = ipaddress.IPv4Network("172.17.0.0/16") if driver == "bridge" else None
            self._add(name, driver, Ipam(Addresses(subnet, None)) if subnet else None, {})

    def _add(self, name: str, driver: str, addresses: Ipam | None, body: dict[str, Any]) -> Network:
        made = Network(self._engine.names.id(), name, driver, self._engine.clock.now(), addresses, body)
        self._networks[made.id] = made
        return made

    @property
    def operations(self) -> Operations:
        """What it answers."""
        return {
            "NetworkList": self._ls,
            "NetworkCreate": self._create,
            "NetworkPrune": self._prune,
            "NetworkInspect": self._get,
            "NetworkConnect": self._connect,
            "NetworkDisconnect": self._disconnect,
            "NetworkDelete": self._rm,
        }

    def find(self, ref: str) -> Network:
        """A network by id, name, or a prefix of its id.

        Raises:
            NotFound: there is none. SwarmError: there are several.
        """
        return self._only(ref, "network {ref} is ambiguous ({count} matches found {on_name})")

    def _only(self, ref: str, several: str, scope: str = "") -> Network:
        """As `find`. The calls of an engine differ in what they say of several: `several` is a format of it."""
        listed = dict(self._networks) if scope in ("", "local") else {}
        if ref in listed:
            return listed[ref]
        by_name = [each for each in listed.values() if each.name == ref]
        by_prefix = [each for id, each in listed.items() if id.startswith(ref)]
        for where, on_name, fitting in (("name", "on name", by_name), ("ID prefix", "based on ID prefix", by_prefix)):
            if len(fitting) > 1:
                raise refusal(400, several.format(ref=ref, count=len(fitting), where=where, on_name=on_name))
            if fitting:
                return fitting[0]
        raise NotFound(f"network {ref} not found")

    async def _ls(self, request: Request) -> list[Any]:
        wanted = filters_of(request, _FILTERS)
        has_name = named(wanted.get("name", []))
        found = [each for each in self._networks.values() if has_name(each.name)]
        return [_shown(each, {}) for each in found if _fits(each, wanted, self._dangling(each))]

    def _dangling(self, network: Network) -> bool:
        return not network.predefined and not network.members

    async def _get(self, request: Request) -> dict[str, Any]:
        several = "{count} matches found based on {where}: network {ref} is ambiguous"
        network = self._only(ref_of(request), several, str(request.params.get("scope") or ""))
        return _shown(network, {each.id: _member(each, network) for each in network.members.values()})

    async def _create(self, request: Request) -> dict[str, Any]:
        body = body_of(request)
        name, driver = str(body.get("Name") or ""), str(body.get("Driver") or "bridge")
        if name in _PREDEFINED:
            raise refusal(403, f"operation is not permitted on predefined {name} network ")
        same = next((each for each in self._networks.values() if each.name == name), None)
        if same is not None and body.get("CheckDuplicate"):
            raise refusal(409, f"network with name {name} already exists")
        check_subnets(body)
        if not name.strip():
            raise refusal(500, f"invalid name: {name}")
        if driver in ("host", "null"):
            raise refusal(403, f'only one instance of "{driver}" network is allowed')
        if driver == "overlay":
            raise refusal(500, NOT_A_MANAGER)
        check_operator(body)
        if driver not in ("bridge", "macvlan", "ipvlan"):
            raise NotFound(f'plugin "{driver}" not found')
        config = self._config_of(body)
        if body.get("Scope") not in (None, "", "local"):
            raise refusal(500, NOT_A_MANAGER)
        check_options(fields(config.get("Options")))
        if body.get("ConfigOnly"):
            made = self._add(name, "null", None, body)
        else:
            made = self._add(name, driver, ipam_of(config | {"Name": name}, self._pools, self._taken()), body)
        self._engine.tell_network("create", made)
        warning = f"Network with name {name} (id : {same.id}) already exists" if same else ""
        return {"Id": made.id, "Warning": warning}

    def _config_of(self, body: dict[str, Any]) -> dict[str, Any]:
        """What configures a network: its own body, or that of the network that it depends on."""
        name = config_from(body)
        if not name:
            return {} if body.get("ConfigOnly") else body
        found = next((each for each in self._networks.values() if each.name == name and each.config_only), None)
        if found is None:
            raise NotFound(f'configuration network "{name}" does not exist')
        return found.body

    def _taken(self) -> list[Subnet]:
        return [subnet for each in self._networks.values() if each.addresses for subnet in each.addresses.subnets]

    async def _rm(self, request: Request) -> None:
        network = self._only(ref_of(request), "network {ref} is ambiguous ({count} matches found based on {where})")
        if network.predefined:
            raise refusal(403, f"{network.name} is a pre-defined network and cannot be removed")
        if network.members:
            text = f"network {network.name} id {network.id} has active endpoints"
            raise refusal(403, f"error while removing network: {text}")
        if network.config_only and any(config_from(each.body) == network.name for each in self._networks.values()):
            raise refusal(403, f'error while removing network: configuration network "{network.name}" is in use')
        self._remove(network)

    def _remove(self, network: Network) -> None:
        del self._networks[network.id]
        self._engine.tell_network("destroy", network)

    async def _prune(self, request: Request) -> dict[str, Any]:
        wanted = filters_of(request, {"label", "label!", "until"})
        until = until_of(wanted, self._engine.clock.now())
        old = [each for each in self._networks.values() if each.created <= until and self._dangling(each)]
        unused = [each for each in old if labels_wanted(fields(each.body.get("Labels")), wanted)]
        for each in unused:
            self._remove(each)
        self._engine.tell_of("network", "prune", "", {"reclaimed": "0"})
        return {"NetworksDeleted": [each.name for each in unused] or None}

    async def _connect(self, request: Request) -> None:
        body = body_of(request)
        container, given = self._engine.find(str(body.get("Container") or "")), dict(fields(body.get("EndpointConfig")))
        ref = ref_of(request)
        if container.running:
            if container.host["NetworkMode"].startswith("container:"):
                text = "container sharing network namespace with another container or host"
                raise refusal(400, f"{text} cannot be connected to any other network")
            network = self.find(ref)
            self._check(container, network, given)
            if network.name in container.networks:
                raise refusal(403, f"endpoint with name {container.name} already exists in network {network.name}")
            self.join(container, network, given)
        else:
            self._connect_later(container, ref, given)
        self._engine.changed(container)

    def _connect_later(self, container: Container, ref: str, given: dict[str, Any]) -> None:
        """Connect one that doesn't run: whether there is such a network is seen at its start."""
        try:
            network = self.find(ref)
        except SwarmError:
            container.networks[ref] = Endpoint(given)
            return
        self._check(container, network, given)
        container.networks[network.name] = Endpoint(given, aliases=_aliases(container, network, given))

    @staticmethod
    def _check(container: Container, network: Network, given: dict[str, Any]) -> None:
        """Raises what is said of a connection that can't be."""
        asked = [version for version in (4, 6) if fields(given.get("IPAMConfig")).get(f"IPv{version}Address")]
        if network.predefined and asked:
            raise refusal(400, "user specified IP address is supported on user defined networks only")
        if network.predefined and given.get("Aliases"):
            raise refusal(400, "network-scoped alias is supported only for containers in user defined networks")
        if not all(network.addresses is not None and network.addresses.asks(version) for version in asked):
            text = (
                "user specified IP address is supported only when connecting to networks with user configured subnets"
            )
            raise refusal(400, text)
        if network.name == "host" and container.host["NetworkMode"] != "host":
            raise refusal(400, "container cannot be disconnected from host network or connected to host network")
        others = set(container.networks) - {network.name}
        if "none" in others or (network.name == "none" and others):
            text = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            raise refusal(400, text)

    async def _disconnect(self, request: Request) -> None:
        body = body_of(request)
        ref, named = ref_of(request), str(body.get("Container") or "")
        try:
            container = self._engine.find(named)
        except SwarmError:
            if not body.get("Force"):
                raise
            raise self._no_endpoint(ref, named) from None
        network: Network | None
        try:
            network = self.find(ref)
        except SwarmError:
            if container.running and not body.get("Force"):
                raise
            network = None
        name = network.name if network else ref
        if name == "host" and container.running and container.host["NetworkMode"] == "host":
            raise refusal(400, "container cannot be disconnected from host network or connected to host network")
        if name not in container.networks:
            what = "network" if container.running and network is not None else "the network"
            raise refusal(500, f"container {container.id} is not connected to {what} {name}")
        if network is not None:
            self.leave(container, network)
            self._engine.tell_network("disconnect", network, container)
        del container.networks[name]
        self._engine.changed(container)

    def _no_endpoint(self, ref: str, named: str) -> SwarmError:
        """What is said of a container that isn't there, to who wants it out of a network whatever it takes."""
        self.find(ref)
        return NotFound(f"endpoint {named} not found") if named else refusal(500, "invalid name: ")

    def join(self, container: Container, network: Network, given: dict[str, Any]) -> None:
        """Give a container that runs an address in a network.

        Raises:
            SwarmError: there is none.
        """
        self._check(container, network, given)
        if network.config_only:
            raise refusal(403, "cannot create endpoint on configuration-only network")
        for link in items(given.get("Links")):
            link_of(link)
        endpoint = container.networks.get(network.name) or Endpoint(given)
        if network.addresses is not None:
            _give(endpoint, network.addresses, given, network.name)
            octets = ipaddress.IPv4Address(endpoint.address).packed
            asked = container.config.get("MacAddress") if network.name == main_network(container) else None
            endpoint.mac = asked or "02:42:" + ":".join(f"{octet:02x}" for octet in octets)
        endpoint.id, endpoint.network_id = self._engine.names.id(), network.id
        endpoint.aliases = _aliases(container, network, given)
        container.networks[network.name] = endpoint
        network.members[container.id] = container
        self._engine.tell_network("connect", network, container)

    def resolve(self, container: Container, name: str) -> list[str] | None:
        """What the name service that networks which were made have tells one of their containers of a name.

        It knows the other containers there by their names and aliases, and by those that a link gives them. None where
        there is no such service, as on the default bridge.
        """
        networks = [self._networks[each.network_id] for each in container.networks.values() if each.id]
        served = [each for each in networks if not each.predefined]
        found = (self._address(container, network, name) for network in served)
        return [address for address in found if address] if served else None

    @staticmethod
    def _address(container: Container, network: Network, name: str) -> str:
        name = name.removesuffix(f".{network.name}")
        own = container.networks[network.name].given
        linked = {alias: other for other, alias in map(link_of, items(own.get("Links")))}
        for each in network.members.values():
            endpoint = each.networks[network.name]
            if linked.get(name, name) in (each.name, each.id[:12], *(endpoint.aliases or ())):
                return endpoint.address
        return ""

    def leave(self, container: Container, network: Network) -> None:
        """Take a container's address back, if it has one."""
        endpoint = container.networks[network.name]
        if not endpoint.id:
            return
        if network.addresses is not None and endpoint.address:
            _take_back(endpoint, network.addresses)
        endpoint.clear()
        network.members.pop(container.id, None)
        self._engine.tell_network("disconnect", network, container)

    def leave_all(self, container: Container) -> None:
        """Take all of a container's addresses back: it has ended."""
        for endpoint in list(container.networks.values()):
            network = self._networks.get(endpoint.network_id)
            if network is not None:
                self.leave(container, network)


def main_network(container: Container) -> str:
    """The network that the container's own options (its MAC address) are about."""
    mode: str = container.host["NetworkMode"]
    return "bridge" if mode == "default" else mode


def _give(endpoint: Endpoint, ipam: Ipam, given: dict[str, Any], name: str) -> None:
    """Give an endpoint its addresses, those that it asks for if it does. Raises `SwarmError` if they can't be had."""
    asked = fields(given.get("IPAMConfig"))
    wanted, wanted6 = (_wanted(str(asked.get(f"IPv{version}Address") or ""), version) for version in (4, 6))
    address = ipam.v4.take(wanted, name)
    if ipam.v6 is not None:
        try:
            endpoint.address6 = ipam.v6.take(wanted6, name)
        except SwarmError:
            ipam.v4.free(address)
            raise
        endpoint.prefix6, endpoint.gateway6 = ipam.v6.subnet.prefixlen, ipam.v6.gateway
    endpoint.address, endpoint.prefix, endpoint.gateway = address, ipam.v4.subnet.prefixlen, ipam.v4.gateway


def _wanted(text: str, version: int) -> Address | None:
    address = address_in(text)
    if text and address is None:
        raise refusal(400, f"invalid IPv4 address: {text}" if version == 4 else f"Invalid IPv6 address: {text})")
    return address


def _take_back(endpoint: Endpoint, ipam: Ipam) -> None:
    ipam.v4.free(endpoint.address)
    if ipam.v6 is not None:
        ipam.v6.free(endpoint.address6)


def _aliases(container: Container, network: Network, given: dict[str, Any]) -> list[str] | None:
    own = [] if network.predefined else [container.id[:12]]
    return [*(each for each in items(given.get("Aliases")) if each not in own), *own] or None


def _fits(network: Network, wanted: dict[str, list[str]], dangling: bool) -> bool:
    if wanted.get("dangling") and flag(wanted, "dangling", ("true", "1"), ("false", "0")) is not dangling:
        return False
    for value in wanted.get("type", []):
        if value not in ("custom", "builtin"):
            raise refusal(500, f"invalid filter: 'type'='{value}'")
        if network.predefined is not (value == "builtin"):
            return False
    labels = fields(network.body.get("Labels"))
    tests: dict[str, Callable[[str], bool]] = {
        "driver": lambda value: network.driver == value,
        "scope": lambda value: value == "local",
        "id": lambda value: value in network.id,
    }
    return labels_wanted(labels, wanted) and all(
        any(test(value) for value in wanted[key]) for key, test in tests.items() if wanted.get(key)
    )


def _shown(network: Network, members: dict[str, Any]) -> dict[str, Any]:
    body = network.body
    ipam = fields(body.get("IPAM"))
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": stamp(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": bool(body.get("EnableIPv6")),
        "IPAM": {
            "Driver": ipam.get("Driver") or "default",
            "Options": ipam.get("Options"),
            "Config": _pool_shown(network),
        },
        "Internal": bool(body.get("Internal")),
        "Attachable": bool(body.get("Attachable")),
        "Ingress": bool(body.get("Ingress")),
        "ConfigFrom": {"Network": config_from(body)},
        "ConfigOnly": bool(body.get("ConfigOnly")),
        "Containers": members,
        "Options": _BRIDGE_OPTIONS if network.name == "bridge" else fields(body.get("Options")),
        "Labels": fields(body.get("Labels")),
    }


def _pool_shown(network: Network) -> list[Any]:
    if network.addresses is None:
        return []
    return network.addresses.shown(gateway=not network.predefined)


def _member(container: Container, network: Network) -> dict[str, Any]:
    endpoint = container.networks[network.name]
    address = f"{endpoint.address}/{endpoint.prefix}" if endpoint.address else ""
    address6 = f"{endpoint.address6}/{endpoint.prefix6}" if endpoint.address6 else ""
    shown = {"Name": container.name, "EndpointID": endpoint.id, "MacAddress": endpoint.mac}
    return cast("dict[str, Any]", shown | {"IPv4Address": address, "IPv6Address": address6})


_BRIDGE_OPTIONS: Final = {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
    "com.docker.network.bridge.name": "docker0",
    "com.docker.network.driver.mtu": "1500",
}
