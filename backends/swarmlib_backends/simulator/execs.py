"""The operations of processes in containers."""

from __future__ import annotations

from functools import partial
from typing import Any

from swarmlib import NotFound, Request, SwarmError
from swarmlib.supervision import supervised

from ..dockerapi.detachkeys import Typed, keys_of_exec
from ..dockerapi.operations import ExecResize
from ..dockerapi.status import refusal
from ..dockerapi.values import terminal_size
from ..enginekit.containers import Operations, body_of, ref_of
from ..enginekit.output import Piece
from ..enginekit.refusals import check_not_restarting, not_running
from ..enginekit.streams import Stdio
from . import views
from .container import Container, Exec
from .engine import Engine
from .lifecycle import Lifecycle


class Execs:
    """Answers what is asked of processes in containers."""

    def __init__(self, engine: Engine, lifecycle: Lifecycle) -> None:
        self._engine = engine
        self._life = lifecycle

    @property
    def operations(self) -> Operations:
        """What it answers."""
        return {
            "ContainerExec": self._create,
            "ExecStart": self._start,
            "ExecResize": self._resize,
            "ExecInspect": self._get,
        }

    def _find(self, request: Request) -> Exec:
        found = self._engine.execs.get(ref_of(request))
        if found is None:
            raise NotFound(f"No such exec instance: {ref_of(request)}")
        return found

    async def _get(self, request: Request) -> dict[str, Any]:
        return views.inspect_exec(self._find(request))

    async def _create(self, request: Request) -> dict[str, Any]:
        body = body_of(request)
        container = self._engine.find(ref_of(request))
        if container.paused:
            raise refusal(409, f"Container {ref_of(request)} is paused, unpause the container before exec")
        _check_runs(container)
        keys_of_exec(body.get("DetachKeys", ""))
        made = Exec(self._engine.names.id(), container, body)
        self._engine.execs[made.id] = container.execs[made.id] = made
        self._engine.tell(container, f"exec_create: {made.shown}", execID=made.id)
        return {"Id": made.id}

    async def _start(self, request: Request) -> None:
        each, reply = self._find(request), request.reply
        container = each.container
        if container.paused:
            raise refusal(409, f"Container {container.id} is paused, unpause the container before exec")
        if each.running:
            raise refusal(409, f"Error: Exec command {each.id} is already running")
        if each.begun:
            raise refusal(409, f"Error: Exec command {each.id} has already run")
        _check_runs(container)
        asked = body_of(request)
        detached = bool(asked.get("Detach"))
        follower = None if detached else each.output.follow()
        try:
            program = self._life.processes.begin_exec(each)
        except SwarmError as exc:
            if follower is None:
                raise
            await each.output.add(Piece(1, self._engine.clock.now(), f"{exc.message}\r\n".encode()))
            program = None
        if program is not None:
            name = f"simulator: the exec {each.id}"
            self._engine.nursery.start_soon(supervised, name, self._life.processes.run_exec, each, program)
        if follower is None:
            await reply.ack()
            return
        streams = {n for n, name in ((1, "AttachStdout"), (2, "AttachStderr")) if each.config.get(name)}
        stdin = bool(each.config.get("AttachStdin"))
        tty = bool(asked.get("Tty"))  # how the client reads it, whatever the create has said
        typed = Typed(keys_of_exec(each.config.get("DetachKeys", ""))) if each.tty else None
        on_detach = partial(self._detached, each)
        stdio = Stdio(each, follower, streams, tty=tty, stdin=stdin, once=True, typed=typed, on_detach=on_detach)
        await reply.ack(stream=stdio)

    async def _detached(self, each: Exec) -> None:
        """Say as an engine that the exec has failed, and know no more of the process, which goes on."""
        each.exit_code = 126
        text = b"exec attach failed: error on attach stdin: read escape sequence\r\n"
        await each.output.add(Piece(1, self._engine.clock.now(), text))

    async def _resize(self, request: Request) -> None:
        height, width = terminal_size(ExecResize.of(request))
        each = self._find(request)
        if not each.running:
            raise refusal(500, "timeout waiting for exec session ready")
        self._engine.tell(each.container, "resize", height=str(height), width=str(width))


def _check_runs(container: Container) -> None:
    if not container.running:
        raise not_running(container.id)
    check_not_restarting(container.id, container.status)
