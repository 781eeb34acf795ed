"""The backend `swarm`: the nodes of a swarm, each reached by itself, as the members of a balance."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio

from swarmlib import Backend, Chain, Invalid, Sender, argument, option
from swarmlib.errors import ungrouped

from ..balance import Balance
from ..balance.member_source import MemberSource
from ..balance.members import Members
from .membership import Membership
from .reaching import EngineChain, Template, engine
from .services.server import Services


@dataclass
class Swarm(MemberSource, Backend):
    """The nodes of a swarm as members of a `balance`: containers are placed on them, and networks may span them.

    A manager tells which nodes there are; each is reached by --engines, with {addr}, {hostname} and {id} for its
    address, hostname and id. Drained, paused and down nodes take no new containers. Rules may name node.role,
    node.hostname, node.id, and labels of nodes and engines: -e constraint:node.role==worker.
    """

    position = "last"

    managers: Sequence[EngineChain] = argument("address of a manager, or a chain that reaches it; several may be given")
    engines: Template = option(
        "how to reach the engine of a node: an address such as ssh://root@{addr}, or a chain",
        default="",
        metavar="TEMPLATE",
    )
    overlay: bool = option(
        "create networks as attachable overlays, so that containers on all nodes share them", default=False
    )

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if not str(self.engines):
            raise Invalid("swarm requires --engines, such as --engines ssh://root@{addr}")

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """Open a balance over the nodes."""
        async with Balance([self]).open(next) as sender:
            yield sender

    @asynccontextmanager
    async def provision(self, members: Members, /) -> AsyncGenerator[None]:
        """Add the nodes, and follow the managers; see `MemberSource.provision`."""
        members.overlay |= self.overlay
        async with AsyncExitStack() as stack:
            given = [await stack.enter_async_context(chain.open()) for chain in map(engine, self.managers)]
            with ungrouped():
                membership = Membership(members, given, self.engines)
                await membership.begin()
                services = Chain(Services(members=members, membership=membership), label="services")
                await members.join(services)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(membership.follow)
                    yield
                    nursery.cancel_scope.cancel()
