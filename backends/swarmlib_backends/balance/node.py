"""A node: one engine as placement and lists see it. Nothing here sends a request to the engine."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from swarmlib import SwarmError

from ..dockerapi.nullable import dict_of, list_of

EVERYWHERE: Final = frozenset({"bridge", "host", "none"})
"""The networks that every engine has."""
_PORT: Final = re.compile(r"[0-9]{1,5}")

Port: TypeAlias = tuple[str, str, int]
"""A port of an engine: protocol, address, number."""


class Claim:
    """The resources that a container takes of its node: billionths of a CPU, bytes of memory, ports."""

    __slots__ = ("cpus", "memory", "ports")

    def __init__(self, cpus: int = 0, memory: int = 0, ports: Iterable[Port] = ()) -> None:
        self.cpus = cpus
        self.memory = memory
        self.ports = tuple(ports)

    @classmethod
    def of(cls, host_config: Mapping[str, Any], ports: Iterable[Port] = ()) -> Self:
        """Read a container's claim from its well-formed `HostConfig`; `ports` are those it takes in addition."""
        bindings: dict[str, list[dict[str, str]] | None] = dict_of(host_config.get("PortBindings"))
        published = [
            (key.partition("/")[2] or "tcp", each.get("HostIp") or "", number)
            for key, given in bindings.items()
            for each in list_of(given)
            if (number := port_number(each.get("HostPort")))
        ]
        memory = host_config.get("Memory") or host_config.get("MemoryReservation") or 0
        return cls(host_config.get("NanoCpus") or 0, memory, [*published, *ports])


NOTHING: Final = Claim()


def port_number(text: str | None) -> int:
    """Read a port number; 0 if the text is not one, as for a range, or if any port is allowed."""
    number = int(text) if text and _PORT.fullmatch(text) else 0
    return number if number < 2**16 else 0


@dataclass
class Load:
    """The resources that the containers of a node take."""

    cpus: int = 0
    """In billionths."""
    memory: int = 0
    """In bytes."""


class Node:
    """One engine: its name (the `Node` of its objects), its description, whether it is up, and its load."""

    __slots__ = (  # which are read of a thousand nodes at a time; a member has too many attributes for shared keys
        *("_about", "attributes", "closed", "cpus", "driver", "due", "failure", "labelled", "labels", "load"),
        *("memory", "name", "placing", "ports", "skew", "up"),
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.up = False
        """Whether it answers, as far as is known."""
        self.due = False
        """Whether it is to be asked for something before the index can be shown: see `due.Due`."""
        self.failure: SwarmError | None = None
        """Why it is down; None unless it is known to be down."""
        self.about = {}
        self.attributes: Mapping[str, str] = {}
        """What rules may name besides what the engine says of itself: what its source knows, such as `node.role`."""
        self.closed = ""
        """Why it takes no new containers, as its source says; "" if it does."""
        self.skew = 0.0
        """Seconds that its clock is ahead of ours."""
        self.load = Load()
        self.ports: dict[tuple[str, int], int] = {}
        """How often each port, by its protocol and number, is claimed at some address."""
        self.placing: list[Claim] = []
        """The claims of containers that are being created."""

    @property
    def trouble(self) -> str:
        """Why it is not up."""
        return self.failure.message if self.failure else "it has not answered yet"

    @property
    def about(self) -> Mapping[str, Any]:
        """The engine's description of itself (`info`)."""
        return self._about

    @about.setter
    def about(self, told: Mapping[str, Any]) -> None:
        """Take what the engine says of itself; what each placement needs of it is read here, once."""
        self._about = told
        self.driver = str(told.get("Driver") or "")
        """Its storage driver, which tells also what is no Docker engine: `swarm`, `exec`."""
        self.labels: list[str] = list_of(told.get("Labels"))
        """The engine's own labels, as `name=value`."""
        self.cpus = int(told.get("NCPU") or 0) * 10**9
        """Its CPUs, in billionths."""
        self.memory = int(told.get("MemTotal") or 0)
        """Its memory in bytes."""
        self.labelled: dict[str, str] = {}
        """The values of its labels by their names: the first of each name. An engine refuses to start with several."""
        for name, _, value in (each.partition("=") for each in self.labels):
            self.labelled.setdefault(name, value)

    def value_of(self, name: str) -> str | None:
        """Return what its source says of it under a name, else the value of its label; None if neither is there."""
        told = self.attributes.get(name)
        return self.labelled.get(name) if told is None else told

    def take(self, claim: Claim, sign: int) -> None:
        """Count the resources that a container takes of the node (`sign` 1) or gives back (-1)."""
        if claim is NOTHING:
            return
        self.load.cpus += sign * claim.cpus
        self.load.memory += sign * claim.memory
        for protocol, _, number in claim.ports:
            held = self.ports.pop((protocol, number), 0) + sign
            if held:
                self.ports[protocol, number] = held

    @contextmanager
    def holding(self, claim: Claim) -> Generator[None]:
        """Count a container as the node's while it is being created."""
        self.placing.append(claim)
        self.take(claim, 1)
        try:
            yield
        finally:
            self.placing.remove(claim)
            self.take(claim, -1)
