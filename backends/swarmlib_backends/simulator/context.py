"""What all stores of a simulated engine share: its time, its ids, its events, its machine, and its containers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import trio

from ..enginekit.clock import Clock
from ..enginekit.events import Events
from ..enginekit.store import ContainerStore
from .container import Container, Exec
from .image import Image
from .names import Names


@dataclass(kw_only=True, eq=False)
class Context:
    """What everything in a simulated engine stands on."""

    name: str
    cpus: int
    memory: int
    labels: list[str]
    clock: Clock
    names: Names
    online: bool
    """Whether a registry can be reached."""
    nursery: trio.Nursery
    containers: ContainerStore[Container] = field(default_factory=ContainerStore[Container])
    execs: dict[str, Exec] = field(default_factory=dict[str, Exec])
    listed: dict[tuple[Any, ...], tuple[float, bytes]] = field(
        default_factory=dict[tuple[Any, ...], tuple[float, bytes]]
    )
    """Whole lists by what they were asked for, and until when they are true; forgotten at every change."""
    last_pid: int = 1000

    def __post_init__(self) -> None:
        self.id = self.names.id()
        self.events = Events(self.clock)
        self.tell, self.tell_of = self.events.tell_container, self.events.tell_object

    def next_pid(self) -> int:
        """Return a process id that was not used before."""
        self.last_pid += 1
        return self.last_pid

    # Containers.

    def find(self, ref: str) -> Container:
        """Return a container by id, name, the name of a link to it, or a prefix of its id.

        Raises:
            NotFound: there is none. SwarmError: it is a prefix of more than one id, or nothing at all.
        """
        found = self.linked(ref.removeprefix("/")) if "/" in ref else None
        return found or self.containers.find(ref)

    def linked(self, name: str) -> Container | None:
        """Return the container that another one has a name for, by `container/name`; None if there is none."""
        parent, _, alias = name.partition("/")
        found = self.containers.named(parent) if alias else None
        return found.links.get(alias) if found is not None else None

    def containers_of(self, image: Image) -> list[Container]:
        """Return the containers of an image, the newest first."""
        return [each for each in reversed(self.containers) if each.image is image]

    def changed(self, container: Container) -> None:
        """Forget what lists say of a container."""
        container.summary = None
        self.listed.clear()

    def all_changed(self) -> None:
        """Forget what lists say of all containers."""
        for container in self.containers:
            container.summary = None
        self.listed.clear()
