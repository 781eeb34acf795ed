"""The networks of an engine: bridge, host and none, and those that are made; and who is connected to them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from swarmlib import SwarmError

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal
from ..enginekit.links import link_of
from ..enginekit.networks import AMBIGUOUS, PREDEFINED, only
from .addresses import Address, Addresses, Ipam, Pools, address_in, ipam_of
from .container import Container, Endpoint
from .context import Context


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
    members: dict[str, Container] = field(default_factory=dict[str, Container])
    """The running containers that are connected, by id."""

    @property
    def predefined(self) -> bool:
        """Whether it is one of the three that every engine has."""
        return self.name in PREDEFINED

    @property
    def config_only(self) -> bool:
        """Whether it is there for others that take their configuration from it, and nothing can be connected to it."""
        return bool(self.body.get("ConfigOnly"))


class NetworkStore:
    """The networks of an engine."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._networks: dict[str, Network] = {}
        self._pools = Pools()
        for name, driver in PREDEFINED.items():
            subnet = ipaddress.IPv4Network("172.17.0.0/16") if driver == "bridge" else None
            self.add(name, driver, Ipam(Addresses(subnet, None)) if subnet else None, {})

    def __iter__(self) -> Iterator[Network]:
        return iter(self._networks.values())

    def add(self, name: str, driver: str, addresses: Ipam | None, body: dict[str, Any]) -> Network:
        """Add a new network."""
        made = Network(self._context.names.id(), name, driver, self._context.clock.now(), addresses, body)
        self._networks[made.id] = made
        return made

    def add_as_asked(self, name: str, driver: str, config: dict[str, Any], body: dict[str, Any]) -> Network:
        """Add a network with addresses as `config` asks for them. Raises `SwarmError` if they can't be had."""
        taken = [subnet for each in self if each.addresses for subnet in each.addresses.subnets]
        return self.add(name, driver, ipam_of(config | {"Name": name}, self._pools, taken), body)

    def remove(self, network: Network) -> None:
        """Remove a network."""
        del self._networks[network.id]
        self.tell("destroy", network)

    def find(self, ref: str) -> Network:
        """Return a network by id, name, or a prefix of its id.

        Raises:
            NotFound: there is none. SwarmError: there are several.
        """
        return self.only(ref, AMBIGUOUS)

    def name_of(self, ref: str) -> str:
        """Return the name of the network that `find` finds; `ref` itself if it finds none."""
        try:
            return self.find(ref).name
        except SwarmError:
            return ref

    def only(self, ref: str, several: str, scope: str = "") -> Network:
        """Find as `find` does; `several` is a format of what is said of several, which differs by call."""
        return only(self if scope in ("", "local") else (), ref, several)

    def tell(self, action: str, network: Network, container: Container | None = None) -> None:
        """Make an event of what happened to a network."""
        of = {"container": container.id} if container is not None else {}
        self._context.tell_of("network", action, network.id, {**of, "name": network.name, "type": network.driver})

    # Who is connected.

    def join(self, container: Container, network: Network, given: dict[str, Any]) -> None:
        """Give a container that runs an address in a network.

        Raises:
            SwarmError: there is none.
        """
        check_connection(container, network, given)
        if network.config_only:
            raise refusal(403, "cannot create endpoint on configuration-only network")
        for link in list_of(given.get("Links")):
            link_of(link)
        endpoint = container.networks.get(network.name) or Endpoint(given)
        if network.addresses is not None:
            _give(endpoint, network.addresses, given, network.name)
            octets = ipaddress.IPv4Address(endpoint.address).packed
            asked = (
                container.config.get("MacAddress") if main_network(container) in (network.name, network.id) else None
            )
            endpoint.mac = asked or "02:42:" + ":".join(f"{octet:02x}" for octet in octets)
        endpoint.id, endpoint.network_id = self._context.names.id(), network.id
        endpoint.aliases = aliases_of(container, network, given)
        container.networks[network.name] = endpoint
        network.members[container.id] = container
        self.tell("connect", network, container)

    def leave(self, container: Container, network: Network) -> None:
        """Take a container's address back, if it has one."""
        endpoint = container.networks[network.name]
        if not endpoint.id:
            return
        if network.addresses is not None and endpoint.address:
            _take_back(endpoint, network.addresses)
        endpoint.clear()
        network.members.pop(container.id, None)
        self.tell("disconnect", network, container)

    def leave_all(self, container: Container) -> None:
        """Take all of a container's addresses back: it has ended."""
        for endpoint in list(container.networks.values()):
            network = self._networks.get(endpoint.network_id)
            if network is not None:
                self.leave(container, network)

    def resolve(self, container: Container, name: str) -> list[str] | None:
        """Return what the name service that networks which were made have tells one of their containers of a name.

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
        linked = {alias: other for other, alias in map(link_of, list_of(own.get("Links")))}
        for each in network.members.values():
            endpoint = each.networks[network.name]
            if linked.get(name, name) in (each.name, each.id[:12], *(endpoint.aliases or ())):
                return endpoint.address
        return ""


def check_connection(container: Container, network: Network, given: dict[str, Any]) -> None:
    """Raise what is said of a connection that can't be."""
    asked = [version for version in (4, 6) if dict_of(given.get("IPAMConfig")).get(f"IPv{version}Address")]
    if network.predefined and asked:
        raise refusal(400, "user specified IP address is supported on user defined networks only")
    if network.predefined and given.get("Aliases"):
        raise refusal(400, "network-scoped alias is supported only for containers in user defined networks")
    if not all(network.addresses is not None and network.addresses.asks(version) for version in asked):
        text = "user specified IP address is supported only when connecting to networks with user configured subnets"
        raise refusal(400, text)
    if network.name == "host" and container.host["NetworkMode"] != "host":
        raise refusal(400, "container cannot be disconnected from host network or connected to host network")
    others = set(container.networks) - {network.name}
    if "none" in others or (network.name == "none" and others):
        text = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        raise refusal(400, text)


def main_network(container: Container) -> str:
    """Return the network that the container's own options (its MAC address) are about."""
    mode: str = container.host["NetworkMode"]
    return "bridge" if mode == "default" else mode


def _give(endpoint: Endpoint, ipam: Ipam, given: dict[str, Any], name: str) -> None:
    """Give an endpoint its addresses, those that it asks for if it does. Raises `SwarmError` if they can't be had."""
    asked = dict_of(given.get("IPAMConfig"))
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


def aliases_of(container: Container, network: Network, given: dict[str, Any]) -> list[str] | None:
    """Return the names that a container has in a network besides its own; None for no others."""
    own = [] if network.predefined else [container.id[:12]]
    return [*(each for each in list_of(given.get("Aliases")) if each not in own), *own] or None
