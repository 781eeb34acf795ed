"""What follows from the changes in a cluster: events are told, ends are noted, and what removes itself is removed.

Every gateway of a namespace sees the same changes and draws the same conclusions. What they write is the same too, so
that it does not matter which of them is first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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
        else:
            self._moved(container, before)

    def tell_removal(self, container: PodContainer, before: State | None) -> None:
        """Listen to the mirror as the last, so that all that goes before a removal is told before it."""
        if container.removed.is_set():
            self.events.tell_container(container, "destroy")

    def _moved(self, container: PodContainer, before: State) -> None:
        after = container.state
        if after.running and not before.running:
            self.events.tell_container(container, "start")
        if before.status != "paused" and after.status == "paused":
            self.events.tell_container(container, "pause")
        if before.status == "paused" and after.status == "running":
            self.events.tell_container(container, "unpause")
        self._tell_health(container, before)
        if after.restarts > before.restarts:
            self.events.tell_container(container, "die", exitCode=str(after.exit_code))
            self.events.tell_container(container, "start")
        if after.status == "exited" and before.status != "exited":
            if not before.running:  # its end came together with its start
                self.events.tell_container(container, "start")
            self._exited(container)
        elif after.status == "created" and before.running:
            self.events.tell_container(container, "die", exitCode=str(after.exit_code))
            self._start_soon(container, self._note_failure)

    def _tell_health(self, container: PodContainer, before: State) -> None:
        known, now = before.health, container.state.health
        if container.running and known and now and now.status not in (known.status, "starting"):
            self.events.tell_container(container, f"health_status: {now.status}")

    def _told_end(self, container: PodContainer, before: State | None) -> None:
        if before is not None and before.running:
            self.events.tell_container(container, "die", exitCode=str(_KILLED))

    def _exited(self, container: PodContainer) -> None:
        if container.state.oom_killed:
            self.events.tell_container(container, "oom")
        self.events.tell_container(container, "die", exitCode=str(container.exit_code))
        self._start_soon(container, self._note_end)

    def _look_after(self, container: PodContainer) -> None:
        """See to a container that was there before this gateway."""
        if container.status == "exited":
            self._start_soon(container, self._note_end)
        elif container.record.wanted == "running" and not container.running:
            self._start_soon(container, self._note_loss)

    def _start_soon(self, container: PodContainer, run: Callable[[PodContainer], Awaitable[None]]) -> None:
        name = f"{self.backend}: what follows for {container.name}"
        self.nursery.start_soon(supervised, name, run, container)

    async def _note_end(self, container: PodContainer) -> None:
        """Write down how a container has ended, before its Pod is gone; or remove it, if it removes itself."""
        try:
            if container.host.get("AutoRemove"):
                await self._remove_itself(container)
            else:
                end = _end_of(container)
                await self.cluster.change(container, lambda each: _with_end(each, end))
        except NotFound:
            pass  # it was removed meanwhile

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
        with trio.move_on_after(max(container.record.started + _LOST_SECONDS - self.now(), 0)):
            await container.until(lambda each: each.running or each.status == "exited")
            return
        lost = Ended(container.record.run, _KILLED, container.record.started, self.now(), error="its Pod is gone")
        await self.cluster.change(container, lambda each: _with_end(each, lost))


def _end_of(container: PodContainer) -> Ended:
    state = container.state
    return Ended(container.record.run, state.exit_code, state.started, state.finished, state.oom_killed, state.error)


def _with_end(record: Record, end: Ended) -> Record:
    return record if record.run != end.run else replace(record, last=end)
