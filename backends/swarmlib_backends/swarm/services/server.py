"""The member of a balance whose containers are services."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from swarmlib import Internal
from swarmlib.supervision import supervised

from ...balance.members import Members
from ...enginekit import Clock, ContainerStore, EngineServer, Events, Finisher, operations_of
from ..membership import Membership
from .container import ServiceContainer
from .following import Following
from .life import ServiceLifecycle
from .operations import BACKEND, ServiceOperations


@dataclass
class Services(EngineServer):
    """The services of a swarm that are containers."""

    members: Members | None = field(default=None, repr=False, kw_only=True)
    membership: Membership | None = field(default=None, repr=False, kw_only=True)

    @property
    def name(self) -> str:
        """What errors call it."""
        return BACKEND

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Follow the services."""
        if self.members is None or self.membership is None:
            raise Internal("services need the members and the membership of a swarm")
        store, events = ContainerStore[ServiceContainer](), Events(Clock())
        async with trio.open_nursery() as nursery:

            def ended(container: ServiceContainer) -> None:
                if container.host.get("AutoRemove"):
                    what = f"swarm: removing {container.name}"
                    nursery.start_soon(supervised, what, life.remove_itself, container)

            following = Following(self.membership, store, events, ended)
            life = ServiceLifecycle(store, following)
            operations = ServiceOperations(store, life, events, Clock().now, Finisher("swarm", nursery), following)
            self.operations = operations_of(operations, events, self)
            with self.members.heard_by(following.hear):
                await following.begin()
                nursery.start_soon(following.run)
                yield
            nursery.cancel_scope.cancel()
