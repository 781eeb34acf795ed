"""The stage `tenant`: serves each tenant as a Docker host of its own, over one engine that all of them share."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import trio

from swarmlib import Denied, Handler, Request, Server, SwarmError, argument

from ..control import offering
from ..dockerapi import table
from ..dockerapi.canonical import canonical
from ..dockerapi.rows import Row
from ..watched_file import WatchedFile
from . import desk, tenants
from .call import Call
from .endpoints import Sockets
from .leases import Leases
from .operations import OPERATIONS, Operation
from .quotas import Quotas
from .tenants import Tenancy
from .terms import Terms

_log = logging.getLogger(__name__)


@dataclass
class Tenant(Server):
    """Gives each tenant a virtual Docker host: names of its own, and nothing of the others in any answer.

    A file says which clients act for which tenant. At the engine, the objects of the tenant `alice` have names such as
    `alice.web`, and the label `swarmlib.tenant=alice`; she names and sees `web`. What would reach beyond her own
    objects (the host's folders and namespaces, other containers) is denied unless the file grants it. The file is read
    again when it changes; while it has a mistake, the tenants that were read last stay.

    tenant /etc/swarmlib/tenants.toml
    """

    position = "between"

    file: Path = argument("a TOML file with the tenants")

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        tenants.parse(await WatchedFile(self.file).read(), str(self.file))

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Read the tenants, and read them again whenever the file has changed."""
        self._file = WatchedFile(self.file)
        self._tenants = tenants.parse(await self._file.read(), str(self.file))
        async with (
            Quotas.open(self.next, self._terms) as self._quotas,
            Leases.open(self.next, self.file, lambda: self._tenants.lease, self._take, self._forget) as self._leases,
            offering(desk.KIND, desk.TenantDesk(self._quotas, self._leases, lambda: self._tenants.by_name)),
            trio.open_nursery() as nursery,
        ):
            sockets = Sockets(self._take_for, nursery)
            await sockets.follow(self._tenants.by_name)
            nursery.start_soon(self._follow, sockets)
            yield
            nursery.cancel_scope.cancel()

    def _terms(self, tenant: str) -> Terms:
        known = self._tenants.by_name.get(tenant) or self._leases.tenancy(tenant)
        return Terms() if known is None else known.terms

    def _forget(self, tenant: str) -> bool:
        return self._quotas.ledgers.forget(tenant)

    async def _take_for(self, tenant: str, request: Request) -> None:
        tenancy = self._tenants.by_name.get(tenant)
        if tenancy is None:  # the file does not have it any more, and its socket is about to be closed
            raise Denied(f"there is no tenant {tenant}")
        await self._take(tenancy, request)

    async def _take(self, tenancy: Tenancy, request: Request) -> None:
        """Take a request that has come by an endpoint of a tenant's own."""
        await self.take_up(self._handler(tenancy, request), request)

    async def _follow(self, sockets: Sockets) -> None:
        while True:
            await self._file.changed()
            try:
                self._tenants = tenants.parse(await self._file.read(), str(self.file))
            except SwarmError as exc:
                _log.error("tenant: the tenants are unchanged: %s", exc.message)
                continue
            _log.warning("tenant: the tenants of %s have been read again", self.file)
            try:
                await sockets.follow(self._tenants.by_name)
            except SwarmError as exc:
                _log.error("tenant: not all tenants have their sockets: %s", exc.message)

    def choose(self, request: Request) -> Handler:
        """Find the tenant for which a request comes; nothing is forwarded as it came."""
        return self._handler(self._tenants.of(request.meta.caller), request)

    def _handler(self, tenancy: Tenancy, request: Request) -> Handler:
        request = canonical(request)
        row = table.row_of(request.verb, request.path, upload=request.upload is not None)
        operation = OPERATIONS.get(row.name)
        return partial(_deny, row, tenancy) if operation is None else partial(self._answer, row, operation, tenancy)

    async def _answer(self, row: Row, operation: Operation, tenancy: Tenancy, request: Request) -> Any:
        request = canonical(request)
        meta = request.meta.replace(caller=f"tenant:{tenancy.name}/{request.meta.caller}")
        # Some clients send parameters that no engine knows, and ignores; the engine behind this may be a newer one.
        known = {name: each for name, each in request.params.items() if name in row.params.declared}
        call = Call(tenancy, row, request.replace(params=row.params.read(known), meta=meta), self.next, self._quotas)
        try:
            call.judge(operation.limited)
            return await operation.answer(call)
        except SwarmError as exc:
            raise call.shown_error(exc) from None


async def _deny(row: Row, tenancy: Tenancy, _: Request) -> NoReturn:
    raise Denied(f"{row.name} is not for tenants: it is about more than the objects of {tenancy.name}")
