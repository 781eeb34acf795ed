"""The operations of processes in workloads' places."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import trio

from swarmlib import Unsupported
from swarmlib.supervision import supervised

from ..enginekit.execs import StreamedExecOperations
from ..enginekit.output import Output
from ..enginekit.store import ContainerStore
from .body import check_exec, console_size
from .process_container import Beside, ProcessContainer

_KEPT: Final = 100
"""Processes in one workload's place that have ended, and whose exit codes can still be asked for."""


class Execs(StreamedExecOperations[ProcessContainer, Beside]):
    """Answers what is asked of processes in workloads' places. output: makes what keeps the output of one."""

    def __init__(
        self, store: ContainerStore[ProcessContainer], nursery: trio.Nursery, output: Callable[[], Output]
    ) -> None:
        super().__init__(store.find)
        self._store = store
        self._nursery = nursery
        self._output = output

    def lookup(self, id: str) -> Beside | None:
        """See `ExecOperations`."""
        return next((each.inside[id] for each in self._store if id in each.inside), None)

    def make(self, container: ProcessContainer, body: dict[str, Any]) -> Beside:
        """See `ExecOperations`."""
        if container.sandbox is not None:
            name = container.name
            raise Unsupported(f"exec is not supported in the sandbox of {name}: start everything in its command")
        id, config = secrets.token_hex(32), check_exec(body, container.config)
        launcher = container.launcher
        made = Beside(id, container.name, config, self._output(), launcher=launcher, container=container)
        container.inside[id] = made
        return made

    async def begin(self, each: Beside, body: dict[str, Any]) -> None:
        """See `ExecOperations`."""
        each.size = console_size(body)
        await each.start()
        self._nursery.start_soon(self._supervise, each)

    async def _supervise(self, made: Beside) -> None:
        await supervised(f"exec: a process beside {made.name}", made.supervise)
        made.tell_exit()
        inside = made.container.inside
        for key in [key for key, each in inside.items() if each.status == "exited"][:-_KEPT]:
            del inside[key]

    async def resize(self, each: Beside, rows: int, columns: int) -> None:
        """See `ExecOperations`."""
        each.resize(rows, columns)
