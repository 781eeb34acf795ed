"""The terms of a tenant: how much it may use, and what its containers and networks are given."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from swarmlib import Denied
from swarmlib.quantities import number_of_bytes

from ..dockerapi import limits
from ..dockerapi.nullable import dict_of
from ..toml_tables import Table
from . import ports
from .resources import RESOURCES, Amounts

LIMITED: Final[Mapping[str, Callable[[Mapping[str, Any]], int | None]]] = {
    "cpus": limits.cpus,
    "memory": limits.memory,
    "pids": limits.pids,
}
"""The resources of which a container counts with its limit while it runs, each with the reader of that limit."""
_LIMIT_FIELDS: Final = {"cpus": "NanoCpus", "memory": "Memory", "pids": "PidsLimit"}
"""The field of HostConfig that sets each limit."""


@dataclass(frozen=True)
class Terms:
    """What a tenant may use.

    Attributes:
        limits: the most of each resource.
        defaults: the limits of a container that gives none.
        runtime: the runtime of all its containers; "" for any.
        egress: whether its networks lead out of the engine.
        ports: the ports of the engine that it may publish; all of them go together with its quota of them.
        address: the address on which they are published; "" for the one that it asks for.
    """

    limits: Amounts = field(default_factory=dict[str, int])
    defaults: Amounts = field(default_factory=dict[str, int])
    runtime: str = ""
    egress: bool = True
    ports: range = range(0)
    address: str = ""

    @classmethod
    def read(cls, table: Table) -> Self:
        """Read them from the table of a tenant.

        Raises:
            Invalid: a value is wrong; the error names the line.
        """
        egress = table.take("egress", bool, "true or false")
        return cls(
            read_amounts(table.table("quota"), RESOURCES),
            read_amounts(table.table("defaults"), _LIMIT_FIELDS),
            table.text("runtime") or "",
            egress is not False,
            table.read("ports", table.text("ports"), _span),
            table.text("address") or "",
        )

    @property
    def host(self) -> Mapping[str, int]:
        """What the tenant's host has, in the words of an engine's description of itself."""
        cpus, memory = self.limits.get("cpus"), self.limits.get("memory")
        found = {"NCPU": None if cpus is None else math.ceil(cpus / 1e9), "MemTotal": memory}
        return {name: value for name, value in found.items() if value is not None}

    def container(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body of a new container with the limits and the runtime that it must have.

        Raises:
            Denied: it asks for another runtime, or gives no limit, where the quota needs one.
        """
        given = dict_of(body.get("HostConfig"))
        missing = {name for name, limit in LIMITED.items() if limit(given) is None}
        host = {**given, **{_LIMIT_FIELDS[name]: self.defaults[name] for name in missing & self.defaults.keys()}}
        for name, limit in LIMITED.items():
            if name in self.limits and limit(host) is None:
                raise Denied(
                    f"HostConfig.{_LIMIT_FIELDS[name]} is required: the tenant has a quota of {name}, "
                    "and no default limit of a container"
                )
        if self.runtime:
            if given.get("Runtime") not in (None, "", self.runtime):
                raise Denied(f"HostConfig.Runtime must be {self.runtime!r}, not {given['Runtime']!r:.80}")
            host["Runtime"] = self.runtime
        return {**body, "HostConfig": host}

    def network(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body of a new network; one that may not lead out of the engine is internal."""
        return dict(body) if self.egress else {**body, "Internal": True}


def _span(text: str | None) -> range:
    return range(0) if text is None else ports.span(text)


def read_amounts(table: Table, known: Mapping[str, object]) -> Amounts:
    """Read amounts of resources, and the end of their table.

    known: the resources that may be given.

    Raises:
        Invalid: a value is wrong; the error names the line.
    """
    found = {name: _read_amount(table, name) for name in known if name in table.values}
    table.known.update(known)
    table.end()
    return found


def _read_amount(table: Table, name: str) -> int:
    if name == "memory":
        return int(table.read(name, table.values[name], number_of_bytes))
    value = table.number(name) if name == "cpus" else table.take(name, int, "a whole number")
    if value is None or not 0 <= value < math.inf:
        raise table.mistake(name, f"{name} must be 0 or more, not {value}")
    return round(value * 10**9) if name == "cpus" else int(value)
