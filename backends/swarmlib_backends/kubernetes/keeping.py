"""Containers that are kept (`--keep`): their Pods outlive their runs, whose ends a command in the Pod tells.

Every gateway follows every run, and writes the same about it, so that it does not matter which of them lives on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import trio

from swarmlib import BadAnswer, SwarmError
from swarmlib.supervision import supervised

from . import tools
from .cluster import Cluster
from .container import PodContainer
from .following import READY_SECONDS
from .pods import runs, status
from .pods.health import initial
from .pods.record import Ended, Health, Record
from .pods.status import State

_log = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 1.0
"""How long a run is left alone that could not be followed."""
_FIRST_BACKOFF: Final = 0.1
_LONGEST_BACKOFF: Final = 60.0
_LONG_ENOUGH: Final = 10.0
"""Seconds after which a run counts as a good one: the pause before the next one is the shortest again, as in an engine.
"""


@dataclass(eq=False)
class Keeper:
    """Follows the runs of containers that are kept, notes their ends, and has them run again by their policies."""

    cluster: Cluster
    nursery: trio.Nursery
    now: Callable[[], float]
    backend: str
    _followed: set[str] = field(default_factory=set[str])
    """The ids of the containers that are followed now."""
    _unknown: dict[str, trio.Event] = field(default_factory=dict[str, trio.Event])
    """The ids of those that ran when this gateway began, and may have ended before; each event is set when that is
    known."""

    def __post_init__(self) -> None:
        self.cluster.mirror.listeners.append(self._changed)

    async def ready(self) -> None:
        """Wait until it is known of all runs that went on when this gateway began whether they still do.

        It does not wait for long: of a Pod that can't be reached, nothing is known.
        """
        with trio.move_on_after(READY_SECONDS):
            for event in list(self._unknown.values()):
                await event.wait()

    def _known(self, container: PodContainer) -> None:
        if (event := self._unknown.pop(container.id, None)) is not None:
            event.set()

    def _changed(self, container: PodContainer, before: State | None) -> None:
        if _goes_on(container) and container.id not in self._followed:
            if not self.cluster.mirror.complete:
                self._unknown[container.id] = trio.Event()
            self._followed.add(container.id)
            name = f"{self.backend}: the runs of {container.name}"
            self.nursery.start_soon(supervised, name, self._follow, container)

    async def _follow(self, container: PodContainer) -> None:
        backoff = 0.0
        try:
            while _goes_on(container):
                if container.record.restarts_again:
                    backoff = _next_backoff(container.record, backoff)
                    await self._run_again(container, backoff)
                else:
                    await self._end(container)
        finally:
            self._followed.discard(container.id)
            self._known(container)

    async def _end(self, container: PodContainer) -> None:
        """Wait for the end of a run, and note it."""
        run = container.record.run
        try:
            known = partial(self._on_output, container)
            ran = await tools.run_or_end(self.cluster, container, runs.end(container.record), "wait", known)
            end = runs.read_end(ran.output)
            if end.run != run:
                raise BadAnswer(f"the Pod of {container.name} told of the run {end.run} instead of {run}")
            await self.cluster.change(container, lambda each: _with_end(each, end))
        except SwarmError as exc:
            with trio.move_on_after(_PAUSE_SECONDS):
                await container.until(lambda each: not _goes_on(each))
                return  # its Pod has ended, and tells how
            _log.warning("%s: %s is followed again: %s", self.backend, container.name, exc)

    def _on_output(self, container: PodContainer, output: bytes) -> None:
        if output.startswith(runs.GOES_ON):
            self._known(container)

    async def _run_again(self, container: PodContainer, pause: float) -> None:
        """Have a container run again after a pause, unless somebody else does, or it is stopped meanwhile."""
        run = container.record.run
        with trio.move_on_after(pause):
            await container.until(lambda each: not each.record.restarts_again)
            return
        try:
            health = initial(container.record, self.cluster.options)
            await self.cluster.change(container, lambda each: _next_run(each, run, self.now(), health))
        except SwarmError as exc:
            _log.warning("%s: %s can't be restarted: %s", self.backend, container.name, exc)
            await trio.sleep(_PAUSE_SECONDS)


def _goes_on(container: PodContainer) -> bool:
    """Return whether a run of a container that is kept goes on, or another one will follow."""
    return container.record.keep and container.running and not container.removed.is_set()


def _next_backoff(record: Record, before: float) -> float:
    """Return how long a container waits for its next run. before: how long it has waited for its last one."""
    last = record.last
    if last is not None and last.finished - last.started >= _LONG_ENOUGH:
        before = 0.0
    return min(2 * before or _FIRST_BACKOFF, _LONGEST_BACKOFF)


def _with_end(record: Record, end: runs.End) -> Record:
    """Return a record with the end of a run; or with why it could not begin."""
    if record.run != end.run or (record.last is not None and record.last.run == end.run):
        return record
    if (failed := status.unable(end.terminated)) is not None:
        return replace(record, wanted="created", error=failed[1])
    finished = max(end.at, record.started)
    return replace(record, paused=False, last=Ended(end.run, end.code, record.started, finished, end.oom_killed))


def _next_run(record: Record, run: int, now: float, health: Health | None) -> Record:
    """Return a record of which the run after `run` begins, if that was its last one."""
    if record.run != run or not record.restarts_again:
        return record
    return replace(record, run=run + 1, started=now, restarts=record.restarts + 1, health=health)
