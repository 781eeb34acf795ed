"""`simulator`: a Docker engine in memory, for tests, demonstrations and benchmarks, of any size and with its own clock.

It speaks the Engine API's own objects and behaves as dockerd does, in the families of containers, execs, images and
their classic builds, networks, volumes, events and the system. What runs in its containers are simulated programs:
those that `programs` and `shell` know, and those that users give as Python functions.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from swarmlib import Client, Invalid, Request, Server, Unsupported, Verb, option

from ..dockerapi import table
from ..dockerapi.clock import Clock
from ..dockerapi.played import played
from ..dockerapi.rows import ROWS
from ..dockerapi.streams import send_lines
from . import views
from .asked import ref_of
from .build.builds import Builds
from .containers import Containers
from .engine import Engine
from .execs import Execs
from .image_tars import ImageTars
from .lifecycle import Lifecycle
from .process import Program, Run
from .seed import seed
from .system import System

__all__ = ["Clock", "Program", "Run", "Simulator"]

_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass
class Simulator(Server):
    """A Docker engine in memory: containers that run simulated programs, images, networks, volumes, events."""

    containers: int = option("running containers that are there from the start", default=0)
    images: list[str] = option("an image that is there from the start, besides busybox", default=[], name="image")
    cpus: int = option("CPUs of the machine", default=4)
    memory: str = option("memory of the machine, such as 16g", default="16g")
    hostname: str = option("the engine's name", default="simulator", name="name")
    labels: list[str] = option("a label of the engine, such as region=eu", default=[], name="label")
    seed: int | None = option("makes ids and names the same each time", default=None)
    offline: bool = option("no registry can be reached: a pull of what is not there fails", default=False)
    clock: Clock | None = None
    """The engine's time, for who wants to move it ahead; by default its own."""
    programs: Mapping[str, Program] = field(default_factory=dict[str, Program])
    """Programs by their names, or by the image whose containers run them whatever their command is."""

    def __post_init__(self) -> None:
        self._memory = _bytes(self.memory)
        if self.cpus < 1 or self.containers < 0:
            raise Invalid("an engine has one CPU at least, and no less than 0 containers")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the engine's objects, and the tasks of what runs."""
        async with trio.open_nursery() as nursery:
            engine = self._engine = Engine(
                name=self.hostname,
                cpus=self.cpus,
                memory=self._memory,
                labels=self.labels,
                clock=self.clock or Clock(),
                seed=self.seed,
                online=not self.offline,
                programs=self.programs,
                nursery=nursery,
                client=lambda: Client(self.inlet),
            )
            life = Lifecycle(engine)
            containers = Containers(engine, life)
            seed(engine, containers, life, images=self.images, count=self.containers)
            stores = (engine.images, engine.networks, engine.volumes)
            families = (
                containers,
                Execs(engine, life),
                ImageTars(engine),
                Builds(engine, containers, life),
                System(engine),
                *stores,
            )
            self._operations = {name: each for family in families for name, each in family.operations.items()}
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    def handlers(self) -> Mapping[Verb, Any]:
        """Every verb of the table; `attach` is made of what an engine has several rows for."""
        return played({row.verb: self._answer for row in ROWS} | {Verb.ATTACH: self._attach})

    async def _answer(self, request: Request) -> Any:
        row = table.row_of(request.verb, request.path, upload=request.upload is not None)
        operation = self._operations.get(row.name)
        if operation is None:
            where = "/".join(request.path) or "the service"
            raise Unsupported(f"the simulator has no {row.name} ({request.verb} on {where})", path=request.path)
        return await operation(request)

    async def _attach(self, request: Request) -> None:
        """A container's output as `log` messages, and its state when it ends."""
        if len(request.path) != 2 or request.path[0] != "containers":
            raise Unsupported("only a container can be attached to", path=request.path)
        container, reply = self._engine.find(ref_of(request)), request.reply
        follower = container.output.follow(from_start=True)
        try:
            await reply.ack()
            await send_lines(follower, reply)
        finally:
            follower.close()
        await reply.set(views.state(container))


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", text.lower())
    if found is None:
        raise Invalid(f"{text!r} is no size; 16g and 512m are")
    return int(found[1]) * _UNITS[found[2]]
