"""A simulated process: a program that runs, its stdin, its output, and the signals that it gets."""

from __future__ import annotations

import posixpath
import signal
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from ..enginekit.clock import Clock
from .files import Files, Node
from .users import User

KILLED: Final = 128 + signal.SIGKILL


class Sink(trio.abc.SendStream):
    """Where a program writes: its stdout or stderr."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._write = write

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write; waits while a client that follows is too far behind, or the container is paused."""
        await self._write(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for nothing: `send_all` does."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
        await trio.lowlevel.checkpoint()


@dataclass(frozen=True, eq=False)
class Run:
    """What a program is given. It returns its exit code."""

    args: Sequence[str]
    """Its command line, its own name first."""
    env: dict[str, str]
    stdin: trio.abc.ReceiveStream
    stdout: Sink
    stderr: Sink
    files: Files
    """Its container's."""
    process: Process
    program: Callable[[str], Program | None]
    """Finds another program by its name."""
    beside: Callable[[], Sequence[Process]]
    """What runs in its container, itself too."""
    resolve: Callable[[str], Sequence[str] | None]
    """The addresses of a name as the name service of its container's networks tells them; None if it has none."""
    folder: str = "/"
    """Where it runs: what its relative paths begin at."""

    @property
    def user(self) -> User:
        """Who it runs as."""
        return self.process.user

    async def say(self, data: str | bytes | bytearray) -> int:
        """Write to stdout; gives the exit code of what has succeeded."""
        await self.stdout.send_all(data.encode() if isinstance(data, str) else data)
        return 0

    async def fail(self, text: str, code: int = 1) -> int:
        """Write a line to stderr; gives the exit code."""
        await self.stderr.send_all(f"{text}\n".encode())
        return code

    def node(self, name: str) -> Node | None:
        """Return what stands at a path of its own; None if there is nothing."""
        return self.files.get(self.path(name))

    def path(self, name: str) -> str:
        """Return a path of its own as an absolute and normal one."""
        return posixpath.normpath(posixpath.join(self.folder, name))

    async def sleep(self, seconds: float) -> None:
        """Wait on the engine's clock, and then for the container to be no longer paused."""
        await self.process.clock.sleep(seconds)
        await self.process.thawed()

    def on_signal(self, number: int, handler: Callable[[], None]) -> None:
        """Have `handler` called at a signal. The first process of a container ignores those that have none."""
        self.process.handlers[number] = handler

    def use(self, *, memory: int = 0, cpus: float = 0.0) -> None:
        """Say what it uses from now on: bytes, and how many CPUs it keeps busy; for `stats` and the memory's limit."""
        self.process.use(memory, cpus)


Program: TypeAlias = Callable[[Run], Awaitable[int]]


class Process:
    """One run of a program, from `run` to its `code`."""

    def __init__(self, pid: int, command: Sequence[str], clock: Clock, user: User, *, first: bool) -> None:
        self.pid = pid
        self.command = command
        self.user = user
        self.clock = clock
        self.started = clock.now()
        self.handlers: dict[int, Callable[[], None]] = {}
        self.memory = 0
        self.code: int | None = None
        self.on_use: Callable[[], None] = _nothing
        self.first = first
        """Whether it is its container's first, which ignores a signal that it has no handler for."""
        self._scope = trio.CancelScope()
        self._end = 0
        self._frozen: trio.Event | None = None
        self._cpus = 0.0
        self._busy = 0.0
        self._since = self.started

    async def run(self, program: Program, given: Run) -> int:
        """Run it to its end; gives its exit code."""
        with self._scope:
            code = await program(given)
            await self.thawed()
            self._end = code & 0xFF
        self.code = self._end
        return self._end

    def kill(self, code: int = KILLED) -> None:
        """End it now."""
        self._end = code
        self._scope.cancel()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        handler = self.handlers.get(number)
        if number == signal.SIGKILL:
            self.kill()
        elif number == signal.SIGSTOP:
            self.freeze()
        elif number == signal.SIGCONT and handler is None:
            self.thaw()
        elif handler is not None:
            handler()
        elif not self.first and number not in _HARMLESS:
            self.kill(128 + number)

    def freeze(self) -> None:
        """Let it not go on."""
        self._frozen = self._frozen or trio.Event()

    def thaw(self) -> None:
        """Let it go on."""
        if self._frozen is not None:
            self._frozen.set()
            self._frozen = None

    async def thawed(self) -> None:
        """Wait until it may go on."""
        while self._frozen is not None:
            await self._frozen.wait()

    def use(self, memory: int, cpus: float) -> None:
        """See `Run.use`."""
        self._busy, self._since = self.busy, self.clock.now()
        self.memory, self._cpus = memory, cpus
        self.on_use()

    @property
    def busy(self) -> float:
        """CPU seconds that it has used."""
        return self._busy + self._cpus * (self.clock.now() - self._since)


def contained(program: Program) -> Program:
    """Return a program whose mistakes end it as Python's programs end of theirs, and not the engine with it."""

    async def run(given: Run) -> int:
        try:
            return await program(given)
        except OSError as exc:
            await given.stderr.send_all(f"{given.args[0]}: {exc.filename}: {exc.strerror}\n".encode())
            return 1
        except Exception:  # noqa: BLE001 - whatever it is, it is said in the container's output
            await given.stderr.send_all(traceback.format_exc().encode())
            return 1

    return run


def _nothing() -> None:
    """Nobody asks for what it uses."""


_HARMLESS: Final = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
