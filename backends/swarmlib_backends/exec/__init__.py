"""`exec`: local processes as workloads, so that a chain is of use with no engine at all.

It speaks the Docker Engine API's own objects. A workload's image is only a name here: the programs are the host's.

By default a workload is a plain process of this machine: it sees and may do what its user may, which is swarmd's own
unless another one is asked for. Who may use a plain `exec` run by root has this machine. It gets no file, variable,
group, key or terminal of swarmd's, and no new privileges if it runs as another user, but nothing keeps it from files,
sockets, networks or CPU and memory of the machine. Its /proc shows the processes of the workload alone: they are in a
pid namespace, so that all end together, whatever they do, also when swarmd is killed. Where swarmd is not root, the
namespace belongs to a user namespace, in which programs such as sudo get no privileges; where the machine has none of
these, a workload that kills its holder may leave processes behind, and swarmd logs a warning.

With the label swarmlib.isolation=bubblewrap (or --runtime bubblewrap) it runs in a sandbox: see `sandbox` for what that
keeps it from, and what not.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import trio

from swarmlib import (
    CLEANUP_SECONDS,
    Conflict,
    NotFound,
    ReplySender,
    Request,
    Server,
    SwarmError,
    Unsupported,
    Verb,
    option,
)
from swarmlib.service import Handler
from swarmlib.supervision import supervised

from ..dockerapi import platforms
from ..dockerapi.clock import Clock
from ..dockerapi.containernames import free_name, no_link, other_name
from ..dockerapi.detachkeys import Typed, keys_of_exec
from ..dockerapi.events import Events, container_event
from ..dockerapi.output import Output
from ..dockerapi.played import played
from ..dockerapi.references import looked_for
from ..dockerapi.status import refusal
from ..dockerapi.streams import Stdio, send_lines, send_logs, stdio
from ..dockerapi.values import (
    check_checkpoint_dir,
    filters,
    is_true,
    killing,
    no_such_place,
    no_such_signal,
    number,
    pong,
    signal_asked,
    signal_number,
    still_runs,
    terminal_size,
)
from . import objects
from .body import check, check_exec, console_size
from .launching import Launcher
from .sandbox import Sandbox
from .top import processes
from .waiting import send_end
from .workload import Workload

__all__ = ["Exec"]

_GRACE: Final = 10
"""Seconds between asking a workload to stop and making it, unless something else is said."""
_EXECS_KEPT: Final = 100
"""Processes in workloads' places that have ended, and whose exit codes can still be asked for."""
_CLOSING_GRACE: Final = CLEANUP_SECONDS / 2


