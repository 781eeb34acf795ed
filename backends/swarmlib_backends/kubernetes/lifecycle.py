"""The life of containers in a cluster: started, stopped, killed, paused, removed.

Each step is first written into the record, and then done: whoever looks at the cluster afterwards, this gateway or
another one, knows what was wanted.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import trio

from swarmlib import CLEANUP_SECONDS, BadAnswer, SwarmError, TimedOut, Unsupported
from swarmlib.errors import ungrouped

from ..dockerapi.status import refusal
from ..enginekit.events import Events
from ..enginekit.refusals import check_running
from . import binds, linking, started, starting, tools
from .binds import Binds
from .cluster import Cluster
from .container import PodContainer
from .following import READY_SECONDS
from .happenings import tell_start
from .networking import Networking
from .pods import runs, status
from .pods.health import initial
from .pods.publishing import PortMap
from .pods.record import Health, Record
from .pods.shim import BUSYBOX, FOLDER

_TOLD_SECONDS: Final = 3.0
"""How much later than a container's end the cluster may tell it."""
_SEND: Final = f'p=$({BUSYBOX} cat {FOLDER}/pid) && kill -"$1" "$p"'
"""Sends a signal to the first process of a container's command."""
_SEND_ALL: Final = 'kill -"$1" -1'
"""Sends a signal to all processes but the sender, a shell without children, and the Pod's first one, which only waits.
"""


