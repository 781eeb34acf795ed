"""The health of containers, as it is checked in their Pods.

One process in a Pod checks, whether gateways look or not; each gateway follows its results over one stream. What the
status of a container is, its record says, so that all gateways agree and know it at once when they come; the last
checks come from the streams.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import trio

from swarmlib import BadAnswer, Denied, NotFound, SwarmError
from swarmlib.supervision import supervised

from ..enginekit.health import Plan
from .attach import remote
from .cluster import Cluster
from .container import PodContainer
from .pods import health, names
from .pods.record import Health
from .pods.status import State
from .streams.remote import RemoteCommand

_log = logging.getLogger(__name__)
_LONGEST_LINE: Final = 256 * 1024
_PAUSE_SECONDS: Final = 5.0
"""How long a stream that broke is waited for."""

_Run: TypeAlias = tuple[int, int]
"""A run of a container, and how often the cluster has restarted it."""


@dataclass(eq=False)
class HealthChecks:
    """Follows the checks of all containers that run."""

    cluster: Cluster
    nursery: trio.Nursery
    _followed: dict[str, tuple[_Run, trio.CancelScope]] = field(
        default_factory=dict[str, tuple[_Run, trio.CancelScope]]
    )
    """By the ids of containers."""

    def __post_init__(self) -> None:
        self.cluster.mirror.listeners.append(self._changed)

    def _changed(self, container: PodContainer, before: State | None) -> None:
        plan = health.plan(container.record, self.cluster.options)
        if plan is None:
            return
        run = _run_of(container)
        followed, scope = self._followed.get(container.id, (None, None))
        if scope is not None and run != followed:
            scope.cancel()
            del self._followed[container.id]
            if run is None and not (container.removed.is_set() or container.host.get("AutoRemove")):
                self._start_soon(container, self._note_end)
        if run is not None and run != followed:
            scope = trio.CancelScope()
            self._followed[container.id] = run, scope
            self._start_soon(container, self._follow, scope, plan)

    def _start_soon(self, container: PodContainer, run: Callable[..., Awaitable[None]], *args: object) -> None:
        name = f"kubernetes: the health of {container.name}"
        self.nursery.start_soon(supervised, name, run, container, *args)

    async def _follow(self, container: PodContainer, scope: trio.CancelScope, plan: Plan) -> None:
        """Follow the checks of a run to its end."""
        with scope:
            while True:
                try:
                    await self._listen(container, plan)
                except Denied as exc:
                    _log.warning("kubernetes: the health of %s is not known: %s", container.name, exc)
                    return
                except SwarmError as exc:
                    _log.info(
                        "kubernetes: the checks of %s were lost, and are looked for again: %s", container.name, exc
                    )
                await trio.sleep(_PAUSE_SECONDS)

    async def _listen(self, container: PodContainer, plan: Plan) -> None:
        words = health.command(container.record, plan, self.cluster.options)
        command = RemoteCommand("exec", names.MAIN, words, stdin=True)
        async with remote(self.cluster, container, command) as process:
            buffer = b""
            while (received := await process.receive()) is not None:
                stream, data = received
                if stream == "stdout":
                    *lines, buffer = (buffer + data).split(b"\n")
                    if lines:  # a later state says more than those before it
                        await self._take(container, health.read(lines[-1], plan))
                    if len(buffer) > _LONGEST_LINE:
                        raise BadAnswer("the Pod gave a state of health that is too long")

    async def _take(self, container: PodContainer, found: Health) -> None:
        """Note what is known of a container's health, and write it down if its status is another one."""
        run, started = container.record.run, container.state.started
        container.note_health(found)
        with suppress(NotFound):  # it was removed meanwhile
            await self.cluster.change(container, lambda each: health.noted(each, run, found, started))

    async def _note_end(self, container: PodContainer) -> None:
        """Write down the last checks of a run that has ended."""
        last, run = container.state.health or Health(), container.record.run
        with suppress(NotFound):
            await self.cluster.change(container, lambda each: health.ended(each, run, last))


def _run_of(container: PodContainer) -> _Run | None:
    """Return the run of a container that is under way; None if none is."""
    runs = container.status in ("running", "paused") and not container.removed.is_set()
    return (container.record.run, container.state.restarts) if runs else None
