"""Docker endpoints that the stage makes itself, each for one tenant: whoever connects there acts for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import trio

from swarmlib import Request
from swarmlib.errors import ungrouped
from swarmlib.net.limiter import Heed

from ..dockerapi.status import restated
from ..dockerserver import DockerServer
from .tenants import Tenancy


class _Inlet(trio.abc.SendChannel[Request]):
    """Takes the requests of an endpoint."""

    def __init__(self, take: Callable[[Request], Awaitable[None]]) -> None:
        self._take = take

    async def send(self, value: Request) -> None:
        await self._take(value)

    async def aclose(self) -> None:
        """Do nothing: the stage's own channel closes with the stage."""


@asynccontextmanager
async def endpoint(
    address: str,
    take: Callable[[Request], Awaitable[None]],
    *,
    group: str = "",
    tokens: bool = False,
    heed: Heed | None = None,
) -> AsyncGenerator[None]:
    """Listen on an address, and let `take` have what is asked there.

    group, tokens, heed: see `DockerServer`.

    Raises:
        SwarmError: the address can't be had.
    """
    async with DockerServer([address], group=group, tokens=tokens, heed=heed).open(_Inlet(take)):
        yield


class Sockets:
    """The unix sockets of tenants; they follow the file.

    take: answers a request for a tenant, given by its name. nursery: holds the sockets.
    """

    def __init__(self, take: Callable[[str, Request], Awaitable[None]], nursery: trio.Nursery) -> None:
        self._take = take
        self._nursery = nursery
        self._open: dict[tuple[str, str, str], trio.CancelScope] = {}

    async def follow(self, tenancies: Mapping[str, Tenancy]) -> None:
        """Have the sockets of these tenants, and no others.

        Raises:
            SwarmError: one of them can't be had; those that were open stay.
        """
        wanted = {(each.name, each.socket, each.group) for each in tenancies.values() if each.socket}
        for key in self._open.keys() - wanted:
            self._open.pop(key).cancel()
        for key in sorted(wanted - self._open.keys()):
            self._open[key] = await self._nursery.start(self._serve, *key)

    async def _serve(
        self, tenant: str, path: str, group: str, *, task_status: trio.TaskStatus[trio.CancelScope]
    ) -> None:
        async def take(request: Request) -> None:
            await self._take(tenant, request)

        with trio.CancelScope() as scope, restated(f"the socket of tenant {tenant}: "), ungrouped():
            async with endpoint(f"unix://{path}", take, group=group):
                task_status.started(scope)
                await trio.sleep_forever()
