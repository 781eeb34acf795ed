"""The addresses of networks: the pools that subnets come from, and the addresses in a subnet."""

from __future__ import annotations

import heapq
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal

Subnet: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

LAST_PORT: Final = 65535
"""The highest number of a port."""
_POOLS: Final = [
    *(ipaddress.IPv4Network(f"172.{number}.0.0/16") for number in range(17, 32)),
    *ipaddress.IPv4Network("192.168.0.0/16").subnets(new_prefix=20),
]


class Pools:
    """The subnets of networks that don't say theirs."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, taken: list[Subnet]) -> ipaddress.IPv4Network:
        """Return the next pool that is free; as an engine, from where the last one was taken on."""
        for number in range(len(_POOLS)):
            at = (self._last + 1 + number) % len(_POOLS)
            if not any(_POOLS[at].overlaps(each) for each in taken):
                self._last = at
                return _POOLS[at]
        text = "could not find an available, non-overlapping IPv4 address pool among the defaults"
        raise refusal(404, f"{text} to assign to the network")


class Addresses:
    """The addresses of a subnet: the lowest that is free in its range is given next."""

    def __init__(self, subnet: Subnet, gateway: str | None, range: Subnet | None = None) -> None:
        """`range` is the part of the subnet that addresses are given from; all of it if there is none.

        Raises:
            SwarmError: the gateway is no address of the subnet, or the subnet has none for it.
        """
        self.subnet = subnet
        self._end = subnet.num_addresses
        self._used = {0, self._end - 1} if subnet.version == 4 else {0}  # IPv6 has no address for all
        self._freed: list[int] = []
        self._first, self._last = 0, self._end - 1
        if range is not None and range.version == subnet.version and range.overlaps(subnet):
            self._first, self._last = (int(range[at]) - int(subnet[0]) for at in (0, -1))
        self._next = self._first
        self.gateway = gateway or self._free_gateway()
        if (address := address_in(self.gateway)) is None:
            raise refusal(500, f"invalid gateway address {self.gateway} in Ipam configuration")
        self.reserve(address, f"failed to allocate gateway ({gateway or ''})")

    def _free_gateway(self) -> str:
        if (number := self._lowest()) is None:
            raise refusal(500, "failed to allocate gateway (): No available addresses on this pool")
        return str(self.subnet[number])

    def reserve(self, address: Address, problem: str) -> None:
        """Give an address to nobody. Raises `SwarmError`, with the problem before it, if it is not in the subnet."""
        if address not in self.subnet:
            raise refusal(500, f"{problem}: Requested address is out of range")
        self._used.add(self._number(address))

    def take(self, wanted: Address | None, name: str) -> str:
        """Return an address that nobody has.

        Raises:
            SwarmError: there is none, or the wanted one is not free, or not in the subnet.
        """
        if wanted is None:
            if (number := self._lowest()) is None:
                text = f"no available IPv{self.subnet.version} addresses on this network's address pools"
                raise refusal(403, f"{text}: {name}")
        elif wanted not in self.subnet:
            raise refusal(400, f"Invalid address {wanted}: It does not belong to any of this network's subnets")
        else:
            number = self._number(wanted)
            if number in self._used:
                raise refusal(403, "Address already in use")
        self._used.add(number)
        return str(self.subnet[number])

    def _number(self, address: Address) -> int:
        return int(address) - int(self.subnet[0])

    def _lowest(self) -> int | None:
        while self._freed:
            number = heapq.heappop(self._freed)
            if number not in self._used:
                return number
        while self._next in self._used:
            self._next += 1
        return self._next if self._next <= self._last else None

    def free(self, address: str) -> None:
        """Take an address back."""
        number = self._number(ipaddress.ip_address(address))
        self._used.discard(number)
        if self._first <= number <= self._last:
            heapq.heappush(self._freed, number)


def address_in(text: str) -> Address | None:
    """Return the address that a text is; None if it is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Ipam:
    """Where the endpoints of a network get their addresses from."""

    v4: Addresses
    v6: Addresses | None = None
    """None where IPv6 is not enabled, whatever is configured."""
    asked: Sequence[tuple[int, dict[str, Any]]] = ()
    """Its configurations with a subnet, each with its IP version; those of IPv4 first."""

    @property
    def subnets(self) -> list[Subnet]:
        """What no other network can have."""
        return [each.subnet for each in (self.v4, self.v6) if each is not None]

    def asks(self, version: int) -> bool:
        """Return whether who made the network chose its subnet, so that addresses in it may be chosen too."""
        return any(each == version for each, _ in self.asked)

    def shown(self, *, gateway: bool) -> list[dict[str, Any]]:
        """Return the configurations; with the gateway of a subnet that nobody asked for, if that is wanted."""
        own = {"Gateway": self.v4.gateway} if gateway else {}
        given = [] if self.asks(4) else [{"Subnet": str(self.v4.subnet), **own}]
        return given + [config for _, config in self.asked]


def ipam_of(body: Mapping[str, Any], pools: Pools, taken: list[Subnet]) -> Ipam:
    """Return the addresses that a network's body asks for.

    Raises:
        SwarmError: they can't be had, or are no addresses.
    """
    configs = list(map(dict_of, list_of(dict_of(body.get("IPAM")).get("Config"))))
    asked = sorted(((subnet_of(each.get("Subnet") or "").version, each) for each in configs), key=lambda each: each[0])
    if sum(version == 4 for version, _ in asked) > 1:
        raise refusal(403, "bridge driver doesn't support multiple subnets")
    first = dict(asked)
    v4 = _addresses(first[4], taken, body["Name"]) if 4 in first else Addresses(pools.next(taken), None)
    if not body.get("EnableIPv6"):
        return Ipam(v4, None, asked)
    if 6 not in first:
        text = "could not find an available, non-overlapping IPv6 address pool among the defaults"
        raise refusal(404, f"{text} to assign to the network")
    return Ipam(v4, _addresses(first[6], taken, body["Name"]), asked)


def _addresses(config: dict[str, Any], taken: list[Subnet], network: str) -> Addresses:
    subnet = subnet_of(config["Subnet"])
    if any(subnet.overlaps(each) for each in taken):
        raise refusal(403, "Pool overlaps with other one on this address space")
    part = config.get("IPRange")
    within = _subnet_in(part) if part else None
    if part and within is None:
        pool = f'address space "LocalDefault" pool "{config["Subnet"]}" subpool "{part}"'
        raise refusal(500, f"failed to parse pool request for {pool}: Invalid Address SubPool")
    made = Addresses(subnet, config.get("Gateway"), within)
    for name, text in dict_of(config.get("AuxiliaryAddresses")).items():
        problem = f"failed to allocate secondary ip address ({name}:{text})"
        if (address := address_in(text)) is None:
            raise refusal(500, f"non parsable secondary ip address ({name}:{text}) passed for network {network}")
        made.reserve(address, problem)
    return made


def subnet_of(text: str) -> Subnet:
    """Return the subnet that a text is. Raises `SwarmError` if it is none."""
    found = _subnet_in(text)
    if found is None:
        raise refusal(500, f"Invalid subnet {text} : invalid CIDR address: {text}")
    return found


def _subnet_in(text: str) -> Subnet | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None
