"""The life of simulated containers: started, stopped, killed, paused, restarted by their policy, removed.

What changes a state does it in one step, without waiting: no other call ever sees half of it.

    created ──start──▶ running ◀─pause, unpause─▶ paused
                        │   ▲                        (a signal that ends it unpauses it first)
                       end  └─start, or its policy after a growing pause─┐
                        ▼                                                │
                     exited, or restarting ──────────────────────────────┘
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from swarmlib import SwarmError
from swarmlib.supervision import supervised

from ..dockerapi.status import refusal
from ..enginekit.containers import kept
from ..enginekit.health import plan_of
from ..enginekit.refusals import check_running
from .container import Container, Exec, Health
from .engine import Engine
from .health import Prober
from .hosts import mount_told
from .links import check_links, unlink
from .ports import HostPorts
from .process import KILLED, Process
from .processes import Processes, processes_in

_FIRST_BACKOFF: Final = 0.1
_LONGEST_BACKOFF: Final = 60.0
_LONG_ENOUGH: Final = 10.0
"""Seconds after which a run counts as a good one: the next pause is the shortest again."""
_NOT_STARTED: Final = 128
"""The exit code of what could not even be tried."""


class Lifecycle:
    """Moves the containers of an engine from state to state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.processes = Processes(engine)
        """What runs in them."""
        self._prober = Prober(engine, self.processes)
        self._ports = HostPorts(engine)

    # Start.

    async def start(self, container: Container) -> None:
        """Start one that doesn't run, as asked by a user.

        Raises:
            SwarmError: it can't be started. It says why then, and is removed if it removes itself.
        """
        container.restarts, container.backoff, container.manually_stopped = 0, 0.0, False
        self._start(container)

    def _start(self, container: Container) -> None:
        try:
            self._begin(container)
        except SwarmError as exc:
            container.error = exc.message
            container.exit_code = exc.details.get("exit_code") or container.exit_code or _NOT_STARTED
            container.restarting = container.running = False
            self._release(container)
            self._engine.changed(container)
            if container.host["AutoRemove"]:
                self._discard(container)
            raise

    def _begin(self, container: Container) -> None:
        engine = self._engine
        self._join_networks(container)
        check_links(container)
        mount_told(container)
        for mount in container.mounts:
            if mount.type == "volume":
                about = {"read/write": str(mount.writable).lower(), "destination": mount.target, "propagation": ""}
                engine.tell_of("volume", "mount", mount.name, {**about, "container": container.id, "driver": "local"})
        process, run = self.processes.first_of(container)
        container.process = process
        self.mark_running(container, process.pid)
        if not (container.config["OpenStdin"] or container.tty):
            container.stdin.end()
        name = f"simulator: the container {container.name}"
        engine.nursery.start_soon(supervised, name, self._live, container, process, run)

    def mark_running(self, container: Container, pid: int) -> None:
        """Make the state of one that runs from now on."""
        container.running, container.paused, container.restarting, container.oom_killed = True, False, False, False
        container.pid, container.exit_code, container.error = pid, 0, ""
        container.sandbox = self._engine.names.id()
        container.started = self._engine.clock.now()
        container.life = None
        self._begin_health(container)
        self._engine.changed(container)
        self._engine.tell(container, "start")

    def _begin_health(self, container: Container) -> None:
        probe = plan_of(container.config)
        if probe is None:
            container.health = None
            return
        kept = container.health.log if container.health else []
        container.health = Health(log=kept)
        container.life = trio.CancelScope()
        name = f"simulator: the health check of {container.name}"
        self._engine.nursery.start_soon(supervised, name, self._prober.run, container, container.life, probe)

    async def _live(self, container: Container, process: Process, run: Callable[[], Awaitable[int]]) -> None:
        code = await run()
        if container.process is process:
            self.ended(container, code)

    # Networks and ports.

    def _join_networks(self, container: Container) -> None:
        engine, mode = self._engine, container.host["NetworkMode"]
        if mode.startswith("container:"):
            self._join_container(container, mode.partition(":")[2])
            return
        networks = {name: engine.networks.find(name) for name in sorted(container.networks)}
        if not {"host", "none"} & set(networks):
            try:
                self._ports.bind(container)
            except SwarmError:
                for name, network in list(networks.items())[:1]:
                    container.networks[name].network_id = network.id
                    engine.networks.tell("disconnect", network, container)
                raise
        for name, network in networks.items():
            engine.networks.join(container, network, container.networks[name].given)

    def _join_container(self, container: Container, ref: str) -> None:
        other = self._engine.find(ref)
        if not other.running:
            raise refusal(409, f"cannot join network of a non running container: {other.id}")

    def _release(self, container: Container) -> None:
        """Give back the addresses, the ports and the volumes of one that doesn't run any more."""
        self._engine.networks.leave_all(container)
        self._ports.release(container)

    # The end.

    def ended(self, container: Container, code: int) -> None:
        """Note that the first process of a container has ended."""
        engine = self._engine
        container.exit_code, container.pid, container.paused = code, 0, False
        container.finished, container.process = engine.clock.now(), None
        if container.life is not None:
            container.life.cancel()
        for each in list(container.execs.values()):
            if each.process is not None and each.alive:
                each.process.kill()
            if not each.running:
                self._forget_exec(each)
        again = self._restarts(container)
        container.running = container.restarting = again
        engine.tell(container, "die", exitCode=str(code))
        self._release(container)
        for mount in container.mounts:
            if mount.type == "volume":
                engine.tell_of("volume", "unmount", mount.name, {"container": container.id, "driver": "local"})
        engine.changed(container)
        container.end_run()
        if again:
            self._restart_later(container)
        elif container.host["AutoRemove"] and not container.stoppers:
            self._discard(container)

    def _forget_exec(self, each: Exec) -> None:
        """Forget one that never ran, or has ended, as an engine does with its container's run."""
        if not each.begun:
            self._engine.execs.pop(each.id, None)
            each.container.execs.pop(each.id, None)

    def _restarts(self, container: Container) -> bool:
        policy = container.host["RestartPolicy"]
        limit = policy["MaximumRetryCount"]
        match policy["Name"]:
            case "always" | "unless-stopped":
                wanted = True
            case "on-failure":
                wanted = container.exit_code != 0 and (not limit or container.restarts < limit)
            case _:
                wanted = False
        return wanted and not container.manually_stopped

    def _restart_later(self, container: Container) -> None:
        if container.finished - container.started >= _LONG_ENOUGH:
            container.backoff = 0.0
        container.backoff = min(2 * container.backoff or _FIRST_BACKOFF, _LONGEST_BACKOFF)
        container.restarts += 1
        container.life = trio.CancelScope()
        name = f"simulator: the restart of {container.name}"
        self._engine.nursery.start_soon(supervised, name, self._restart, container, container.life)

    async def _restart(self, container: Container, life: trio.CancelScope) -> None:
        with life:
            await self._engine.clock.sleep(container.backoff)
            with suppress(SwarmError):  # its state says why
                self._start(container)

    def _end_restarting(self, container: Container) -> None:
        """End one that waits to be restarted."""
        if container.life is not None:
            container.life.cancel()
        container.running = container.restarting = False
        self._engine.changed(container)
        container.end_run()

    # What users ask for.

    async def signal(self, container: Container, number: int) -> None:
        """Send a signal to one that runs; it is not restarted when it ends of it.

        Raises:
            SwarmError: it doesn't run.
        """
        self._signal(container, number)

    def _signal(self, container: Container, number: int) -> None:
        check_running(container)
        stop = container.config.get("StopSignal")
        if not stop or number in (signal.SIGKILL, container.stop_signal):
            container.manually_stopped = True
            if container.paused:
                self._thaw(container)
        if container.restarting:
            self._end_restarting(container)
            return
        self._engine.tell(container, "kill", signal=str(int(number)))
        if container.process is not None:
            container.process.signal(number)
        elif number == signal.SIGKILL:  # one that was seeded, and only sleeps
            self.ended(container, KILLED)

    async def kill(self, container: Container) -> None:
        """Kill it, and wait for its end.

        Raises:
            SwarmError: it doesn't run.
        """
        ended = container.exited
        self._signal(container, signal.SIGKILL)
        if container.running:
            await ended.wait()

    async def stop(self, container: Container, number: int, grace: float) -> None:
        """Ask it to end, kill it after `grace` seconds (never if that is negative), and wait for its end."""
        with kept(container):
            ended = container.exited
            self._signal(container, number)
            if container.running:
                until = float("inf") if grace < 0 else self._engine.clock.now() + grace
                with self._engine.clock.until(until):
                    await ended.wait()
                if container.running and not ended.is_set():
                    await self.kill(container)
            self._engine.tell(container, "stop")
        if not container.running and container.host["AutoRemove"] and not container.stoppers:
            self._discard(container)

    async def pause(self, container: Container) -> None:
        """Let nothing in one that runs go on."""
        for process in processes_in(container):
            process.freeze()
        container.paused = True
        self._engine.changed(container)
        self._engine.tell(container, "pause")

    async def unpause(self, container: Container) -> None:
        """Let one that is paused go on."""
        self._thaw(container)

    def _thaw(self, container: Container) -> None:
        for process in processes_in(container):
            process.thaw()
        container.paused = False
        self._engine.changed(container)
        self._engine.tell(container, "unpause")

    async def remove(self, container: Container, *, volumes: bool) -> None:
        """Remove one that doesn't run; with its anonymous volumes, if that is said."""
        self._discard(container, volumes=volumes)

    def _discard(self, container: Container, *, volumes: bool | None = None) -> None:
        """Remove one; with its anonymous volumes if that is said, or, where nothing is said, if it removes itself."""
        engine = self._engine
        if not engine.containers.remove(container):
            return  # it was removed meanwhile
        for each in container.execs:
            engine.execs.pop(each, None)
        if container.host["AutoRemove"] if volumes is None else volumes:
            for mount in container.mounts:
                if mount.anonymous and engine.volumes.has(mount.name) and not engine.volumes.users(mount.name):
                    engine.volumes.discard(mount.name)
        for alias in list(container.links):
            unlink(container, alias, engine)
        container.linked_by.clear()
        engine.listed.clear()
        engine.tell(container, "destroy")
        container.removed.set()
