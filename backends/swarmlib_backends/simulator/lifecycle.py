"""The life of simulated containers: started, stopped, killed, paused, restarted by their policy, removed.

What changes a state does it in one step, without waiting: no other call ever sees half of it.

    created ──start──▶ running ◀─pause, unpause─▶ paused
                        │   ▲                        (a signal that ends it unpauses it first)
                       end  └─start, or its policy after a growing pause─┐
                        ▼                                                │
                     exited, or restarting ──────────────────────────────┘
"""

from __future__ import annotations

import posixpath
import signal
from contextlib import suppress
from functools import partial
from typing import Any, Final

import trio

from swarmlib import SwarmError
from swarmlib.supervision import supervised

from ..dockerapi.nulls import items
from ..dockerapi.output import Piece
from ..dockerapi.status import refusal
from .container import Container, Exec, Health
from .engine import Engine
from .files import folder
from .health import Prober
from .hosts import mount_told
from .links import check_links, unlink, variables
from .ports import HostPorts
from .process import KILLED, Process, Program, Run, Sink
from .users import User, user_of

_FIRST_BACKOFF: Final = 0.1
_LONGEST_BACKOFF: Final = 60.0
_LONG_ENOUGH: Final = 10.0
"""Seconds after which a run counts as a good one: the next pause is the shortest again."""
_NOT_STARTED: Final = 128
"""The exit code of what could not even be tried."""
_NOT_FOUND: Final = "executable file not found in $PATH"


class Lifecycle:
    """Moves the containers of an engine from state to state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._prober = Prober(engine, self.begin_exec, self.run_exec)
        self._ports = HostPorts(engine.names)

    # Start.

    def start(self, container: Container) -> None:
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
                self.remove(container)
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
        user = _user(container, container.config)
        program = self._program(container, container.command, first=True)
        first = not container.host.get("Init")
        folder_at = posixpath.normpath(str(container.config["WorkingDir"] or "/"))
        if container.files.get(folder_at) is None:
            container.files.put(folder_at, folder(engine.clock.now()))
        process = Process(engine.next_pid(), container.command, engine.clock, user, first=first)
        process.on_use = partial(self._check_memory, container)
        container.process = process
        self.mark_running(container, process.pid)
        if not (container.config["OpenStdin"] or container.tty):
            container.stdin.end()
        given = self._given(container, process, container)
        name = f"simulator: the container {container.name}"
        engine.nursery.start_soon(supervised, name, self._live, container, process, program, given)

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
        probe = self._prober.probe_of(container)
        if probe is None:
            container.health = None
            return
        kept = container.health.log if container.health else []
        container.health = Health(log=kept)
        container.life = trio.CancelScope()
        name = f"simulator: the health check of {container.name}"
        self._engine.nursery.start_soon(supervised, name, self._prober.run, container, container.life, probe)

    def _program(self, container: Container, command: list[str], *, first: bool = False) -> Program:
        found = self._engine.program(command[0], container, first=first)
        if found is None:
            raise _no_program(command[0], container)
        return found

    def _given(self, container: Container, process: Process, of: Container | Exec) -> Run:
        """What a process of a container, or of an exec in it, is given."""

        async def write(stream: int, data: bytes) -> None:
            await process.thawed()
            stream, data = (1, data.replace(b"\n", b"\r\n")) if of.tty else (stream, data)
            await of.output.add(Piece(stream, self._engine.clock.now(), data))

        return Run(
            process.command,
            _environment(container, of.config),
            of.stdin,
            Sink(partial(write, 1)),
            Sink(partial(write, 2)),
            container.files,
            process,
            lambda name: self._engine.program(name, container),
            partial(processes, container),
            partial(self._engine.networks.resolve, container),
            posixpath.normpath(str(of.config.get("WorkingDir") or container.config["WorkingDir"] or "/")),
        )

    async def _live(self, container: Container, process: Process, program: Program, given: Run) -> None:
        code = await process.run(program, given)
        if container.process is process:
            self.ended(container, code)

    def _check_memory(self, container: Container) -> None:
        """Kill one that says that it uses more memory than it may, as the kernel does."""
        limit = container.host["Memory"]
        if limit and sum(process.memory for process in processes(container)) > limit and container.process is not None:
            container.oom_killed = True
            self._engine.tell(container, "oom")
            container.process.kill()

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
                    engine.tell_network("disconnect", network, container)
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
        """The first process of a container has ended."""
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
            self.remove(container)

    def _forget_exec(self, each: Exec) -> None:
        """One that never ran, or has ended: an engine forgets it with its container's run."""
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
        """It waits to be restarted: it won't be."""
        if container.life is not None:
            container.life.cancel()
        container.running = container.restarting = False
        self._engine.changed(container)
        container.end_run()

    # What users ask for.

    def signal(self, container: Container, number: int) -> None:
        """Send a signal to one that runs; it is not restarted when it ends of it.

        Raises:
            SwarmError: it doesn't run.
        """
        if not container.running:
            raise not_running(container)
        stop = container.config.get("StopSignal")
        if not stop or number in (signal.SIGKILL, container.stop_signal):
            container.manually_stopped = True
            if container.paused:
                self.unpause(container)
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
        self.signal(container, signal.SIGKILL)
        if container.running:
            await ended.wait()

    async def stop(self, container: Container, number: int, grace: float) -> None:
        """Ask it to end, kill it after `grace` seconds (never if that is negative), and wait for its end."""
        container.stoppers += 1
        try:
            ended = container.exited
            self.signal(container, number)
            if container.running:
                until = float("inf") if grace < 0 else self._engine.clock.now() + grace
                with self._engine.clock.until(until):
                    await ended.wait()
                if container.running and not ended.is_set():
                    await self.kill(container)
            self._engine.tell(container, "stop")
        finally:
            container.stoppers -= 1
        if not container.running and container.host["AutoRemove"] and not container.stoppers:
            self.remove(container)

    def pause(self, container: Container) -> None:
        """Let nothing in it go on.

        Raises:
            SwarmError: it doesn't run, or is paused.
        """
        if not container.running:
            raise not_running(container)
        if container.paused:
            raise refusal(409, f"Container {container.id} is already paused")
        check_not_restarting(container)
        for process in processes(container):
            process.freeze()
        container.paused = True
        self._engine.changed(container)
        self._engine.tell(container, "pause")

    def unpause(self, container: Container) -> None:
        """Let it go on.

        Raises:
            SwarmError: it is not paused.
        """
        if not container.paused:
            raise refusal(500, f"Container {container.id} is not paused")
        for process in processes(container):
            process.thaw()
        container.paused = False
        self._engine.changed(container)
        self._engine.tell(container, "unpause")

    def remove(self, container: Container, *, volumes: bool | None = None) -> None:
        """Remove one that doesn't run; with its anonymous volumes, if that is said or it removes itself."""
        engine = self._engine
        if engine.containers.pop(container.id, None) is None:
            return  # it was removed meanwhile
        if engine.by_name.get(container.name) is container:
            del engine.by_name[container.name]
        for each in container.execs:
            engine.execs.pop(each, None)
        if container.host["AutoRemove"] if volumes is None else volumes:
            for mount in container.mounts:
                if mount.anonymous and engine.volumes.has(mount.name) and not engine.volumes.users(mount.name):
                    engine.volumes.remove(mount.name)
        for alias in list(container.links):
            unlink(container, alias, engine)
        container.linked_by.clear()
        engine.listed.clear()
        engine.tell(container, "destroy")
        container.removed.set()

    # Processes in a container.

    def begin_exec(self, each: Exec) -> Program:
        """Make what is needed to run it.

        Raises:
            SwarmError: there is no such program.
        """
        each.begun = True
        container, command = each.container, list(each.config["Cmd"])
        self._engine.tell(container, f"exec_start: {each.shown}", execID=each.id)
        try:
            user = _user(container, each.config)
            program = self._program(container, command)
        except SwarmError as exc:
            each.exit_code = 126
            each.output.end_run()
            reason = exc.message.partition("unable to start")[2]
            if reason:
                text = f"OCI runtime exec failed: exec failed: unable to start{reason}"
                raise refusal(400, text) from exc
            raise
        each.process = Process(self._engine.next_pid(), command, self._engine.clock, user, first=False)
        each.process.on_use = partial(self._check_memory, container)
        if not each.config.get("AttachStdin"):
            each.stdin.end()
        return program

    async def run_exec(self, each: Exec, program: Program) -> None:
        """Run it to its end."""
        if each.process is None:
            return
        code = await each.process.run(program, self._given(each.container, each.process, each))
        each.exit_code = code if each.exit_code is None else each.exit_code
        each.stdin.close()
        each.output.end_run()
        self._engine.tell(each.container, "exec_die", execID=each.id, exitCode=str(code))


