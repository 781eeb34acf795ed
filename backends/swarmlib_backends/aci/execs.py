"""Processes beside those of containers, as by `docker exec`: each is a shell on a terminal of Azure's.

Azure remembers nothing of them: only the gateway that has made one knows of it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import trio

from swarmlib import TimedOut, Unsupported
from swarmlib.supervision import supervised

from ..dockerapi.nullable import list_of
from ..dockerapi.status import refusal
from ..enginekit.events import Events
from ..enginekit.execs import exec_stdio
from ..enginekit.output import Piece
from ..enginekit.remembered_execs import RememberedExec, RememberedExecs
from ..http.websocket_stream import WebSocketStream
from .arm import Groups
from .commands import SHELL, Marked
from .container import Instance

_BEGIN_SECONDS: Final = 30.0
"""How long a shell may take to begin."""
_ROWS: Final = 24
_COLUMNS: Final = 80
_LOST: Final = 137
"""The exit code of a process whose end was not told."""
_STDOUT: Final = 1
_END_OF_FILE: Final = b"\x04"
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


ShellExec: TypeAlias = RememberedExec[Instance]


@dataclass(eq=False)
class _Terminal:
    """A process's terminal, for `enginekit.Stdio`: what the process writes, and its input."""

    socket: WebSocketStream
    marked: Marked
    now: Callable[[], float]
    on_end: Callable[[int], None]
    closed: trio.Event = field(default_factory=trio.Event)
    ahead: bytes = b""
    """What was received before anybody read."""
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _left: bool = False

    async def begin(self) -> None:
        """Wait until the command begins. Raises `SwarmError` where there is no shell."""
        with trio.move_on_after(_BEGIN_SECONDS):
            while not self.marked.begun:
                if not (data := await self.socket.receive_some()):
                    said = self.marked.rest().decode("utf-8", "replace").strip()
                    raise refusal(400, f"exec on Azure needs {SHELL} in the container: {said or 'it has none'}")
                self.ahead += self.marked.feed(bytes(data))
            return
        raise TimedOut(f"the shell in the container did not begin within {_BEGIN_SECONDS:g} s")

    async def next(self) -> Piece | None:
        """Return the next output; None at the end, or when the client has detached."""
        with trio.CancelScope() as self._scope:
            while not self._left:
                if self.ahead:
                    data, self.ahead = self.ahead, b""
                    return Piece(_STDOUT, self.now(), data)
                if self.marked.code is not None:
                    break
                if not (data := bytes(await self.socket.receive_some())):
                    break
                self.ahead = self.marked.feed(data)
        if not self._left:
            self._left = True
            self.on_end(_LOST if self.marked.code is None else self.marked.code)
        return None

    def end(self) -> None:
        """Give no more."""
        self._left = True
        self._scope.cancel()

    def close(self) -> None:
        """Note that the client has gone."""
        self.closed.set()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send input."""
        await self.socket.send_all(data)

    async def end_input(self) -> None:
        """End the input as one does at a terminal: Azure can't end one direction alone."""
        await self.socket.send_all(_END_OF_FILE)


class Execs(RememberedExecs[Instance, ShellExec]):
    """Answers what is asked of processes in containers."""

    def __init__(
        self,
        find: Callable[[str], Instance],
        groups: Groups,
        events: Events,
        now: Callable[[], float],
        nursery: trio.Nursery,
    ) -> None:
        super().__init__(find, events)
        self._groups = groups
        self._now = now
        self._nursery = nursery

    def make(self, container: Instance, body: dict[str, Any]) -> ShellExec:
        """See `ExecOperations`."""
        _check(body)
        return self.remember(ShellExec(secrets.token_hex(32), container, body))

    async def open(self, each: ShellExec, body: dict[str, Any]) -> trio.abc.Stream | None:
        """See `ExecOperations`."""
        each.begun = True
        self.tell(each, f"exec_start: {each.shown}")
        try:
            terminal: _Terminal = await self._nursery.start(self._hold, each, body)
        except BaseException:
            self._ended(each, _LOST)
            raise
        if body.get("Detach"):
            return None
        return exec_stdio(each.config, terminal, terminal, body, partial(self._detached, each))

    async def _hold(self, each: ShellExec, body: dict[str, Any], *, task_status: trio.TaskStatus[_Terminal]) -> None:
        """Hold the connection of a process until it has ended, or its client has gone."""
        async with self._running(each, body) as terminal:
            task_status.started(terminal)
            await supervised(f"aci: the exec {each.id} in {each.container.name}", self._until_end, each, body, terminal)

    async def _until_end(self, each: ShellExec, body: dict[str, Any], terminal: _Terminal) -> None:
        if not body.get("Detach"):
            await terminal.closed.wait()
        while not each.over and await terminal.next() is not None:
            pass

    @asynccontextmanager
    async def _running(self, each: ShellExec, body: dict[str, Any]) -> AsyncGenerator[_Terminal]:
        rows, columns = body.get("ConsoleSize") or each.config.get("ConsoleSize") or (_ROWS, _COLUMNS)
        stdin = bool(each.config.get("AttachStdin")) and not body.get("Detach")
        env = dict(entry.split("=", 1) for entry in list_of(each.config.get("Env")))
        marked = Marked(each.tty)
        script = marked.script(each.config["Cmd"], env, str(each.config.get("WorkingDir") or ""), stdin=stdin)
        group = each.container.record.group
        with each.container.kept():
            async with (
                self._groups.executing(group, SHELL, rows or _ROWS, columns or _COLUMNS) as socket,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(socket.keep_alive)
                terminal = _Terminal(socket, marked, self._now, partial(self._ended, each))
                await socket.send_all(script.encode())
                await terminal.begin()
                yield terminal
                nursery.cancel_scope.cancel()

    def _ended(self, each: ShellExec, code: int) -> None:
        """Note the end of a process."""
        if not each.over:
            each.over, each.code = True, code
            self.tell(each, "exec_die", exitCode=str(code))

    async def _detached(self, each: ShellExec) -> None:
        """Say so: the process ends with its terminal."""
        self.tell(each, "exec_detach")

    async def resize(self, each: ShellExec, rows: int, columns: int) -> None:
        """Do nothing: a terminal on Azure keeps the size that it began with, and clients ask for one at each start."""


def _check(body: dict[str, Any]) -> None:
    """Refuse what can't be had of a process. Raises `Unsupported`."""
    if body.get("AttachStdin") and not body.get("Tty"):
        raise Unsupported("exec with input needs a terminal on Azure: use -it, or leave out -i")
    for name in ("User", "Privileged"):
        if body.get(name):
            raise Unsupported(f"exec with {name} is not supported: on Azure, a process is as its container")
    for entry in list_of(body.get("Env")):
        if "=" not in entry or not _NAME.fullmatch(entry.partition("=")[0]):
            raise Unsupported(f"exec with the variable {entry!r:.80} is not supported: a shell has to set it")