@dataclass(frozen=True)
class Lifecycle:
    """Moves the containers of a cluster from state to state. What is told of it, the mirror's changes tell."""

    cluster: Cluster
    networking: Networking
    events: Events
    now: Callable[[], float]
    binds: Binds
    start_seconds: float
    """How long a Pod may wait for a node that has room for it."""

    # Start.

    async def start(self, container: PodContainer) -> None:
        """See `enginekit.Lifecycle`. Returns when it runs, or has already ended."""
        _check_can_start(container)
        try:
            await self._start(container)
        except SwarmError as exc:
            await self._failed(container, exc)
            raise
        finally:
            container.begins = False

    async def _start(self, container: PodContainer) -> None:
        container.started_here = True
        run, waits = container.record.run + 1, container.pod is not None
        linked = linking.variables(container, self.cluster.mirror.containers)
        async with self.networking.starting(container) as ports:
            gate = bool(linked)  # the run gets its variables as it begins
            container.begins = waits or container.record.keep or gate
            health = initial(container.record, self.cluster.options)
            await self.cluster.change(container, lambda each: self._started(each, run, ports, health, linked))
            await self.networking.linked(container)
            if not waits:
                await self.cluster.make_pod(container, run=run, gate=gate)
            if container.begins:
                await self._at_gate(container)
                await self._begin(container)
            await self._begun(container)
            if container.begins:
                tell_start(self.events, container)

    async def _begin(self, container: PodContainer) -> None:
        """Let a run begin for which the Pod waits. Raises `SwarmError`: its command can't be run."""
        ran = await tools.run_or_end(self.cluster, container, runs.begin(container.record), "start")
        if ran.output:
            raise starting.not_begun(ran.output.decode("utf-8", "replace"))
        if ran.code == 0:
            return
        await self._begun(container)
        with trio.move_on_after(READY_SECONDS):  # the command may have ended together with the Pod's processes
            await container.until(lambda each: not each.running)
        if container.running:
            said = ran.errors.decode("utf-8", "replace")
            raise BadAnswer(f"the Pod of {container.name} did not let it begin: {said}")

    def _started(
        self, record: Record, run: int, ports: PortMap, health: Health | None, linked: Mapping[str, str]
    ) -> Record:
        begun = replace(record, wanted="running", run=run, started=self.now(), restarts=0, paused=False, error="")
        return replace(begun, ports=ports, via=self.cluster.options.ports, health=health, linked=linked)

    async def gated(self, container: PodContainer) -> None:
        """Make the Pod of one that has not been started, and wait until it is at its gate.

        Raises:
            SwarmError: it can't be made.
        """
        if container.pod is None:
            tools.check_tools(self.cluster, "what is done to a container before its start")
            await self.cluster.make_pod(container, run=container.record.run + 1, gate=True)
        try:
            await self._at_gate(container)
        except SwarmError:
            await self.cluster.delete_pod(container)
            raise

    async def _at_gate(self, container: PodContainer) -> None:
        """Wait until the process of a container waits at its gate, or has ended. Raises as `_begun`."""
        if container.gated and container.gated == container.pod_uid:
            return
        with ungrouped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_when_started, container, nursery.cancel_scope)
                await self._begun(container)
                nursery.cancel_scope.cancel()
        container.gated = container.pod_uid

    async def _end_when_started(self, container: PodContainer, scope: trio.CancelScope) -> None:
        await started.told(self.cluster, container)
        scope.cancel()

    async def _begun(self, container: PodContainer) -> None:
        """Wait until the Pod of a container runs, or has ended.

        Raises:
            SwarmError: it can't, in an engine's words. TimedOut: no node has had room for it for `start_seconds`.
        """
        copied = False
        with trio.move_on_after(self.start_seconds) as patience:
            while not container.removed.is_set():
                pod = container.pod or {}
                if binds.wait(pod) and not copied:
                    await self.binds.copy(container)
                    copied = True
                    continue
                if (error := starting.refusal(container, pod)) is not None:
                    raise error
                if starting.has_begun(pod):
                    return
                if starting.has_node(pod):  # from here on it is pulled, which takes the time that it takes
                    patience.deadline = math.inf
                await container.next_change()
        if patience.cancelled_caught:
            why = starting.why_no_node(container.pod or {})
            raise TimedOut(f"no node has taken {container.name} within {self.start_seconds:g} s: {why}")

    async def _failed(self, container: PodContainer, error: SwarmError) -> None:
        """Note that a start has failed, and remove the Pod; and the container, if it removes itself."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
            await self.cluster.change(container, lambda each: replace(each, wanted="created", error=error.message))
            if not _is_kept(container):
                await self.cluster.delete_pod(container)
            if container.host.get("AutoRemove"):
                await self.remove(container, volumes=True)

    # The end.

    async def signal(self, container: PodContainer, number: int) -> None:
        """See `enginekit.Lifecycle`."""
        check_running(container)
        stop = container.config.get("StopSignal")
        if container.status == "paused" and (not stop or number in (signal.SIGKILL, container.stop_signal)):
            await self.unpause(container)
        await self._send(container, number)

    async def _send(self, container: PodContainer, number: int) -> None:
        self.events.tell_container(container, "kill", signal=str(int(number)))
        words = (BUSYBOX, "sh", "-c", _SEND, "sh", str(int(number)))
        try:
            ran = await tools.run(self.cluster, container, words, "kill")
        except SwarmError:
            if await self._runs_on(container):
                raise
            return
        if ran.code and await self._runs_on(container):
            said = ran.errors.decode("utf-8", "replace").strip()
            raise refusal(500, f"Cannot kill container: {container.id}: {said}")

    async def _runs_on(self, container: PodContainer) -> bool:
        """Return whether a container in which nothing can be run runs: the cluster may tell its end a moment later."""
        with trio.move_on_after(_TOLD_SECONDS):
            await container.until(lambda each: not each.running)
        return container.running

    async def kill(self, container: PodContainer) -> None:
        """See `enginekit.Lifecycle`."""
        check_running(container)
        await self._end_restarts(container)
        await self.signal(container, signal.SIGKILL)
        await container.until(lambda each: not each.running)

    async def stop(self, container: PodContainer, number: int, grace: float) -> None:
        """See `enginekit.Lifecycle`."""
        with container.kept():
            await self._end_restarts(container)
            if self.cluster.options.tools == "never":
                await self._stop_by_deadline(container, number, grace)
            elif container.running:
                await self._stop_by_signals(container, number, grace)
            self.events.tell_container(container, "stop")

    async def _stop_by_signals(self, container: PodContainer, number: int, grace: float) -> None:
        await self.signal(container, number)
        with trio.move_on_after(grace if grace >= 0 else math.inf):
            await container.until(lambda each: not each.running)
            return
        if container.running:
            await self._send(container, signal.SIGKILL)
            await container.until(lambda each: not each.running)

    async def _stop_by_deadline(self, container: PodContainer, number: int, grace: float) -> None:
        """End the Pod as the cluster ends one whose time is over: by TERM, and KILL after its own grace."""
        if number != signal.SIGTERM or grace != container.grace:
            raise Unsupported("--tools never allows to stop a container only by TERM and with its own grace")
        await self.cluster.end_pod(container)
        await container.until(lambda each: not each.running)

    async def _end_restarts(self, container: PodContainer) -> None:
        """Note that the container is to end, and let the cluster not start it again."""
        await self.cluster.change(container, lambda each: replace(each, wanted="stopped"))
        if (container.pod or {}).get("spec", {}).get("restartPolicy", "Never") != "Never":
            await self.cluster.end_pod(container)

    # Pause.

    async def pause(self, container: PodContainer) -> None:
        """See `enginekit.Lifecycle`."""
        await self._send_all(container, signal.SIGSTOP, "pause")
        await self.cluster.change(container, lambda each: replace(each, paused=True))

    async def unpause(self, container: PodContainer) -> None:
        """See `enginekit.Lifecycle`."""
        await self._send_all(container, signal.SIGCONT, "unpause")
        await self.cluster.change(container, lambda each: replace(each, paused=False))

    async def _send_all(self, container: PodContainer, number: int, what: str) -> None:
        words = (BUSYBOX, "sh", "-c", _SEND_ALL, "sh", str(int(number)))
        await tools.check_run(self.cluster, container, words, what)

    # Removal.

    async def remove(self, container: PodContainer, *, volumes: bool) -> None:
        """See `enginekit.Lifecycle`. Anonymous volumes are parts of the Pod, and go with it."""
        await self.cluster.remove(container)


def _check_can_start(container: PodContainer) -> None:
    """Raise `Unsupported` if a container has run, and can't again."""
    if container.status == "created" or _is_kept(container):
        return
    if container.record.keep:
        raise Unsupported(f"{container.name} can't run again: its files have gone with its Pod; create it anew")
    why = "a Pod can't run again with its files, unless it was created with the option --keep of kubernetes"
    raise Unsupported(f"{container.name} has run: {why}; create the container anew")


def _is_kept(container: PodContainer) -> bool:
    """Return whether a container's Pod waits for its next run."""
    return container.record.keep and container.pod is not None and status.is_usable(container.pod)