def _user(container: Container, config: dict[str, Any]) -> User:
    """Who a process of this configuration runs as: its own, or its container's."""
    named = str(config.get("User") or container.config["User"] or "")
    return user_of(container.files, named, items(container.host["GroupAdd"]))


def processes(container: Container) -> list[Process]:
    """What runs in a container."""
    first = [container.process] if container.process is not None else []
    return first + [each.process for each in container.execs.values() if each.process is not None and each.alive]


def not_running(container: Container) -> SwarmError:
    """What is said of a call that needs it to run."""
    return refusal(409, f"Container {container.id} is not running")


def check_not_restarting(container: Container) -> None:
    """Raises `Conflict` if it is about to be restarted."""
    if container.restarting:
        raise refusal(409, f"Container {container.id} is restarting, wait until the container is running")


def _no_program(name: str, container: Container) -> SwarmError:
    node = container.files.get(name) if "/" in name else None
    if "/" not in name:
        problem, code = _NOT_FOUND, 127
    elif node is None:
        problem, code = f"stat {name}: no such file or directory", 127
    else:
        problem, code = "permission denied", 126
    text = (
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process"
    )
    error = refusal(400, f'{text}: exec: "{name}": {problem}: unknown')
    error.details = {**error.details, "exit_code": code}
    return error


def _environment(container: Container, config: dict[str, Any]) -> dict[str, str]:
    base = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    base["HOSTNAME"] = container.config["Hostname"]
    if config.get("Tty"):
        base["TERM"] = "xterm"
    base |= variables(container)
    entries = [*items(container.config["Env"]), *(items(config.get("Env")) if config is not container.config else [])]
    given = [entry.partition("=") for entry in entries]
    return {**base, **{name: value for name, is_set, value in given if is_set}, "HOME": "/root"}
