"""What surrounds a running container: its names in networks, and its published ports."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from .container import PodContainer
from .endpoints import Endpoints
from .networks import Networks
from .pods.connections import aliases, connections, given, links
from .pods.publishing import PortMap
from .publishers import Publisher
from .walls import Walls


@dataclass(frozen=True)
class Networking:
    """The networks and ports of a namespace's containers."""

    networks: Networks
    endpoints: Endpoints
    ports: Publisher
    walls: Walls | None
    """None where networks are no walls."""

    @asynccontextmanager
    async def starting(self, container: PodContainer) -> AsyncGenerator[PortMap]:
        """Give the ports of a container that is started in this context; at its end, its names can be resolved.

        Raises:
            SwarmError: one of its networks is gone, a port can't be had, or the names can't be made known.
        """
        for network in connections(container.record):
            self.networks.find(network)
        async with self.ports.starting(container) as ports:
            yield ports
            await self.endpoints.published(container)

    async def linked(self, container: PodContainer) -> None:
        """Wait until the names can be resolved that the links of a container give, which is about to run.

        Raises:
            Unavailable: the cluster does not take them.
        """
        if links(container.record):
            await self.endpoints.published(container)

    async def moved(self, container: PodContainer) -> None:
        """Wait until a container is where its record says, once that has changed.

        Raises:
            Unavailable: the cluster does not take it.
        """
        await self.endpoints.published(container)
        if self.walls is not None:
            await self.walls.standing(container)

    def shown(self, container: PodContainer) -> dict[str, Any]:
        """Return a container's connections as lists and inspections show them, by the names of the networks."""
        return {name: self._connection(container, name) for name in connections(container.record)}

    def _connection(self, container: PodContainer, network: str) -> dict[str, Any]:
        found, begun = container.address, container.record.run > 0
        old, new = (found, "") if ":" not in found else ("", found)
        return {
            "IPAMConfig": None,
            "Links": connections(container.record)[network].get("Links") or None,
            "Aliases": aliases(container.record, network) if begun else given(container.record, network),
            "NetworkID": self.id_of(network) if begun else "",
            "EndpointID": endpoint_id(container, network),
            "Gateway": "",
            "IPAddress": old,
            "IPPrefixLen": 32 if old else 0,
            "IPv6Gateway": "",
            "GlobalIPv6Address": new,
            "GlobalIPv6PrefixLen": 128 if new else 0,
            "MacAddress": "",
            "DriverOpts": None,
        }

    def id_of(self, network: str) -> str:
        """Return the id of the network with exactly this name; "" if there is none (any more)."""
        return next((each.id for each in self.networks if each.name == network), "")


def endpoint_id(container: PodContainer, network: str) -> str:
    """Return the id of a running container's connection; "" for one that has no address."""
    return sha256(f"{container.id}/{network}".encode()).hexdigest() if container.address else ""
