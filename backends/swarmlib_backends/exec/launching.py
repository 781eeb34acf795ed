"""swarmd's side of the launcher: starts processes through it, waits for their ends, and kills them."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import termios
from array import array
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import trio

from swarmlib import CLEANUP_SECONDS, Unavailable
from swarmlib.supervision import supervised

from . import launcher
from .launcher import ANNOUNCED, SUBREAPER, Request

_log = logging.getLogger(__name__)
_PROGRAM: Final = (sys.executable, "-I", "-S", launcher.__file__)
_KILLED: Final = 128 + signal.SIGKILL
_READ: Final = 4096
FILES: Final = resource.getrlimit(resource.RLIMIT_NOFILE)
"""The limit of open files that this program was started with; swarmd raises its own when it begins to serve."""


class StartError(OSError):
    """A process could not be started. `step` is what failed, in the launcher's words."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(number, os.strerror(number))
        self.step = step


@dataclass(eq=False)
class Streams:
    """The streams of a process: the ends that it gets as 0, 1 and 2 (`given`), and those that stay here.

    A process with a terminal has that one alone, another has no stdin unless it was asked for.
    """

    given: list[int] = field(default_factory=list[int])
    stdin: trio.lowlevel.FdStream | None = None
    stdout: trio.lowlevel.FdStream | None = None
    stderr: trio.lowlevel.FdStream | None = None
    terminal: trio.lowlevel.FdStream | None = None

    def close(self) -> None:
        """Close what stays here."""
        for end in (self.stdin, self.stdout, self.stderr, self.terminal):
            if end is not None:
                end.close()


@contextmanager
def opened_streams(*, stdin: bool, terminal: bool) -> Generator[Streams]:
    """Yield new streams; at the end, what the process was given is closed here, and the rest too if that failed.

    Raises:
        OSError: there are too many open files.
    """
    with ExitStack() as given, ExitStack() as kept:
        streams = Streams()
        kept.callback(streams.close)
        if terminal:
            _open_terminal(streams, given)
        else:
            _open_pipes(streams, given, stdin=stdin)
        yield streams
        kept.pop_all()


def _open_terminal(streams: Streams, given: ExitStack) -> None:
    master, slave = os.openpty()
    given.callback(os.close, slave)
    streams.terminal = trio.lowlevel.FdStream(master)
    streams.given = [slave] * 3


def _open_pipes(streams: Streams, given: ExitStack, *, stdin: bool) -> None:
    if stdin:
        read, write = os.pipe()
        streams.stdin = trio.lowlevel.FdStream(write)
    else:
        read = os.open(os.devnull, os.O_RDONLY)
    given.callback(os.close, read)
    streams.given.append(read)
    for name in ("stdout", "stderr"):
        read, write = os.pipe()
        given.callback(os.close, write)
        setattr(streams, name, trio.lowlevel.FdStream(read))
        streams.given.append(write)


def set_size(terminal: trio.lowlevel.FdStream, rows: int, columns: int) -> None:
    """Set a terminal's size, in characters; nothing happens where one is 0."""
    if rows and columns:
        fcntl.ioctl(terminal.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@dataclass(eq=False)
class Process:
    """A process that a launcher has started. pid, holder: process ids of it and of what holds its tree together."""

    pid: int
    holder: int
    stands: bool
    """False if it should have announced that it stands, and ended before."""
    streams: Streams
    status: trio.socket.SocketType
    returncode: int | None = None

    async def wait(self) -> int:
        """Wait for its end; gives its exit code, 128 + n after signal n. Only one task at a time may wait."""
        if self.returncode is None:
            said = await _received(self.status)
            self.returncode = int(said) if said else _KILLED
        return self.returncode

    def kill(self) -> None:
        """Make it end, with all that it has started."""
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it has ended just now
                os.kill(self.holder, signal.SIGTERM)

    def close(self) -> None:
        """Close all that leads to it; this does not end it."""
        self.streams.close()
        self.status.close()


async def _received(connection: trio.socket.SocketType) -> str:
    """Return what a launcher or a holder says next; "" if it has ended."""
    try:
        return (await connection.recv(_READ)).decode()
    except ConnectionError:
        return ""


class Launcher:
    """The launcher of one stage. It is started again, at the next start of a process, if somebody has ended it."""

    def __init__(self) -> None:
        self._process: trio.Process | None = None
        self._control: trio.socket.SocketType | None = None
        self._beginning = trio.Lock()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Have a launcher. It begins at once, so that the first process need not wait; with the context all end."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(supervised, "exec: the launcher of processes", self._ready)
                yield
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
                await self._end()

    async def start(self, request: Request, streams: Streams, options: bytes = b"") -> Process:
        """Start a process.

        options: what it may read from its descriptor 4.

        Raises:
            StartError: it could not be started. OSError: there are too many open files.
            Unavailable: the launcher does not run.
        """
        control = await self._ready()
        here, there = trio.socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with there, ExitStack() as files:
                contents = [json.dumps(request).encode(), *([options] if options else [])]
                asked, *more = [files.enter_context(_file(content)).fileno() for content in contents]
                await _send(control, [asked, there.fileno(), *streams.given, *more])
            return _process(await _received(here), request, streams, here)
        except BaseException:
            here.close()  # then the holder ends, and its process with it
            raise

    async def _ready(self) -> trio.socket.SocketType:
        async with self._beginning:
            if self._process is None or self._control is None or self._process.poll() is not None:
                await self._end()
                self._control = await self._begin()
            return self._control

    async def _begin(self) -> trio.socket.SocketType:
        here, there = trio.socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with there:
                self._process = await _run(there.fileno())
            mode = await _received(here)
            if not mode:
                raise Unavailable(f"exec's launcher ended with {await self._process.wait()}")
        except BaseException:
            here.close()
            raise
        if mode == SUBREAPER:
            _log.warning("exec: can't make pid namespaces; workloads that kill their holder may outlive it")
        return here

    async def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            await self._process.wait()


async def _run(control: int) -> trio.Process:
    null = subprocess.DEVNULL
    return await trio.lowlevel.open_process(
        [*_PROGRAM, str(control)], stdin=null, stdout=null, env={}, cwd="/", pass_fds=(control,), start_new_session=True
    )


def _file(content: bytes) -> BinaryIO:
    """Return a file in memory, at its beginning."""
    file = os.fdopen(os.memfd_create("swarmd"), "w+b", buffering=0)
    file.write(content)
    file.seek(0)
    return file


async def _send(control: trio.socket.SocketType, fds: list[int]) -> None:
    try:
        await control.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))])
    except ConnectionError as exc:
        raise Unavailable("exec's launcher has ended; the next start begins another") from exc


def _process(said: str, request: Request, streams: Streams, status: trio.socket.SocketType) -> Process:
    if said.count(" ") < 2:
        raise Unavailable("exec's launcher ended while it started the process")
    holder, pid, outcome = said.split(" ", 2)
    if outcome.startswith("{"):
        failure: launcher.Failure = json.loads(outcome)
        raise StartError(failure["step"], failure["errno"])
    return Process(int(pid), int(holder), not request["announces"] or outcome == ANNOUNCED, streams, status)
