"""Processes beside those of containers, as by `docker exec`: each is an exec of the cluster.

A cluster remembers nothing of them: only the gateway that has made one knows of it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from swarmlib import BadAnswer, SwarmError, Unsupported

from ..dockerapi.nullable import list_of
from ..dockerapi.status import refusal
from ..enginekit.events import Events
from ..enginekit.execs import exec_stdio
from ..enginekit.output import Piece
from ..enginekit.remembered_execs import RememberedExec, RememberedExecs
from . import tools
from .attach import RemoteStdio, piece_of, remote
from .cluster import Cluster
from .container import PodContainer
from .holding import held
from .pods import names, shim
from .streams.remote import RemoteCommand, RemoteProcess

_log = logging.getLogger(__name__)
_LONGEST_LINE: Final = 64 * 1024
_READY_SECONDS: Final = 10.0
"""How long the size of a terminal may wait for its process, as in an engine."""
_KILLED: Final = 137
_FAILED: Final = 126
_OF_THE_TOOLS: Final = ("Env", "User", "WorkingDir")


@dataclass(eq=False)
class PodExec(RememberedExec[PodContainer]):
    """A process in a container of a Pod. Its `pid` is that in the Pod; 0 where the Pod has no tools, too."""

    process: RemoteProcess | None = None
    settled: trio.Event = field(default_factory=trio.Event)
    """Set when it runs, or could not be run."""


class Execs(RememberedExecs[PodContainer, PodExec]):
    """Answers what is asked of processes in containers."""

    def __init__(self, cluster: Cluster, events: Events, now: Callable[[], float], nursery: trio.Nursery) -> None:
        super().__init__(cluster.mirror.containers.find, events)
        self._cluster = cluster
        self._now = now
        self._nursery = nursery

    def make(self, container: PodContainer, body: dict[str, Any]) -> PodExec:
        """See `ExecOperations`."""
        if body.get("Privileged"):
            raise Unsupported("Privileged is not supported: in a cluster, a process has its container's privileges")
        made = PodExec(names.new_id(), container, body)
        self._words(made)  # what can't be had is refused here
        return self.remember(made)

    def _words(self, each: PodExec) -> tuple[str, ...]:
        """Return the command of a process, with what Kubernetes does not set for one. Raises `Unsupported`."""
        config, options = each.config, self._cluster.options
        if options.tools == "never":
            for name in _OF_THE_TOOLS:
                if config.get(name):
                    tools.check_tools(self._cluster, f"exec with {name}")
            return tuple(config["Cmd"])
        linked = [f"{name}={value}" for name, value in each.container.record.linked.items()]
        env, own = list_of(each.container.config.get("Env")), [*linked, *list_of(config.get("Env"))]
        user, folder = str(config.get("User") or ""), str(config.get("WorkingDir") or "")
        return tuple(shim.exec_command(config["Cmd"], env, own, user=user, folder=folder, options=options))

    async def open(self, each: PodExec, body: dict[str, Any]) -> trio.abc.Stream | None:
        """See `ExecOperations`."""
        each.begun = True
        self.tell(each, f"exec_start: {each.shown}")
        detached, closed = bool(body.get("Detach")), trio.Event()
        stdin = bool(each.config.get("AttachStdin")) and not detached
        command = RemoteCommand("exec", names.MAIN, self._words(each), stdin=stdin, tty=each.tty)
        try:
            stdio = await held(self._nursery, self._running(each, command, closed), closed)
        except BaseException:
            self._ended(each, _FAILED)
            raise
        finally:
            each.settled.set()
        if not detached:
            return exec_stdio(each.config, stdio, stdio, body, partial(self._detached, each, stdio))
        stdio.close()
        if not each.pid and stdio.ahead:
            raise refusal(400, stdio.ahead[0].data.decode("utf-8", "replace").strip())
        return None

    @asynccontextmanager
    async def _running(self, each: PodExec, command: RemoteCommand, closed: trio.Event) -> AsyncGenerator[RemoteStdio]:
        """Run a process to its end, which may come long after its client has gone."""
        async with remote(self._cluster, each.container, command) as process:
            stdio = RemoteStdio(process, closed, self._now, partial(self._ended, each))
            if self._cluster.options.tools != "never":
                await self._begin(each, stdio)
            each.process = process
            yield stdio
            if command.stdin:
                with suppress(SwarmError, trio.BrokenResourceError):
                    await process.end_input()
            try:
                while not each.over and await process.receive() is not None:
                    pass
            except SwarmError as exc:
                _log.warning("kubernetes: the exec %s in %s was lost: %s", each.id, each.container.name, exc)
            self._ended(each, process.exit_code)

    async def _begin(self, each: PodExec, stdio: RemoteStdio) -> None:
        """Read the first line of a process, which the shim writes: its process id, or why it can't be run."""
        line = b""
        while b"\n" not in line and (received := await stdio.process.receive()) is not None:
            if received[0] == "stdout":
                line += received[1]
            else:
                stdio.ahead.append(piece_of(received, self._now()))
            if len(line) > _LONGEST_LINE:
                raise BadAnswer(f"the Pod of {each.container.name} did not say whether it runs the command")
        first, _, rest = line.partition(b"\n")
        if first.strip().isdigit():
            each.pid = int(first)
        else:
            rest = first.strip() + b"\r\n" + rest
        if rest:
            stdio.ahead.append(Piece(1, self._now(), rest))

    def _ended(self, each: PodExec, code: int | None) -> None:
        """Note the end of a process. code: None if the container ended, or was lost, before that of it was known."""
        if not each.over:
            each.over = True
            code = _KILLED if code is None else code
            each.code = code if each.code is None else each.code
            self.tell(each, "exec_die", exitCode=str(code))

    async def _detached(self, each: PodExec, stdio: RemoteStdio) -> None:
        """Say as an engine that the exec has failed; the process goes on."""
        each.code = _FAILED
        text = b"exec attach failed: error on attach stdin: read escape sequence\r\n"
        stdio.ahead.append(Piece(1, self._now(), text))

    async def resize(self, each: PodExec, rows: int, columns: int) -> None:
        """See `ExecOperations`."""
        with trio.move_on_after(_READY_SECONDS):
            await each.settled.wait()
        if each.process is None or each.over:
            raise refusal(500, "timeout waiting for exec session ready")
        await each.process.resize(rows, columns)
        self.events.tell_container(each.container, "resize", height=str(rows), width=str(columns))
