"""One local process as a workload: its life and its input."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from swarmlib import Conflict, Invalid

from ..dockerapi.output import Output, Piece
from .sandbox import Sandbox, leader_in, stood_up

_DRAIN_SECONDS: Final = 1.0
"""How long output may still come after the exit, from processes that left the session with the pipes open."""
_READ: Final = 64 * 1024


@dataclass(eq=False)
class Workload:
    """A process to be, or that is, or was. Times are seconds since the epoch, 0 for never."""

    id: str
    name: str
    config: dict[str, Any]
    output: Output
    created: float = field(default_factory=time.time)
    status: str = "created"
    exit_code: int = 0
    error: str = ""
    started_at: float = 0
    finished_at: float = 0
    process: trio.Process | None = None
    leader: int = 0
    """The first process of its session, which gets the signals: `process`, or one in the sandbox that this keeps."""
    sandbox: Sandbox | None = None
    auto_remove: bool = False
    size: tuple[int, int] = (0, 0)
    """The terminal's rows and columns."""
    removed: trio.Event = field(default_factory=trio.Event)
    started: trio.Event = field(default_factory=trio.Event)
    exit_event: trio.Event = field(default_factory=trio.Event)
    """Set at the end of this run, or of the next one where none is under way; each run has its own."""
    _settled: trio.Event = field(default_factory=trio.Event)
    """Set when it is known whether a start has worked."""
    _master: trio.lowlevel.FdStream | None = None
    _first: Piece | None = None
    """What was read of its output before it is kept."""

    @property
    def tty(self) -> bool:
        """Whether it has a terminal."""
        return bool(self.config.get("Tty"))

    @property
    def running(self) -> bool:
        """Whether there is a process now, or is about to be."""
        return self.status in ("starting", "running", "paused")

    @property
    def command(self) -> list[str]:
        """The words of its command."""
        parts: list[Any] = [self.config.get("Entrypoint") or [], self.config.get("Cmd") or []]
        return [word for part in parts for word in ([part] if isinstance(part, str) else part)]

    async def start(self) -> None:
        """Start the process; `supervise` it then.

        Raises:
            Invalid: the program, the folder or the user doesn't exist, or the sandbox can't be made.
        """
        before, self.status = self.status, "starting"
        self._settled = settled = trio.Event()
        try:
            self.process = await self._open()
            self.leader = self.process.pid
            if self.sandbox is not None:
                await self._enter_sandbox(self.process)
        except (OSError, LookupError, ValueError) as exc:
            self.status, self.exit_code, self.error = before, 127, self._why_not(exc)
            raise Invalid(self.error) from exc
        except BaseException:
            self.status = before
            raise
        else:
            self.status, self.started_at, self.error = "running", time.time(), ""
            self.started.set()
        finally:
            settled.set()

    async def _enter_sandbox(self, process: trio.Process) -> None:
        stream, source = (1, self._master) if self._master else (2, process.stderr)
        assert source is not None
        try:
            first = await stood_up(source, process)
        except BaseException:
            await self._end(process)
            raise
        self.leader = leader_in(process)
        self._first = Piece(stream, time.time(), first)

    def _why_not(self, exc: Exception) -> str:
        folder = self.config.get("WorkingDir")
        program = self.command[0]
        if isinstance(exc, LookupError):
            return f"unable to find user {self.config['User']}"
        if folder and not os.path.isdir(folder):
            return f"the working directory {folder!r} doesn't exist"
        if isinstance(exc, ChildProcessError):
            return f"the sandbox can't be made: {exc}"
        if isinstance(exc, FileNotFoundError):
            return f'exec: "{program}": executable file not found in $PATH'
        return f'exec: "{program}": {(getattr(exc, "strerror", None) or str(exc)).lower()}'

    async def _open(self) -> trio.Process:
        user, group = _identity(str(self.config.get("User") or ""))
        options: dict[str, Any] = {
            "cwd": self.config.get("WorkingDir") or None,
            "env": self._environment(),
            "start_new_session": True,
            "user": user,
            "group": group,
        }
        command = self.command if self.sandbox is None else self.sandbox.command(self.command, tty=self.tty)
        if self.tty:
            return await self._open_on_terminal(command, options)
        stdin = subprocess.PIPE if self.config.get("OpenStdin") else subprocess.DEVNULL
        pipe = subprocess.PIPE
        return await trio.lowlevel.open_process(command, stdin=stdin, stdout=pipe, stderr=pipe, **options)

    async def _open_on_terminal(self, command: list[str], options: dict[str, Any]) -> trio.Process:
        master, slave = pty.openpty()
        self._master = trio.lowlevel.FdStream(master)
        try:
            self.resize(*self.size)
            if self.sandbox is None:  # else it is the terminal of the session in there
                options["preexec_fn"] = partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0)  # make it the session's terminal
            return await trio.lowlevel.open_process(command, stdin=slave, stdout=slave, stderr=slave, **options)
        except BaseException:
            await trio.aclose_forcefully(self._master)
            self._master = None
            raise
        finally:
            os.close(slave)

    def _environment(self) -> dict[str, str]:
        base = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/")}
        terminal = {"TERM": "xterm"} if self.tty else {}
        entries: list[str] = self.config.get("Env") or []
        given = [entry.partition("=") for entry in entries]
        return base | terminal | {name: value for name, is_set, value in given if is_set}

    async def supervise(self) -> None:
        """Keep its output, wait for its end, and end with it what it started."""
        process = self.process
        if process is None:
            return
        try:
            async with trio.open_nursery() as readers:
                for stream, source in ((1, self._master or process.stdout), (2, process.stderr)):
                    if source is not None:
                        readers.start_soon(self._keep, stream, source)
                await process.wait()
                self._kill_all(process)
                readers.cancel_scope.deadline = trio.current_time() + _DRAIN_SECONDS
        finally:
            await self._end(process)
            self._ended(process)

    async def _end(self, process: trio.Process) -> None:
        """Make it end if it has not, and close what leads to it."""
        if process.returncode is None:
            self._kill_all(process)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _DRAIN_SECONDS):
                await process.wait()
        for end in (process.stdin, process.stdout, process.stderr, self._master):
            if end is not None:
                await trio.aclose_forcefully(end)
        self._master = None

    def _ended(self, process: trio.Process) -> None:
        code = process.returncode or 0
        self.exit_code = 128 - code if code < 0 else code
        self.status, self.finished_at = "exited", time.time()
        self.started = trio.Event()
        self.output.end_run()

    def tell_exit(self) -> None:
        """Wake who waits for the exit: a step of its own, for what must be seen done by then."""
        self.exit_event.set()
        self.exit_event = trio.Event()

    async def _keep(self, stream: int, source: trio.abc.ReceiveStream) -> None:
        if self._first is not None and self._first.stream == stream and self._first.data:
            await self.output.add(self._first)
        try:
            while data := await source.receive_some(_READ):
                await self.output.add(Piece(stream, time.time(), bytes(data)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # a terminal's master says EIO when the last process that has it open ends

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Give it input, once it runs. Raises `trio.BrokenResourceError` when it doesn't read any more."""
        await self.started.wait()
        sink = self._master or (self.process.stdin if self.process else None)
        if sink is None:
            raise trio.BrokenResourceError("the workload has no stdin")
        await sink.send_all(data)

    async def end_input(self) -> None:
        """Close its stdin, once it runs; a terminal has no end but Ctrl-D."""
        await self.started.wait()
        if self.process is not None and self.process.stdin is not None:
            await self.process.stdin.aclose()

    def signal(self, number: int) -> None:
        """Send a signal to the process and all that it started.

        Raises:
            Conflict: it doesn't run.
        """
        if self.process is None or self.process.returncode is not None:
            raise Conflict(f"Container {self.id} is not running")
        _signal(self.leader, number)

    @staticmethod
    def _kill_all(process: trio.Process) -> None:
        """End its group; a sandbox's init is in it, and with that all that the sandbox holds."""
        _signal(process.pid, signal.SIGKILL)

    async def stop(self, number: int, grace: float) -> None:
        """Ask it to end, make it after `grace` seconds, and wait for that."""
        await self._settled.wait()
        if not self.running:
            return  # it could not start
        ended = self.exit_event
        self.signal(number)
        if self.status == "paused":
            self.signal(signal.SIGCONT)
        with trio.move_on_after(grace):
            await ended.wait()
            return
        if self.process is not None and self.process.returncode is None:
            _signal(self.leader, signal.SIGKILL)
        await ended.wait()

    def resize(self, rows: int, columns: int) -> None:
        """Tell it its terminal's size; 0 leaves it as it is."""
        self.size = (rows, columns)
        if self._master is not None and rows and columns:
            fcntl.ioctl(self._master.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError):  # all of it has ended
        os.killpg(group, number)


def _identity(text: str) -> tuple[int | str | None, int | str | None]:
    """The user and group of `user[:group]`, numbers as numbers."""
    user, _, group = text.partition(":")
    found = [int(part) if part.isdigit() else part or None for part in (user, group)]
    return found[0], found[1]
