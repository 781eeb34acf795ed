"""Ports that containers on engines publish by `-p`: Azure opens them to those who may reach the engines.

A port is opened before a container with it is created. A port that the engine itself chooses is opened soon after the
container's start. All are closed when no container has them any longer; whoever may reach an engine could do anything
on its machine anyway, so that the same rules for all machines of the group give nobody more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import trio

from swarmlib import UNSENT, Filter, Request, SwarmError, Tap, Verb

from ..balance.labels import saying
from ..balance.node import Claim
from ..balance.objects import Container
from ..dockerapi.nullable import dict_of, list_of
from .access import Access
from .options import AzureOptions
from .ports import Port

_HERE: Final = ("127.", "::1", "localhost")
"""How the addresses begin at which nobody else reaches a port anyway."""
_PROTOCOLS: Final = ("tcp", "udp")


class PublishedPorts:
    """The rules of the group's security group for the ports that containers publish, as this user's."""

    def __init__(self, access: Access, options: AzureOptions) -> None:
        self._access = access
        self._options = options
        self._everybodys = {*map(Port.read, options.open_port)}
        self._changing = trio.Lock()
        self._open: set[Port] | None = None
        """The ports that are open as far as is known; None before Azure was asked."""
        self._sources: list[str] | None = None
        """To which addresses they are open, if this swarmd has opened them."""
        self._unused = set[Port]()

    def forget(self) -> None:
        """Ask Azure anew what is open: with the last machine, all rules may have gone."""
        self._open = None

    async def open(self, ports: Iterable[Port]) -> None:
        """Open ports, besides those that are open.

        Raises:
            SwarmError: Azure refuses, or fails.
        """
        async with self._changing:
            known = await self._known()
            await self._change(known | {*ports})

    async def settle(self, containers: Iterable[Container], *, all_listed: bool) -> None:
        """Open the ports of these containers. Close others, unless some engines' containers are not listed.

        A port is closed if two calls in a row find no container with it: one that another swarmd of the same user has
        opened may be of a container that is only about to be created.

        Raises:
            SwarmError: Azure refuses, or fails.
        """
        wanted = {port for each in containers for port in _of_container(each)}
        async with self._changing:
            known = await self._known()
            unused = known - wanted if all_listed else set[Port]()
            closing, self._unused = unused & self._unused, unused - self._unused
            await self._change((known | wanted) - closing)

    async def _known(self) -> set[Port]:
        """Return which ports are open, by Azure's word at first: an earlier swarmd may have opened them."""
        if self._open is None:
            self._open = await self._access.firewall(self._options.group).published()
        return self._open

    async def _change(self, ports: set[Port]) -> None:
        ports = ports - self._everybodys
        allowed = await self._access.allowed(private=self._options.private)
        if allowed is None or (ports == self._open and allowed == self._sources):
            return
        self._open = None  # in case of a failure halfway
        await self._access.firewall(self._options.group).publish(allowed, sorted(ports))
        self._open, self._sources = ports, allowed


@dataclass(eq=False)
class OpeningPorts(Filter):
    """Opens the ports that a new container publishes on a machine.

    made: whether swarmlib made the machine. The security group of another one is not changed; a warning says so.
    """

    machine: str
    ports: PublishedPorts
    made: bool

    async def send(self, request: Request) -> None:
        """Forward a request; before the creation of a container, its ports are opened.

        Raises:
            SwarmError: a port can't be opened.
        """
        await self.next.send(await self._prepared(request))

    async def _prepared(self, request: Request) -> Request:
        if request.verb is not Verb.SPAWN or request.path != ("containers",):
            return request
        ports = sorted({*_of_claim(Claim.of(dict_of(dict_of(request.json).get("HostConfig"))))})
        if not ports:
            return request
        shown = ", ".join(map(str, ports))
        if not self.made:
            text = (
                f"{self.machine} was not made by swarmlib: whether Azure lets port {shown} in is its owner's decision"
            )
            return request.replace(reply=Tap(request.reply, saying([text], in_body=True)))
        try:
            await self.ports.open(ports)
        except SwarmError as exc:
            text = f"can't open port {shown} of {self.machine}: {exc.message}"
            raise type(exc)(text, path=request.path, details={**exc.details, UNSENT: True}) from exc
        return request


def _of_container(container: Container) -> Iterator[Port]:
    """Yield the ports of a container: those that it was created with, and those that its engine chose."""
    yield from _of_claim(container.claim)
    for each in map(dict_of, list_of(container.summary.get("Ports"))):
        if (number := each.get("PublicPort")) and not str(each.get("IP") or "").startswith(_HERE):
            yield from _valid(str(each.get("Type")), number)


def _of_claim(claim: Claim) -> Iterator[Port]:
    for protocol, address, number in claim.ports:
        if not address.startswith(_HERE):
            yield from _valid(protocol, number)


def _valid(protocol: str, number: Any) -> Iterator[Port]:
    """Yield a port, unless Azure's rules know no such protocol."""
    if protocol in _PROTOCOLS and isinstance(number, int):
        yield Port(number, protocol)
