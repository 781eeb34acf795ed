"""Who the tenants are, and what each may use: read from a TOML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Self

from swarmlib import Denied, SwarmError

from .. import clients
from ..clients import Client
from ..globs import Match
from ..image_patterns import images, qualified
from ..policy import grants
from ..policy.demands import Demand
from ..policy.grants import Grants
from ..policy.names import ALL_TAGS, IMAGES
from ..toml_tables import Table
from .names import REGISTRY, Names
from .terms import Terms

NAME: Final = re.compile(r"[a-z0-9-]{1,32}")
"""The names that tenants may have."""
LEASE: Final = "lease-"
"""What the names of leases' tenants begin with, and no other tenant's."""
_HARMLESS: Final[Mapping[str, frozenset[str]]] = {
    "restarts": frozenset({"always", "unless-stopped", "on-failure"}),
    "log_drivers": frozenset({"json-file", "local", "none"}),
}
"""What any tenant may have, although it is more than the ordinary: it touches nobody else."""
_OWN_NAMESPACES: Final = ("network=container:", "ipc=container:", "pid=container:")
"""Those of other containers, of which a tenant's get no others than its own."""
_REMEMBERED: Final = 4096
"""The callers whose tenants are remembered."""


@dataclass(frozen=True)
class Tenancy:
    """A tenant, and its terms.

    Attributes:
        name: its name.
        clients: the clients that act for it.
        images: which images, by reference with the registry, it may pull and use; no tenant can change them.
        grants: what its containers may have beyond the harmless.
        terms: how much it may use.
        socket: the unix socket that the stage makes for it, through which everybody acts for it; "" for none.
        group: the group that may use the socket; "" for its owner alone.
    """

    name: str
    clients: Sequence[Client]
    images: Match
    grants: Grants
    terms: Terms
    socket: str = ""
    group: str = ""

    @cached_property
    def names(self) -> Names:
        """The names of its objects."""
        return Names(self.name)

    def is_shared(self, reference: str) -> bool:
        """Return whether an image, or all of a repository by its full name, is what it may use but not change."""
        try:
            name = reference if reference.endswith(ALL_TAGS) else qualified(reference)
        except SwarmError:
            return False
        return not name.startswith(REGISTRY) and bool(self.images(name))

    def sees(self, reference: str) -> bool:
        """Return whether it may see a reference, as the engine lists it."""
        return reference.startswith(self.names.repositories) or self.is_shared(reference)

    def allows(self, demand: Demand) -> bool:
        """Return whether it may have what a request demands."""
        if demand.kind == IMAGES:
            return self.is_shared(demand.value)
        if demand.kind == "namespaces" and demand.value.startswith(_OWN_NAMESPACES):
            return True
        return demand.value in _HARMLESS.get(demand.kind, ()) or self.grants.allows(demand)

    def line(self, demand: Demand) -> str:
        """Return the line of the file that would grant a demand."""
        table = self.name if demand.kind == IMAGES else f"{self.name}.container"
        return f"[tenant.{table}] {demand.kind} = [{demand.value!r:.80}]"


@dataclass(frozen=True)
class Tenants:
    """The tenants of a file.

    Attributes:
        file: the file's name.
        by_name: the tenants by their names.
        lease: what leases may use, under a name that no tenant has; None if there are none. Its socket is the folder
            of their sockets.
        of: returns the tenant for which a caller (`Meta.caller`) acts. Raises Denied if there is none, or several.
    """

    file: str
    by_name: Mapping[str, Tenancy]
    lease: Tenancy | None
    of: Callable[[str], Tenancy]

    @classmethod
    def make(cls, file: str, tenancies: Sequence[Tenancy], lease: Tenancy | None) -> Self:
        """Make it of its tenants."""

        @lru_cache(maxsize=_REMEMBERED)
        def of(caller: str) -> Tenancy:
            fitting = [each for each in tenancies if any(client.is_caller(caller) for client in each.clients)]
            if len(fitting) == 1:
                return fitting[0]
            who = caller or "an unknown client"
            if not fitting:
                raise Denied(f"{who} is no client of a tenant")
            raise Denied(f"{who} is a client of several tenants")

        return cls(file, {each.name: each for each in tenancies}, lease, of)


def parse(text: str, name: str) -> Tenants:
    """Read the tenants from the text of their file.

    Raises:
        Invalid: something in it is wrong; the error names the line.
    """
    top = Table.parse(text, name)
    known = clients.read(top.table("clients"))
    table = top.table("tenant")
    tenancies = [_named(table, each, known) for each in table.values]
    _check_clients(table, tenancies)
    lease = top.read_table("lease", lambda table: _tenancy(table, LEASE, known))
    top.end()
    if not tenancies and lease is None:
        raise top.mistake("tenant", "the file requires a tenant, [tenant.NAME], or [lease]")
    return Tenants.make(name, tenancies, lease)


def _named(tenants: Table, name: str, known: Mapping[str, Client]) -> Tenancy:
    if not NAME.fullmatch(name):
        raise tenants.mistake(name, f"invalid tenant {name!r}: expected 1 to 32 of a-z, 0-9 and -")
    if name.startswith(LEASE):
        raise tenants.mistake(name, f"invalid tenant {name!r}: names that begin with {LEASE!r} are those of leases")
    return _tenancy(tenants.table(name), name, known)


def _check_clients(tenants: Table, tenancies: Sequence[Tenancy]) -> None:
    """Check that somebody can act for each tenant, and each client for one."""
    whose: dict[str, str] = {}
    for each in tenancies:
        if not each.clients and not each.socket:
            raise tenants.mistake(each.name, f"nobody can act for tenant {each.name!r}: give it clients or a socket")
        for client in each.clients:
            if (other := whose.setdefault(client.name, each.name)) != each.name:
                raise tenants.mistake(
                    each.name, f"client {client.name!r} is one of the tenant {other!r} already: a client has one tenant"
                )


def _tenancy(table: Table, name: str, known: Mapping[str, Client]) -> Tenancy:
    container = table.table("container")
    acting = clients.named(table, known)
    for each in acting:
        if each.by_facts is not None:
            raise table.mistake("clients", f"client {each.name!r}: a tenant's containers are known by their ids only")
    made = Tenancy(
        name,
        acting,
        table.read("images", table.texts("images") or (), images),
        grants.read(container),
        Terms.read(table),
        table.text("socket") or "",
        table.text("socket_group") or "",
    )
    container.end()
    table.end()
    return made
