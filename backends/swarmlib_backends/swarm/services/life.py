"""The life of containers that are services: what starts, ends and removes them."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import trio

from swarmlib import CLEANUP_SECONDS, Conflict, NotFound, Request, SwarmError, Unavailable, Unsupported, Verb

from ...dockerapi.status import refusal
from ...enginekit.refusals import not_running
from ...enginekit.store import ContainerStore
from .container import ServiceContainer
from .following import Following
from .spec import restarts


@dataclass(frozen=True)
class ServiceLifecycle:
    """See `Lifecycle`. What is asked of a process is asked of the engine of its node, the rest of the swarm."""

    store: ContainerStore[ServiceContainer]
    following: Following

    async def start(self, container: ServiceContainer) -> None:
        """See `Lifecycle.start`: it has begun once its task runs, or has run."""
        before, ended = container.task, _end(container)
        container.status, container.error = "starting", ""
        await self.following.change(container, again=before is not None)
        await self.following.until(
            lambda: container not in self.store or container.task is not before or bool(container.error)
        )
        if container.error:
            failure = _not_begun(container.error)
            await self._rest(container, ended)
            container.give_up()
            self.following.ended(container)
            raise failure

    async def stop(self, container: ServiceContainer, number: int, grace: float) -> None:
        """See `Lifecycle.stop`."""
        if container.status == "running":
            ended = container.exited
            await self._signalled(container, number)
            with trio.move_on_after(grace if grace >= 0 else float("inf")) as waiting:
                await ended.wait()
            if waiting.cancelled_caught:
                await self._signalled(container, signal.SIGKILL)
                await ended.wait()
            if not restarts(container.config):
                return  # the swarm leaves it as it is, and its task tells all about it
        await self._rest(container, _end(container))

    async def kill(self, container: ServiceContainer) -> None:
        """See `Lifecycle.kill`."""
        if not container.running:
            raise not_running(container.id)
        await self.stop(container, signal.SIGKILL, -1)

    async def signal(self, container: ServiceContainer, number: int) -> None:
        """See `Lifecycle.signal`."""
        member, id = self.following.place(container)
        await member.ask(Request(Verb.STOP, ("containers", id, "kill"), {"signal": str(number)}))

    async def _signalled(self, container: ServiceContainer, number: int) -> None:
        with suppress(Conflict, NotFound):  # it has just ended
            await self.signal(container, number)

    async def pause(self, container: ServiceContainer) -> NoReturn:
        """See `Lifecycle.pause`."""
        raise Unsupported(f"{container.name} is a swarm service, which can't be paused")

    unpause = pause

    async def remove(self, container: ServiceContainer, *, volumes: bool) -> None:
        """See `Lifecycle.remove`; one that is gone is left alone. Anonymous volumes are left to their nodes."""
        with suppress(NotFound):
            await self.following.ask(Request(Verb.RM, ("services", container.service)))
        self.following.forget(container)

    async def remove_itself(self, container: ServiceContainer) -> None:
        """Remove a container that removes itself, once its output has been read."""
        with trio.move_on_after(CLEANUP_SECONDS):
            await container.read.wait()
        if not container.stoppers:
            await self.remove(container, volumes=True)

    async def _rest(self, container: ServiceContainer, ended: str | None) -> None:
        """Let the swarm run it no more; `ended` tells how its last run ended, if it has had one."""
        await self.following.change(container, run=False, ended=ended)
        await self.following.sync()


def _end(container: ServiceContainer) -> str | None:
    return None if container.task is None else container.end


def _not_begun(error: str) -> SwarmError:
    """Return the error of a start that failed, as an engine's if it is one."""
    if "no suitable node" in error:
        return Unavailable(f"the swarm can't place this container: {error}")
    return refusal(404 if "No such image" in error else 500, error)
