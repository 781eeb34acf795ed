"""The operations of processes in workloads' places."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import trio

from swarmlib import Conflict, NotFound, Request, Unsupported
from swarmlib.supervision import supervised

from ..dockerapi.detachkeys import Typed, keys_of_exec
from ..dockerapi.operations import ExecResize
from ..dockerapi.values import terminal_size
from ..enginekit.containers import Operations, body_of, ref_of
from ..enginekit.output import Output
from ..enginekit.store import ContainerStore
from ..enginekit.streams import Stdio
from .body import check_exec, console_size
from .workload import Workload

_KEPT: Final = 100
"""Processes in one workload's place that have ended, and whose exit codes can still be asked for."""


class Execs:
    """Answers what is asked of processes in workloads' places. output: makes what keeps the output of one."""

    def __init__(self, store: ContainerStore[Workload], nursery: trio.Nursery, output: Callable[[], Output]) -> None:
        self._store = store
        self._nursery = nursery
        self._output = output

    @property
    def operations(self) -> Operations:
        """Return what it answers."""
        return {
            "ContainerExec": self._create,
            "ExecStart": self._start,
            "ExecResize": self._resize,
            "ExecInspect": self._inspect,
        }

    def _find(self, request: Request) -> Workload:
        ref = ref_of(request)
        for workload in self._store:
            if ref in workload.inside:
                return workload.inside[ref]
        raise NotFound(f"No such exec instance: {ref}")

    async def _inspect(self, request: Request) -> dict[str, Any]:
        return _shown(self._find(request))

    async def _create(self, request: Request) -> dict[str, Any]:
        workload = self._store.find(ref_of(request))
        if workload.status != "running":
            paused = "paused, unpause the container before exec" if workload.status == "paused" else "not running"
            raise Conflict(f"Container {workload.id} is {paused}")
        if workload.sandbox is not None:
            raise Unsupported(
                f"nothing can join {workload.name} in its sandbox: start all that it needs in its command"
            )
        id, config = secrets.token_hex(32), check_exec(request.json, workload.config)
        workload.inside[id] = Workload(
            id, workload.name, config, self._output(), launcher=workload.launcher, within=workload
        )
        return {"Id": id}

    async def _start(self, request: Request) -> None:
        made, body, reply = self._find(request), body_of(request), request.reply
        if made.status != "created":
            raise Conflict(f"exec {made.id} has run already")
        made.size = console_size(body)
        follower = made.output.follow()
        try:
            await made.start()
        except BaseException:
            follower.close()
            raise
        self._nursery.start_soon(self._supervise, made)
        if body.get("Detach"):
            follower.close()
            await reply.ack()
        else:
            stdin, tty = bool(made.config.get("OpenStdin")), bool(body.get("Tty"))
            typed = Typed(keys_of_exec(made.config.get("DetachKeys", ""))) if made.tty else None
            await reply.ack(stream=Stdio(made, follower, {1, 2}, tty=tty, stdin=stdin, once=True, typed=typed))

    async def _supervise(self, made: Workload) -> None:
        await supervised(f"exec: a process beside {made.name}", made.supervise)
        made.tell_exit()
        if made.within is not None:
            beside = made.within.inside
            for key in [key for key, each in beside.items() if each.status == "exited"][:-_KEPT]:
                del beside[key]

    async def _resize(self, request: Request) -> None:
        self._find(request).resize(*terminal_size(ExecResize.of(request)))


def _shown(made: Workload) -> dict[str, Any]:
    """Return all there is to know of a process in a workload's place."""
    command = made.command
    return {
        "ID": made.id,
        "Running": made.running,
        "ExitCode": made.exit_code if made.status == "exited" else None,
        "Pid": made.process.pid if made.process else 0,
        "ProcessConfig": {"entrypoint": command[0], "arguments": command[1:], "tty": made.tty},
        "OpenStdin": bool(made.config.get("OpenStdin")),
        "ContainerID": made.within.id if made.within is not None else "",
    }
