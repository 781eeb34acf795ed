"""The addresses of networks: the pools that subnets come from, and the addresses in a subnet."""

from __future__ import annotations

import heapq
import ipaddress
from typing import Final

from ..dockerapi.status import refusal

_POOLS: Final = [
    *(ipaddress.IPv4Network(f"172.{number}.0.0/16") for number in range(17, 32)),
    *ipaddress.IPv4Network("192.168.0.0/16").subnets(new_prefix=20),
]


class Pools:
    """The subnets of networks that don't say theirs."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, taken: list[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
        """The next pool that is free; as an engine, from where the last one was taken on."""
        for number in range(len(_POOLS)):
            at = (self._last + 1 + number) % len(_POOLS)
            if not any(_POOLS[at].overlaps(each) for each in taken):
                self._last = at
                return _POOLS[at]
        text = "could not find an available, non-overlapping IPv4 address pool among the defaults"
        raise refusal(404, f"{text} to assign to the network")


class Addresses:
    """The addresses of a subnet: the lowest that is free is given next."""

    def __init__(self, subnet: ipaddress.IPv4Network, gateway: str | None) -> None:
        """Raises `SwarmError` if the gateway is no address of the subnet, or the subnet has none for it."""
        self.subnet = subnet
        self.gateway = gateway or str(subnet[0] + 1)
        number = self._number(self.gateway, f"invalid gateway address {self.gateway} in Ipam configuration", 500)
        if not 0 <= number < subnet.num_addresses:
            raise refusal(500, f"failed to allocate gateway ({gateway or ''}): Requested address is out of range")
        self._used = {0, subnet.num_addresses - 1, number}
        self._freed: list[int] = []
        self._next = 1

    def take(self, wanted: str | None, name: str) -> str:
        """An address that nobody has.

        Raises:
            SwarmError: there is none, or the wanted one is not free.
        """
        if wanted:
            number = self._number(wanted, f"invalid IPv4 address: {wanted}", 400)
            if number in self._used or not 0 < number < self.subnet.num_addresses:
                raise refusal(403, "Address already in use")
        else:
            number = self._lowest(name)
        self._used.add(number)
        return str(self.subnet[number])

    def _number(self, address: str, problem: str, status: int) -> int:
        """Where an address lies in the subnet. Raises `SwarmError` with the problem if it is no address."""
        try:
            return int(ipaddress.IPv4Address(address)) - int(self.subnet[0])
        except ValueError as exc:
            raise refusal(status, problem) from exc

    def _lowest(self, name: str) -> int:
        while self._freed:
            number = heapq.heappop(self._freed)
            if number not in self._used:
                return number
        while self._next in self._used:
            self._next += 1
        if self._next >= self.subnet.num_addresses:
            raise refusal(403, f"no available IPv4 addresses on this network's address pools: {name}")
        return self._next

    def free(self, address: str) -> None:
        """Take an address back."""
        number = int(ipaddress.IPv4Address(address)) - int(self.subnet[0])
        self._used.discard(number)
        heapq.heappush(self._freed, number)
