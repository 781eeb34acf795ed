"""What follows from the changes in a cluster: events are told, ends are noted, and what removes itself is removed.

Every gateway of a namespace sees the same changes and draws the same conclusions. What they write is the same too, so
that it does not matter which of them is first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import trio

from swarmlib import NotFound
from swarmlib.supervision import supervised

from ..enginekit.events import Events
from .cluster import Cluster
from .container import PodContainer
from .pods.record import Ended, Record
from .pods.status import State

_OTHERS_SECONDS: Final = 30.0
"""How long a container that removes itself is left to the gateway that started it, which may still read its output."""
_LOST_SECONDS: Final = 60.0
"""How long a run that was begun may be without a Pod before it counts as lost."""
_KILLED: Final = 137


@dataclass(eq=False)
class Happenings:
    """Listens to a mirror."""

    cluster: Cluster
    events: Events
    nursery: trio.Nursery
    now: Callable[[], float]
    backend: str

    def __post_init__(self) -> None:
        self.cluster.mirror.listeners.append(self._changed)

    def _changed(self, container: PodContainer, before: State | None) -> None:
        """Draw the conclusions of a change."""
        known = self.cluster.mirror.complete
        if container.removed.is_set():
            self._told_end(container, before)
        elif before is None:
            if known:
                self.events.tell_container(container, "create")
            else:
                self._look_after(container)
                if container.record.wanted == "running" and container.status == "created":
                    self._start_soon(container, self._note_loss)
        else:
            self._moved(container, before)

    def tell_removal(self, container: PodContainer, before: State | None) -> None:
        """Listen to the mirror as the last, so that all that goes before a removal is told before it."""
        if container.removed.is_set():
            self.events.tell_container(container, "destroy")

    def _moved(self, container: PodContainer, before: State) -> None:
        after, seen = container.state, before.status in ("running", "paused")
        ended = container.has_ended_since(before)
        if ended and (container.begins or not seen):  # its end came together with its start
            tell_start(self.events, container)
        if ended:
            self._tell_end(container)
        if after.status == "running" and (ended or not (seen or container.begins)):
            tell_start(self.events, container)
        if before.status != "paused" and after.status == "paused":
            self.events.tell_container(container, "pause")
        if before.status == "paused" and after.status == "running":
            self.events.tell_container(container, "unpause")
        self._tell_health(container, before)
        if after.status == "created" and before.running and not container.begins:
            self._tell_end(container)
            self._start_soon(container, self._note_failure)
        elif (after.status, after.restarts) != (before.status, before.restarts):
            self._look_after(container)

    def _tell_health(self, container: PodContainer, before: State) -> None:
        known, now = before.health, container.state.health
        if container.running and known and now and now.status not in (known.status, "starting"):
            self.events.tell_container(container, f"health_status: {now.status}")

    def _told_end(self, container: PodContainer, before: State | None) -> None:
        if before is not None and before.running:
            self.events.tell_container(container, "die", exitCode=str(_KILLED))

    def _tell_end(self, container: PodContainer) -> None:
        if container.state.oom_killed:
            self.events.tell_container(container, "oom")
        self.events.tell_container(container, "die", exitCode=str(container.exit_code))

    def _is_restarted_enough(self, container: PodContainer) -> bool:
        """Return whether a container is not to be restarted by the cluster, which itself counts no restarts."""
        record = container.record
        return container.status == "restarting" and not record.keep and 0 < record.retries <= container.state.restarts

    def _look_after(self, container: PodContainer) -> None:
        """See to a container in a new state, or one that was there before this gateway."""
        if container.status == "exited" and not container.record.error:
            self._start_soon(container, self._note_end)
        elif self._is_restarted_enough(container):
            self._start_soon(container, self._give_up)

    def _start_soon(self, container: PodContainer, run: Callable[[PodContainer], Awaitable[None]]) -> None:
        name = f"{self.backend}: what follows for {container.name}"
        self.nursery.start_soon(supervised, name, run, container)

    async def _note_end(self, container: PodContainer) -> None:
        """Write down how a container has ended, before its Pod is gone; or remove it, if it removes itself."""
        try:
            if container.host.get("AutoRemove"):
                await self._remove_itself(container)
            else:
                await self._write_end(container)
        except NotFound:
            pass  # it was removed meanwhile

    async def _write_end(self, container: PodContainer) -> None:
        state, run = container.state, container.record.run
        end = Ended(run, state.exit_code, state.started, state.finished, state.oom_killed, state.error)
        await self.cluster.change(container, lambda each: _with_end(each, end, state.restarts))

    async def _give_up(self, container: PodContainer) -> None:
        """Let the cluster restart a container no more: it has ended."""
        with suppress(NotFound):  # it was removed meanwhile
            await self.cluster.change(container, lambda each: replace(each, wanted="stopped"))
            await self._write_end(container)
            await self.cluster.end_pod(container)

    async def _note_failure(self, container: PodContainer) -> None:
        """Write down that a start has failed which seemed to succeed; or remove what removes itself."""
        try:
            if container.host.get("AutoRemove"):
                await self._remove_itself(container)
            else:
                error = container.state.error
                await self.cluster.change(container, lambda each: replace(each, wanted="created", error=error))
        except NotFound:
            pass  # it was removed meanwhile

    async def _remove_itself(self, container: PodContainer) -> None:
        if not container.started_here:
            await trio.sleep(_OTHERS_SECONDS)
        await container.until(lambda each: not each.stoppers)
        if not container.removed.is_set():
            await self.cluster.remove(container)

    async def _note_loss(self, container: PodContainer) -> None:
        """Write down that a run has ended whose Pod is gone, and nobody has seen how it ended."""
        await self.cluster.mirror.completed()  # its Pod may be told after its record
        with trio.move_on_after(max(container.record.started + _LOST_SECONDS - self.now(), 0)):
            await container.until(lambda each: each.running or each.status == "exited")
            return
        lost = Ended(container.record.run, _KILLED, container.record.started, self.now(), error="its Pod is gone")
        await self.cluster.change(container, lambda each: _with_end(each, lost, each.restarts))


def tell_start(events: Events, container: PodContainer) -> None:
    """Tell that a container has begun."""
    container.begins = False
    events.tell_container(container, "start")


def _with_end(record: Record, end: Ended, restarts: int) -> Record:
    """Return a record with the end of its run, unless that is known already, and with how often it was restarted."""
    known = record.last is not None and record.last.run == record.run
    return record if known or record.run != end.run else replace(record, last=end, restarts=restarts)
