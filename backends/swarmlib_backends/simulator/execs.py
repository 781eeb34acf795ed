"""The operations of processes in containers."""

from __future__ import annotations

from typing import Any

from swarmlib import SwarmError
from swarmlib.supervision import supervised

from ..dockerapi.status import refusal
from ..enginekit.execs import StreamedExecOperations
from ..enginekit.output import Piece
from .container import Container, Exec
from .engine import Engine
from .lifecycle import Lifecycle


class Execs(StreamedExecOperations[Container, Exec]):
    """Answers what is asked of processes in containers."""

    def __init__(self, engine: Engine, lifecycle: Lifecycle) -> None:
        super().__init__(engine.find)
        self._engine = engine
        self._processes = lifecycle.processes

    def lookup(self, id: str) -> Exec | None:
        """See `ExecOperations`."""
        return self._engine.execs.get(id)

    def make(self, container: Container, body: dict[str, Any]) -> Exec:
        """See `ExecOperations`."""
        made = Exec(self._engine.names.id(), container, body)
        self._engine.execs[made.id] = container.execs[made.id] = made
        self._engine.tell(container, f"exec_create: {made.shown}", execID=made.id)
        return made

    async def begin(self, each: Exec, body: dict[str, Any]) -> None:
        """See `ExecOperations`; an attached client is told in its stream why a process can't be started."""
        try:
            program = self._processes.begin_exec(each)
        except SwarmError as exc:
            if body.get("Detach"):
                raise
            await self._say(each, exc.message)
        else:
            name = f"simulator: the exec {each.id}"
            self._engine.nursery.start_soon(supervised, name, self._processes.run_exec, each, program)

    async def detached(self, each: Exec) -> None:
        """Say as an engine that the exec has failed, and know no more of the process, which goes on."""
        each.code = 126
        await self._say(each, "exec attach failed: error on attach stdin: read escape sequence")

    async def _say(self, each: Exec, text: str) -> None:
        await each.output.add(Piece(1, self._engine.clock.now(), f"{text}\r\n".encode()))

    async def resize(self, each: Exec, rows: int, columns: int) -> None:
        """See `ExecOperations`."""
        if not each.running:
            raise refusal(500, "timeout waiting for exec session ready")
        self._engine.tell(each.container, "resize", height=str(rows), width=str(columns))
