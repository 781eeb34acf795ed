"""The operations of containers, from create to remove, by the names of their rows in the routing table."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import trio

from swarmlib import Request

from ..dockerapi.operations import (
    ContainerDelete,
    ContainerKill,
    ContainerPrune,
    ContainerRename,
    ContainerRestart,
    ContainerStart,
    ContainerStop,
    ContainerWait,
)
from ..dockerapi.status import refusal, restated
from ..dockerapi.values import signal_asked, signal_number
from .events import Events
from .filters import pruned
from .finishing import Finisher
from .lifecycle import Lifecycle
from .operations import answers, ref_of
from .played import Played
from .refusals import check_not_restarting, check_running, no_link, still_runs
from .store import ContainerStore

C = TypeVar("C", bound=Played)


@dataclass(eq=False)
class ContainerOperations(ABC, Generic[C]):
    """Answers what is asked of containers. A backend says how they are made (`create`) and shown."""

    store: ContainerStore[C]
    lifecycle: Lifecycle[C]
    events: Events
    now: Callable[[], float]
    finisher: Finisher

    def find(self, request: Request) -> C:
        """Return the container that a request names. Raises `NotFound`."""
        return self.store.find(ref_of(request))

    # What a backend says.

    @answers("ContainerList")
    @abstractmethod
    async def list_containers(self, request: Request) -> Any:
        """Return the list that a request asks for."""

    @answers("ContainerCreate")
    @abstractmethod
    async def create(self, request: Request) -> dict[str, Any]:
        """Make a container; returns the answer."""

    @answers("ContainerInspect")
    @abstractmethod
    async def inspect(self, request: Request) -> dict[str, Any]:
        """Return all there is to know of a container."""

    @abstractmethod
    def state(self, container: C) -> dict[str, Any]:
        """Return how a container is."""

    def end(self, container: C) -> dict[str, Any]:
        """Return what a wait is told of a container that has ended."""
        return {"StatusCode": container.exit_code}

    async def rename(self, container: C, name: str) -> None:
        """Give a container another name, and tell it. Raises `SwarmError` if it is not a valid one, or taken."""
        before = container.name
        self.store.rename(container, name)
        self.events.tell_container(container, "rename", oldName=f"/{before}")

    async def end_for_removal(self, container: C) -> None:
        """End a container that is to be removed while it runs."""
        await self.lifecycle.kill(container)

    async def remove_link(self, ref: str) -> None:
        """Remove a link to a container. Raises `SwarmError`: there is none."""
        raise no_link()

    def size(self, container: C) -> int:
        """Return the bytes that a container has written into files."""
        return 0

    # Starting and ending.

    @answers("ContainerStart")
    async def _start(self, request: Request) -> None:
        container = self.find(request)
        if container.status == "paused":
            raise refusal(409, "cannot start a paused container, try unpause instead")
        if container.running:
            await request.reply.ack(details={"status": 304})
        else:
            if ContainerStart.of(request).checkpoint_dir:  # an engine keeps them where it wants
                raise refusal(403, "custom checkpointdir is not supported")
            await self.lifecycle.start(container)

    @answers("ContainerStop")
    async def _stop(self, request: Request) -> None:
        container = self.find(request)
        if container.running:
            asked = ContainerStop.of(request)
            await self.finisher.finish(f"the stop of {container.name}", self._stop_running, container, asked)
        else:
            await request.reply.ack(details={"status": 304})

    async def _stop_running(self, container: C, asked: ContainerRestart) -> None:
        wanted = signal_number(asked.signal) if asked.signal else container.stop_signal
        await self.lifecycle.stop(container, wanted, container.grace if asked.t is None else asked.t)

    @answers("ContainerRestart")
    async def _restart(self, request: Request) -> None:
        container = self.find(request)
        await self.finisher.finish(f"the restart of {container.name}", self._restart_found, container, request)

    async def _restart_found(self, container: C, request: Request) -> None:
        if container.running:
            with kept(container):
                await self._stop_running(container, ContainerRestart.of(request))
        with restated(f"Cannot restart container {ref_of(request)}: ", 500):
            await self.lifecycle.start(container)
        self.events.tell_container(container, "restart")

    @answers("ContainerKill")
    async def _kill(self, request: Request) -> None:
        wanted = signal_asked(ContainerKill.of(request).signal)
        with restated(f"Cannot kill container: {ref_of(request)}: "):
            container = self.find(request)
            if wanted not in signal.valid_signals():
                raise refusal(500, f"The linux daemon does not support signal {wanted % 2**64}")
            if wanted == signal.SIGKILL:
                await self.lifecycle.kill(container)
            else:
                await self.lifecycle.signal(container, wanted)

    @answers("ContainerPause")
    async def _pause(self, request: Request) -> None:
        container = self.find(request)
        check_running(container)
        if container.status == "paused":
            raise refusal(409, f"Container {container.id} is already paused")
        check_not_restarting(container)
        await self.lifecycle.pause(container)

    @answers("ContainerUnpause")
    async def _unpause(self, request: Request) -> None:
        container = self.find(request)
        if container.status != "paused":
            raise refusal(500, f"Container {container.id} is not paused")
        await self.lifecycle.unpause(container)

    @answers("ContainerWait")
    async def _wait(self, request: Request) -> None:
        container = self.find(request)
        condition = ContainerWait.of(request).condition
        ended: trio.Event | None = None
        if condition == "removed":
            ended = container.removed
        elif condition == "next-exit" or container.running:
            ended = container.exited
        await request.reply.ack()
        if ended is not None:
            await ended.wait()
        await request.reply.set(self.end(container))

    # Changing and removing.

    @answers("ContainerRename")
    async def _rename(self, request: Request) -> None:
        await self.rename(self.find(request), ContainerRename.of(request).name)

    @answers("ContainerDelete")
    async def _rm(self, request: Request) -> None:
        container, asked = self.find(request), ContainerDelete.of(request)
        if asked.link:
            await self.remove_link(ref_of(request).removeprefix("/"))
            return
        if container.running:
            if not asked.force:
                raise still_runs(container.id, container.status)
            with kept(container):  # it is removed here, also if it would remove itself
                await self.end_for_removal(container)
        await self.lifecycle.remove(container, volumes=asked.v)

    @answers("ContainerPrune")
    async def _prune(self, request: Request) -> dict[str, Any]:
        fits = pruned(ContainerPrune.of(request).filters, self.now())
        ended = [each for each in reversed(self.store) if not each.running and fits(each.labels, each.created)]
        freed = sum(map(self.size, ended))
        for each in ended:
            await self.lifecycle.remove(each, volumes=False)
        self.events.tell_object("container", "prune", "", {"reclaimed": str(freed)})
        return {"ContainersDeleted": [each.id for each in ended] or None, "SpaceReclaimed": freed}


@contextmanager
def kept(container: Played) -> Generator[None]:
    """Keep a container from removing itself."""
    container.stoppers += 1
    try:
        yield
    finally:
        container.stoppers -= 1
