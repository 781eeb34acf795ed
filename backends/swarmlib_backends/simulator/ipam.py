"""The addresses of a network, of both families of the Internet protocol, as its IPAM configuration asks for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..dockerapi.nulls import fields, items
from ..dockerapi.status import refusal
from .addresses import Addresses, Pools, Subnet, address_in


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
    configs = list(map(fields, items(fields(body.get("IPAM")).get("Config"))))
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
    for name, text in fields(config.get("AuxiliaryAddresses")).items():
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
