"""What the stage offers to its operator: the tenants with what they use, and leases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from swarmlib import Invalid, NotFound, Request, Server

from .leases import Asked, Leases
from .quotas import Quotas

KIND: Final = "tenants"
"""The kind of objects that are offered."""


@dataclass
class TenantDesk(Server):
    """Lists tenants (`ls tenants`), begins leases (`spawn tenants`), and ends them (`rm tenants/NAME`).

    Attributes:
        quotas: know what tenants use.
        leases: the leases.
        tenants: gives the names of the tenants of the file.
    """

    quotas: Quotas
    leases: Leases
    tenants: Callable[[], Mapping[str, object]]

    @property
    def name(self) -> str:
        """The stage's name, since errors of its desk are the stage's."""
        return "tenant"

    async def ls(self, _: Request) -> list[Mapping[str, Any]]:
        """List the tenants: the name of each, what it uses, its limits, and the seconds that its lease has left."""
        usage = self.quotas.usage()
        names = sorted({*self.tenants(), *self.leases.current, *usage})
        return [{"Name": name, **usage.get(name, _NOTHING), **self._lease(name)} for name in names]

    def _lease(self, name: str) -> Mapping[str, Any]:
        lease = self.leases.current.get(name)
        return {} if lease is None else {"Host": lease.host, "Seconds": lease.left}

    async def spawn(self, request: Request) -> Mapping[str, Any]:
        """Begin a lease."""
        try:
            asked = msgspec.convert(request.json, Asked)
        except msgspec.ValidationError as exc:
            raise Invalid(f"invalid lease: {exc}") from exc
        return (await self.leases.begin(asked)).described()

    async def rm(self, request: Request) -> None:
        """End a lease, and wait until what it has is removed."""
        name = request.path[1]
        lease = self.leases.current.get(name)
        if lease is None:
            raise NotFound(f"no such lease: {name}")
        lease.end()
        await lease.removed.wait()


_NOTHING: Final[Mapping[str, Any]] = {"Used": {}, "Limits": {}}
