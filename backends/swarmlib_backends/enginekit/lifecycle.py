"""The life of containers that are played: what starts, ends and removes them."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import trio

from swarmlib import SwarmError
from swarmlib.supervision import supervised

from .container import Container
from .events import Events
from .refusals import check_running
from .store import ContainerStore

C_contra = TypeVar("C_contra", contravariant=True)
C = TypeVar("C", bound=Container)


class Lifecycle(Protocol[C_contra]):
    """What the operations of containers let happen to one. Each raises `SwarmError` where that can't be."""

    async def start(self, container: C_contra, /) -> None:
        """Start one that doesn't run."""

    async def stop(self, container: C_contra, number: int, grace: float, /) -> None:
        """Ask one by a signal to end, kill it after `grace` seconds (never if that is negative), wait for its end."""

    async def kill(self, container: C_contra, /) -> None:
        """Kill one, and wait for its end."""

    async def signal(self, container: C_contra, number: int, /) -> None:
        """Send one a signal."""

    async def pause(self, container: C_contra, /) -> None:
        """Let nothing in one that runs go on."""

    async def unpause(self, container: C_contra, /) -> None:
        """Let one that is paused go on."""

    async def remove(self, container: C_contra, /, *, volumes: bool) -> None:
        """Remove one that doesn't run; with its anonymous volumes, if that is asked for."""


@dataclass(frozen=True)
class Runner(Generic[C]):
    """Runs `Container`s: each run is a task of the `nursery`. `backend` names it in logs."""

    backend: str
    store: ContainerStore[C]
    events: Events
    nursery: trio.Nursery

    async def start(self, container: C) -> None:
        """See `Lifecycle.start`. One that can't be started is removed if it removes itself."""
        try:
            await container.start()
        except SwarmError:
            self._end(container)
            raise
        self.events.tell_container(container, "start")
        self.nursery.start_soon(self._live, container)

    async def _live(self, container: C) -> None:
        await supervised(f"{self.backend}: the workload {container.name}", container.supervise)
        self.events.tell_container(container, "die", exitCode=str(container.exit_code))
        container.tell_exit()
        self._end(container)

    def _end(self, container: C) -> None:
        if container.host.get("AutoRemove") and not container.stoppers:
            self._discard(container)

    async def stop(self, container: C, number: int, grace: float) -> None:
        """See `Lifecycle.stop`."""
        await container.stop(number, grace)

    async def stop_all(self, grace: float) -> None:
        """Stop all that run, as before the backend closes."""
        async with trio.open_nursery() as nursery:
            for container in self.store:
                if container.running:
                    nursery.start_soon(container.stop, signal.SIGTERM, grace)

    async def kill(self, container: C) -> None:
        """See `Lifecycle.kill`."""
        check_running(container)
        await container.stop(signal.SIGKILL, 0)

    async def signal(self, container: C, number: int) -> None:
        """See `Lifecycle.signal`."""
        container.signal(number)

    async def pause(self, container: C) -> None:
        """See `Lifecycle.pause`."""
        container.pause()
        container.status = "paused"
        self.events.tell_container(container, "pause")

    async def unpause(self, container: C) -> None:
        """See `Lifecycle.unpause`."""
        container.unpause()
        container.status = "running"
        self.events.tell_container(container, "unpause")

    async def remove(self, container: C, *, volumes: bool = False) -> None:
        """See `Lifecycle.remove`; one that was removed meanwhile is left alone."""
        self._discard(container)

    def _discard(self, container: C) -> None:
        if self.store.remove(container):
            container.removed.set()
            self.events.tell_container(container, "destroy")
