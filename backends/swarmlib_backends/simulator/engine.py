"""What all parts of a simulated engine share: its time, its events, its machine, and the tables of its objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio

from swarmlib import Client, NotFound

from ..dockerapi.clock import Clock
from ..dockerapi.events import Events, container_event
from ..dockerapi.status import refusal
from .container import Container, Exec
from .files import Files
from .images import Image, ImageStore
from .names import Names
from .networks import Network, NetworkStore
from .process import Program, contained
from .programs import PROGRAMS
from .pulled import program_in
from .ryuk import Ryuk
from .services import OWN
from .volumes import VolumeStore


class Engine:
    """One simulated engine."""

    def __init__(
        self,
        *,
        name: str,
        cpus: int,
        memory: int,
        labels: list[str],
        clock: Clock,
        seed: int | None,
        online: bool,
        programs: Mapping[str, Program],
        nursery: trio.Nursery,
        client: Callable[[], Client],
    ) -> None:
        self.name = name
        self.cpus = cpus
        self.memory = memory
        self.labels = labels
        self.clock = clock
        self.online = online
        self.nursery = nursery
        self.client = client
        """The verbs over this engine, for a program that asks it; once it serves."""
        self.names = Names(seed)
        self.id = self.names.id()
        self.events = Events(clock)
        self.images = ImageStore(self)
        self.networks = NetworkStore(self)
        self.volumes = VolumeStore(self)
        self.host_files = Files({})
        """The simulated machine's, of which containers mount folders; it has nothing but what they write there."""
        self.containers: dict[str, Container] = {}
        """By id, the oldest first."""
        self.by_name: dict[str, Container] = {}
        self.execs: dict[str, Exec] = {}
        self.listed: dict[tuple[Any, ...], tuple[float, bytes]] = {}
        """Whole lists by what they were asked for, and until when they are true; forgotten at every change."""
        self._given = {name: contained(program) for name, program in programs.items()}
        self._programs = {name: contained(program) for name, program in PROGRAMS.items()}
        self._last_pid = 1000

    def next_pid(self) -> int:
        """A process id that was not used before."""
        self._last_pid += 1
        return self._last_pid

    def program(self, name: str, container: Container, *, first: bool = False) -> Program | None:
        """A program by its name or path in a container. What users gave comes before what a busybox has, and what they
        gave for the image is what runs as its containers' `first`.
        """
        image = container.config["Image"]
        by_image = self._given.get(image) or self._given.get(image.partition(":")[0]) if first else None
        if given := self._given.get(name) or by_image:
            return given
        node = container.files.get(name if "/" in name else f"/usr/local/bin/{name}")
        own = program_in(node)
        if own == "ryuk":
            return Ryuk(self.client(), (container.listening or {}) if first else {})
        if own in OWN:
            return OWN[own]
        if "/" in name and (node is None or node.is_folder):
            return None
        return self._programs.get(name.rpartition("/")[2])

    def listens(self, container: Container) -> bool:
        """Whether what a container runs really listens at its ports."""
        return isinstance(self.program(container.command[0], container, first=True), Ryuk)

    def find(self, ref: str) -> Container:
        """A container by id, name, or a prefix of its id.

        Raises:
            NotFound: there is none. SwarmError: it is a prefix of more than one id, or nothing at all.
        """
        if not ref:
            raise refusal(400, 'invalid name or ID supplied: ""')
        name = ref.removeprefix("/")
        found = self.containers.get(ref) or self.by_name.get(name) or self.linked(name)
        if found is not None:
            return found
        fitting = [id for id in self.containers if id.startswith(ref)]
        if len(fitting) > 1:
            raise refusal(500, f"Multiple IDs found with provided prefix: {ref}")
        if not fitting:
            raise NotFound(f"No such container: {ref}")
        return self.containers[fitting[0]]

    def linked(self, name: str) -> Container | None:
        """The container that another one has a name for, by `container/name`; None if there is none."""
        parent, _, alias = name.partition("/")
        return self.by_name[parent].links.get(alias) if parent in self.by_name else None

    def changed(self, container: Container) -> None:
        """A container is not any more what lists say."""
        container.summary = None
        self.listed.clear()

    def all_changed(self) -> None:
        """Lists are not true any more."""
        self.listed.clear()
        for container in self.containers.values():
            container.summary = None

    def tell(self, container: Container, action: str, **attributes: str) -> None:
        """Make an event of what happened to a container."""
        image = container.config["Image"]
        self.events.tell(container_event(container.id, container.name, image, container.labels, action, attributes))

    def tell_of(self, kind: str, action: str, id: str, attributes: Mapping[str, str]) -> None:
        """Make an event of what happened to another object."""
        head = {"status": action, **({"id": id} if id else {})} if kind in ("container", "image") else {}
        self.events.tell(head | {"Type": kind, "Action": action, "Actor": {"ID": id, "Attributes": dict(attributes)}})

    def tell_network(self, action: str, network: Network, container: Container | None = None) -> None:
        """Make an event of what happened to a network."""
        of = {"container": container.id} if container is not None else {}
        self.tell_of("network", action, network.id, {**of, "name": network.name, "type": network.driver})

    def containers_of(self, image: Image) -> list[Container]:
        """The containers of an image, the newest first."""
        return [each for each in reversed(self.containers.values()) if each.image is image]