@dataclass
class Exec(Server):
    """Local processes as workloads: the programs of this machine, whatever image is named.

    When the process of a workload ends, all that it started ends too, and when swarmd ends, however it does, all
    workloads end.
    """

    log_bytes: int = option("bytes of output kept of each workload", default=16 * 1024 * 1024)
    sandbox_host_network: bool = option(
        "let a sandbox have the machine's network, and with it every socket on it, if it asks for --network host",
        default=False,
    )

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the processes. When the stage closes they are asked to end, then made to."""
        self._workloads: dict[str, Workload] = {}
        self._execs: dict[str, tuple[Workload, Workload]] = {}
        """Processes in a workload's place, each with that workload."""
        self._events = Events(Clock())
        self._launcher = Launcher()
        async with self._launcher.open(), trio.open_nursery() as self._nursery:
            try:
                yield
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSING_GRACE):
                    await self._stop_all()
                self._nursery.cancel_scope.cancel()

    async def _stop_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for workload in [*self._workloads.values(), *(made for made, _ in self._execs.values())]:
                if workload.running:
                    nursery.start_soon(workload.stop, signal.SIGTERM, _CLOSING_GRACE / 2)

    def handlers(self) -> Mapping[Verb, Handler]:
        """The methods by the verb that they are named for; each gets the canonical form of its message."""
        return played(super().handlers())

    # The verbs.

    async def ls(self, request: Request) -> Any:
        """The workloads; there are no images."""
        match request.path:
            case ("containers",):
                return objects.listed(self._workloads.values(), request.params)
            case ("images",):
                return objects.no_images(request.params)
            case _:
                raise no_such_place("exec", request)

    async def get(self, request: Request) -> Any:
        """The service's or a workload's state."""
        match request.path:
            case ():
                return objects.service_info(self._workloads.values())
            case ("version",):
                return objects.service_version()
            case ("df",):
                return objects.disk_usage(self._workloads.values())
            case ("ping",) | ("ping", "head"):
                return await pong(request.reply)
            case ("containers", ref):
                return objects.inspect(self._find(ref))
            case ("containers", ref, "top"):
                made_here = [made for made, _ in self._execs.values()]
                return await processes(self._find(ref), str(request.params.get("ps_args", "-ef")), made_here)
            case ("exec", ref):
                made, parent = self._find_exec(ref)
                return objects.inspect_exec(made, parent.id)
            case ("images", name):
                raise NotFound(f"no such image: {name}: No such image: {looked_for(name)}")
            case _:
                raise no_such_place("exec", request)

    async def spawn(self, request: Request) -> Any:
        """A new workload, or a new process in a workload's place."""
        match request.path:
            case ("containers",):
                return self._create(request)
            case ("containers", ref, "exec"):
                return self._create_exec(self._find(ref), request.json)
            case _:
                raise no_such_place("exec", request)

    async def start(self, request: Request) -> None:
        """Start a workload."""
        workload = self._find_whole(request)
        if workload.running:
            await request.reply.ack(details={"status": 304})
        else:
            check_checkpoint_dir(request.params)
            await self._start(workload)

    async def stop(self, request: Request) -> None:
        """Stop a workload with grace, or send it a signal."""
        match request.path:
            case ("containers", ref, "kill"):
                await self._kill(ref, signal_asked(request.params))
            case _:
                workload = self._find_whole(request)
                if workload.running:
                    await _stop(workload, request)
                else:
                    await request.reply.ack(details={"status": 304})

    async def set(self, request: Request) -> None:
        """Change a workload."""
        match request.path:
            case ("containers", ref, "resize"):
                size = terminal_size(request.params)
                workload = self._find(ref)
                workload.check_running()
                workload.resize(*size)
            case ("exec", ref, "resize"):
                self._find_exec(ref)[0].resize(*terminal_size(request.params))
            case ("containers", ref, "rename"):
                workload = self._find(ref)
                workload.name = other_name(workload.name, str(request.params["name"]), self._holder_of)
                self._tell(workload, "rename")
            case ("containers", ref, "restart"):
                await self._restart(self._find(ref), request)
            case ("containers", ref, "pause"):
                self._pause(self._find(ref))
            case ("containers", ref, "unpause"):
                self._unpause(self._find(ref))
            case _:
                raise no_such_place("exec", request)

    async def rm(self, request: Request) -> Any:
        """Remove a workload, or all that have ended."""
        if request.path == ("containers",):
            return self._prune(request)
        workload = self._find_whole(request)
        if is_true(request.params.get("link")):
            raise no_link()
        if workload.running:
            if not is_true(request.params.get("force")):
                raise still_runs(workload.id, workload.status)
            await workload.stop(signal.SIGKILL, 0)
        self._forget(workload)
        return None

    async def watch(self, request: Request) -> None:
        """Events, or the end of a workload."""
        match request.path:
            case ():
                await self._events.send(request.params, request.reply)
            case ("containers", ref, "wait"):
                await send_end(self._find(ref), str(request.params.get("condition", "")), request.reply)
            case _:
                raise no_such_place("exec", request)

    async def connect(self, request: Request) -> None:
        """A workload's stdio, or its logs, or a process started in its place."""
        match request.path:
            case ("containers", ref):
                workload = self._find(ref)
                detached = partial(self._detached, workload)
                await request.reply.ack(stream=stdio(workload, workload.config, request.params, detached))
            case ("containers", ref, "logs"):
                await send_logs(request, self._find(ref))
            case ("exec", ref):
                await self._start_exec(self._find_exec(ref)[0], request.json, request.reply)
            case _:
                raise no_such_place("exec", request)

    async def attach(self, request: Request) -> None:
        """A workload's output as `log` messages, and its state when it ends."""
        workload, reply = self._find_whole(request), request.reply
        follower = workload.output.follow(from_start=True)
        try:
            await reply.ack()
            await send_lines(follower, reply)
        finally:
            follower.close()
        await reply.set(objects.state(workload))

    # Finding.

    def _find_whole(self, request: Request) -> Workload:
        if len(request.path) != 2 or request.path[0] != "containers":
            raise no_such_place("exec", request)
        return self._find(request.path[1])

    def _find(self, ref: str) -> Workload:
        found = self._workloads.get(ref) or self._named(ref.removeprefix("/"))
        if found is not None:
            return found
        fitting = [w for w in self._workloads.values() if ref and w.id.startswith(ref)]
        if len(fitting) > 1:
            raise refusal(500, f"Multiple IDs found with provided prefix: {ref}")
        if not fitting:
            raise NotFound(f"No such container: {ref}")
        return fitting[0]

    def _named(self, name: str) -> Workload | None:
        return next((w for w in self._workloads.values() if w.name == name), None)

    def _find_exec(self, ref: str) -> tuple[Workload, Workload]:
        found = self._execs.get(ref)
        if found is None:
            raise NotFound(f"No such exec instance: {ref}")
        return found

    # Making and unmaking.

    def _create(self, request: Request) -> dict[str, Any]:
        config = check(request.json)
        platform = str(request.params.get("platform") or "")
        if platform and platforms.read(platform) != platforms.HERE:
            raise Unsupported(f"a local process is of {platforms.HERE}, not of {platform}")
        name = free_name(str(request.params.get("name") or f"exec_{secrets.token_hex(4)}"), self._holder_of)
        host = cast("dict[str, Any]", config.get("HostConfig") or {})
        key = secrets.token_hex(32)
        workload = Workload(key, name, config, Output(self.log_bytes), self._launcher)
        workload.sandbox = Sandbox.of(config, key[:12], host_network=self.sandbox_host_network)
        workload.auto_remove = bool(host.get("AutoRemove"))
        workload.size = console_size(host)
        objects.check_shown(workload)
        self._workloads[workload.id] = workload
        self._tell(workload, "create")
        return {"Id": workload.id, "Warnings": []}

    def _holder_of(self, name: str) -> str | None:
        holder = self._named(name)
        return None if holder is None else holder.id

    async def _start(self, workload: Workload) -> None:
        try:
            await workload.start()
        except SwarmError:
            if workload.auto_remove:
                self._forget(workload)
            raise
        self._tell(workload, "start")
        self._nursery.start_soon(self._supervise, workload)

    async def _supervise(self, workload: Workload) -> None:
        await supervised(f"exec: the workload {workload.name}", workload.supervise)
        self._end_execs(workload)
        self._tell(workload, "die", exitCode=str(workload.exit_code))
        workload.tell_exit()
        if workload.auto_remove:
            self._forget(workload)

    def _end_execs(self, workload: Workload) -> None:
        for made, parent in self._execs.values():
            if parent is workload and made.process is not None:
                made.process.kill()

    async def _kill(self, ref: str, number: int) -> None:
        with killing(ref):
            workload = self._find(ref)
            if number not in signal.valid_signals():
                raise no_such_signal(number)
            await workload.send(number)

    async def _restart(self, workload: Workload, request: Request) -> None:
        keep, workload.auto_remove = workload.auto_remove, False
        try:
            if workload.running:
                await _stop(workload, request)
            await self._start(workload)
        finally:
            workload.auto_remove = keep

    def _pause(self, workload: Workload) -> None:
        if workload.status == "paused":
            raise Conflict(f"Container {workload.id} is already paused")
        workload.signal(signal.SIGSTOP)
        workload.status = "paused"
        self._tell(workload, "pause")

    def _unpause(self, workload: Workload) -> None:
        if workload.status != "paused":
            raise refusal(500, f"Container {workload.id} is not paused")
        workload.signal(signal.SIGCONT)
        workload.status = "running"
        self._tell(workload, "unpause")

    def _tell(self, workload: Workload, action: str, **attributes: str) -> None:
        labels: dict[str, str] = workload.config.get("Labels") or {}
        image = workload.config.get("Image", "")
        self._events.tell(container_event(workload.id, workload.name, image, labels, action, attributes))

    async def _detached(self, workload: Workload) -> None:
        self._tell(workload, "detach")

    def _forget(self, workload: Workload) -> None:
        if self._workloads.pop(workload.id, None) is None:
            return  # it was removed while its removal was asked for
        self._execs = {key: pair for key, pair in self._execs.items() if pair[1] is not workload}
        workload.removed.set()
        self._tell(workload, "destroy")

    def _prune(self, request: Request) -> dict[str, Any]:
        filters(request.params, set(), "what is pruned")
        ended = [w for w in self._workloads.values() if not w.running]
        for workload in ended:
            self._forget(workload)
        return {"ContainersDeleted": [w.id for w in ended], "SpaceReclaimed": 0}

    # Processes in a workload's place.

    def _create_exec(self, workload: Workload, body: Any) -> dict[str, Any]:
        if workload.status != "running":
            paused = "paused, unpause the container before exec" if workload.status == "paused" else "not running"
            raise Conflict(f"Container {workload.id} is {paused}")
        if workload.sandbox is not None:
            raise Unsupported(
                f"nothing can join {workload.name} in its sandbox: start all that it needs in its command"
            )
        config = check_exec(body, workload.config)
        output = Output(self.log_bytes)
        made = Workload(secrets.token_hex(32), workload.name, config, output, self._launcher, workload)
        self._execs[made.id] = (made, workload)
        return {"Id": made.id}

    async def _start_exec(self, made: Workload, body: Any, reply: ReplySender) -> None:
        if made.status != "created":
            raise Conflict(f"exec {made.id} has run already")
        made.size = console_size(body)
        follower = made.output.follow()
        try:
            await made.start()
        except BaseException:
            follower.close()
            raise
        self._nursery.start_soon(self._supervise_exec, made)
        if body and body.get("Detach"):
            follower.close()
            await reply.ack()
        else:
            stdin, tty = bool(made.config.get("OpenStdin")), bool(body and body.get("Tty"))
            typed = Typed(keys_of_exec(made.config.get("DetachKeys", ""))) if made.tty else None
            await reply.ack(stream=Stdio(made, follower, {1, 2}, tty=tty, stdin=stdin, once=True, typed=typed))

    async def _supervise_exec(self, made: Workload) -> None:
        await supervised(f"exec: a process beside {made.name}", made.supervise)
        made.tell_exit()
        for key in [key for key, (each, _) in self._execs.items() if each.status == "exited"][:-_EXECS_KEPT]:
            del self._execs[key]


async def _stop(workload: Workload, request: Request) -> None:
    text = request.params.get("signal") or workload.config.get("StopSignal") or "TERM"
    default = workload.config.get("StopTimeout")
    grace = number(request.params, "t", _GRACE if default is None else int(default))
    await workload.stop(signal_number(str(text)), grace if grace >= 0 else float("inf"))
