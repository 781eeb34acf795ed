"""One local process as a workload: its life and its input."""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import trio

from swarmlib import Invalid, SwarmError, Unavailable

from ..dockerapi.nullable import list_of
from ..enginekit.container import Container
from ..enginekit.output import Piece
from ..enginekit.refusals import not_running
from .body import no_new_privileges
from .credentials import Credentials, check_permitted, credentials
from .launcher import Request
from .launching import FILES, Launcher, Process, StartError, opened_streams, set_size
from .sandbox import Sandbox, leader_in, sandbox_error

_DRAIN_SECONDS: Final = 1.0
"""How long output may still come after the exit, from processes that have the pipes open and don't end with it."""
_READ: Final = 64 * 1024
_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOSPC)
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(eq=False)
class ProcessContainer(Container):
    """A process to be, or that is, or was. `pid` is the first process of its session, which gets the signals: its
    `process`, or one in the sandbox that this is.
    """

    launcher: Launcher = field(kw_only=True)
    sandbox: Sandbox | None = None
    inside: dict[str, Beside] = field(default_factory=dict[str, "Beside"])
    """The processes in its place, by their ids."""
    process: Process | None = None
    size: tuple[int, int] = (0, 0)
    """The terminal's rows and columns."""
    _runs: trio.Event = field(default_factory=trio.Event)
    _settled: trio.Event = field(default_factory=trio.Event)
    """Set when it is known whether a start has worked."""

    @property
    def network_mode(self) -> str:
        """The network that it is shown to have."""
        return "host" if self.sandbox is None or self.sandbox.network else "none"

    @property
    def joined(self) -> int:
        """The holder of the process whose namespaces it enters; 0 for new ones."""
        return 0

    async def start(self) -> None:
        """Start the process.

        Raises:
            Invalid: the program, the folder or the user doesn't exist, or the sandbox can't be made.
            Denied: swarmd may not start processes of this user.
            Unavailable: it can't be started now: there are too many processes or open files.
        """
        before, self.status = self.status, "starting"
        self._settled = settled = trio.Event()
        try:
            await self._open()
        except OSError as exc:
            self._failed(before, self._why_not(exc))
            raise (Unavailable if exc.errno in _SHORTAGES else Invalid)(self.error) from exc
        except SwarmError as exc:
            self._failed(before, exc.message)
            raise
        except BaseException:
            self.status = before
            raise
        else:
            self.began()
            self._runs.set()
        finally:
            settled.set()

    def _failed(self, status: str, why: str) -> None:
        self.status, self.exit_code, self.error = status, 127, why

    def _why_not(self, exc: OSError) -> str:
        step = exc.step if isinstance(exc, StartError) else ""
        words = (exc.strerror or str(exc)).lower()
        if step == "folder":
            return f"the working directory {self.config.get('WorkingDir')!r} can't be used: {words}"
        if isinstance(exc, ChildProcessError):
            return f"can't make the sandbox: {exc}"
        if step == "program" or isinstance(exc, FileNotFoundError):
            absent = isinstance(exc, FileNotFoundError) or exc.errno == errno.ENOENT
            return f'exec: "{self.command[0]}": {"executable file not found in $PATH" if absent else words}'
        return f"can't start the process: {words}{f', at the step {step}' if step else ''}"

    async def _open(self) -> None:
        found = await trio.to_thread.run_sync(self._credentials)
        with opened_streams(stdin=bool(self.config.get("OpenStdin")), terminal=self.tty) as streams:
            if streams.terminal is not None:
                set_size(streams.terminal, *self.size)
            request, options = self._request(found)
            process = await self.launcher.start(request, streams, options)
        if not process.stands:
            raise await _why_no_sandbox(process)
        self.process = process
        self.pid = process.pid if self.sandbox is None else leader_in(process.pid)

    def _credentials(self) -> Credentials:
        """Whose process it is; in a sandbox, in there, where everybody may be anybody."""
        found = credentials(self.config.get("User") or "", list_of(self.host.get("GroupAdd")))
        if self.sandbox is None:
            check_permitted(found)
        return found

    def _request(self, found: Credentials) -> tuple[Request, bytes]:
        """Return what the launcher is asked for, and the sandbox's options."""
        if self.sandbox is not None:
            return self._sandboxed(found, self.sandbox)
        request = Request(
            words=self.command,
            env=self._environment(found),
            folder=self.config.get("WorkingDir") or "/",
            user=found.user if os.geteuid() == 0 else None,
            group=found.group,
            groups=[*found.groups],
            no_new_privileges=not found.own or no_new_privileges(self.config),
            terminal=self.tty,
            announces=False,
            files=FILES,
            join=self.joined,
        )
        return request, b""

    def _sandboxed(self, found: Credentials, sandbox: Sandbox) -> tuple[Request, bytes]:
        user = sandbox.user
        asked = Request(
            words=sandbox.command(self.command, tty=self.tty),
            env={},
            folder="/",
            user=user,
            group=user or 0,
            groups=[],
            no_new_privileges=True,
            terminal=False,  # it is that of the session in the sandbox
            announces=True,
            files=FILES,
            join=0,
        )
        return asked, sandbox.options(found, self._environment(found))

    def _environment(self, found: Credentials) -> dict[str, str]:
        hostname = os.uname().nodename if self.sandbox is None else self.sandbox.hostname
        base = {"PATH": _PATH, "HOSTNAME": hostname, "HOME": found.home}
        terminal = {"TERM": "xterm"} if self.tty else {}
        given = [entry.partition("=") for entry in list_of(self.config.get("Env"))]
        return base | terminal | {name: value for name, is_set, value in given if is_set}

    async def supervise(self) -> None:
        """Keep its output, and wait for its end, with which all that it started ends, and what is in its place."""
        process = self.process
        if process is None:
            return
        streams = process.streams
        try:
            async with trio.open_nursery() as readers:
                for stream, source in ((1, streams.terminal or streams.stdout), (2, streams.stderr)):
                    if source is not None:
                        readers.start_soon(self._keep, stream, source)
                await process.wait()
                readers.cancel_scope.deadline = trio.current_time() + _DRAIN_SECONDS
        finally:
            await self._end(process)
            self._runs = trio.Event()
            self.ended(process.returncode or 0)
            for each in self.inside.values():
                each.kill()

    async def _end(self, process: Process) -> None:
        """Make it end if it has not, and close what leads to it."""
        process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _DRAIN_SECONDS):
            await process.wait()
        process.close()

    async def _keep(self, stream: int, source: trio.abc.ReceiveStream) -> None:
        try:
            while data := await source.receive_some(_READ):
                await self.output.add(Piece(stream, time.time(), bytes(data)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # a terminal's master says EIO when the last process that has it open ends

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Give it input, once it runs. Raises `trio.BrokenResourceError` when it doesn't read any more."""
        await self._runs.wait()
        sink = (self.process.streams.terminal or self.process.streams.stdin) if self.process else None
        if sink is None:
            raise trio.BrokenResourceError("the workload has no stdin")
        await sink.send_all(data)

    async def end_input(self) -> None:
        """Close its stdin, once it runs; a terminal has no end but Ctrl-D."""
        await self._runs.wait()
        if self.process is not None and self.process.streams.stdin is not None:
            await self.process.streams.stdin.aclose()

    def signal(self, number: int) -> None:
        """Send a signal to the process and its process group. Raises `Conflict` if it doesn't run."""
        if self.process is None or self.process.returncode is not None:
            raise not_running(self.id)
        with suppress(ProcessLookupError):  # all of it has ended
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it at once, with all that it started."""
        if self.process is not None:
            self.process.kill()

    def pause(self) -> None:
        """Stop it."""
        self.signal(signal.SIGSTOP)

    def unpause(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    async def stop(self, number: int, grace: float) -> None:
        """Stop it as every container, once it is known whether its start has worked."""
        await self._settled.wait()
        if self.running:
            await super().stop(number, grace)

    def resize(self, rows: int, columns: int) -> None:
        """Tell it its terminal's size; 0 leaves it as it is."""
        self.size = (rows, columns)
        if self.process is not None and self.process.streams.terminal is not None and self.running:
            set_size(self.process.streams.terminal, rows, columns)


@dataclass(eq=False)
class Beside(ProcessContainer):
    """A process in the place of a workload, with which it ends."""

    container: ProcessContainer = field(kw_only=True)

    @property
    def begun(self) -> bool:
        """Whether its start was asked for."""
        return self.status != "created"

    @property
    def code(self) -> int | None:
        """Its exit code; None before its end."""
        return self.exit_code if self.status == "exited" else None

    @property
    def joined(self) -> int:
        """See `ProcessContainer`."""
        return self.container.process.holder if self.container.process is not None else 0


async def _why_no_sandbox(process: Process) -> OSError:
    """Return the error of a process that has ended before its sandbox stood; closes what leads to it."""
    source, said = process.streams.terminal or process.streams.stderr, b""
    try:
        with trio.move_on_after(_DRAIN_SECONDS), suppress(trio.BrokenResourceError):
            while source is not None and (data := await source.receive_some(_READ)):
                said += data
        return sandbox_error(await process.wait(), said)
    finally:
        process.close()
