"""`simulator`: a Docker engine in memory, for tests, demonstrations and benchmarks, of any size and with its own clock.

It speaks the Engine API's own objects and behaves as dockerd does, in the families of containers, execs, images and
their classic builds, networks, volumes, events and the system. What runs in its containers are simulated programs:
those that `programs` and `shell` know, and those that users give as Python functions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from swarmlib import Client, Invalid, option
from swarmlib.quantities import Size

from ..dockerapi.references import normal
from ..enginekit.clock import Clock
from ..enginekit.operations import operations_of
from ..enginekit.server import EngineServer
from ..enginekit.swarmless import Swarmless
from . import create
from .build.builds import Builds
from .container import Container, Endpoint
from .container_files import ContainerFiles
from .containers import Containers
from .engine import Engine
from .execs import Execs
from .image_operations import ImageOperations
from .image_tars import ImageTars
from .lifecycle import Lifecycle
from .names import Names
from .network_operations import NetworkOperations
from .process import Program
from .system import System

_BUSYBOX: Final = "busybox:latest"
_BODY: Final[dict[str, Any]] = {"Image": "busybox", "Cmd": ["sleep", "infinity"]}
_MAX_ON_BRIDGE: Final = 60_000
"""The bridge has no more addresses than 65,533: what is seeded beyond has the host's network."""


@dataclass
class Simulator(EngineServer):
    """A Docker engine in memory, with simulated programs, images, networks, volumes and events."""

    containers: int = option("start with N running containers", default=0)
    image: list[str] = option("image that exists from the start, besides busybox", default=[])
    cpus: int = option("number of CPUs", default=4)
    memory: Size = option("amount of memory", default=2**34)
    hostname: str = option("name of the engine", default="simulator", metavar="NAME")
    label: list[str] = option("label of the engine, such as region=eu", default=[], metavar="NAME=VALUE")
    seed: int | None = option("seed of ids and names, which are then the same each time", default=None)
    offline: bool = option("make registries unreachable, so that pulls of missing images fail", default=False)
    clock: Clock | None = None
    """The engine's time, for who wants to move it ahead; by default its own."""
    programs: Mapping[str, Program] = field(default_factory=dict[str, Program])
    """Programs by their names, or by the image whose containers run them whatever their command is."""

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if self.cpus < 1:
            raise Invalid(f"--cpus must be 1 or more, not {self.cpus}")
        if self.containers < 0:
            raise Invalid(f"--containers must be 0 or more, not {self.containers}")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the engine's objects, and the tasks of what runs."""
        async with trio.open_nursery() as nursery:
            engine = Engine(
                name=self.hostname,
                cpus=self.cpus,
                memory=self.memory,
                labels=self.label,
                clock=self.clock or Clock(),
                names=Names(self.seed),
                online=not self.offline,
                nursery=nursery,
                given=self.programs,
                client=lambda: Client(self.inlet),
            )
            life = Lifecycle(engine)
            containers = Containers(engine, life)
            seed(engine, containers, life, images=self.image, count=self.containers)
            self.operations = operations_of(
                self,
                containers,
                ContainerFiles(engine),
                Execs(engine, life),
                ImageOperations(engine),
                ImageTars(engine),
                Builds(engine, containers, life),
                NetworkOperations(engine),
                engine.volumes,
                engine.events,
                System(engine),
                Swarmless(self.name),
            )
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()


def seed(engine: Engine, containers: Containers, life: Lifecycle, *, images: Sequence[str], count: int) -> None:
    """Fill an engine.

    Raises:
        SwarmError: a reference is none.
    """
    for ref in (_BUSYBOX, *map(normal, images)):
        if engine.images.lookup(ref) is None:
            engine.images.add_runnable(ref)
    image = engine.images.find(_BUSYBOX)
    on_bridge, on_host = (
        create.host_of(_BODY, engine),
        create.host_of(_BODY | {"HostConfig": {"NetworkMode": "host"}}, engine),
    )
    config = create.config_of(_BODY | {"Hostname": "seeded"}, image, "")
    for number in range(count):
        host, network = (on_bridge, "bridge") if number < _MAX_ON_BRIDGE else (on_host, "host")
        name = engine.names.name(engine.containers.named)
        container = Container(engine.names.id(), name, engine.clock.now(), image, config, host, {network: Endpoint()})
        containers.add(container)
        engine.networks.join(container, engine.networks.find(network), {})
        life.mark_running(container, engine.next_pid())
