"""A container that a backend plays: what it is, how it is, and what is asked of it.

A backend whose containers are tasks overrides `run`. One whose containers are something else, such as processes of a
machine, overrides `start`, `supervise`, `signal` and `kill`.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from swarmlib import Conflict, Unsupported

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.values import signal_number
from .output import Output, Piece
from .pipe import Pipe
from .refusals import check_running

LOG_BYTES: Final = 16 * 1024 * 1024
_GRACE: Final = 10
"""Seconds between asking a container to stop and making it, unless something else is said."""
_HARMLESS: Final = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)


class Configured:
    """What the configuration of a container, or of a process in one, says."""

    __slots__ = ()
    config: dict[str, Any]

    @property
    def tty(self) -> bool:
        """Whether it has a terminal."""
        return bool(self.config.get("Tty"))

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict_of(self.config.get("Labels"))

    @property
    def stop_signal(self) -> int:
        """The signal that asks it to end."""
        return signal_number(str(self.config.get("StopSignal") or "TERM"))

    @property
    def grace(self) -> int:
        """Seconds that it then has; a negative number stands for any time."""
        given = self.config.get("StopTimeout")
        return _GRACE if given is None else int(given)


@dataclass(eq=False)
class Container(Configured):
    """A container. Times are seconds since the epoch, 0 for never."""

    id: str
    name: str
    config: dict[str, Any]
    """The body of its creation."""
    output: Output = field(default_factory=lambda: Output(LOG_BYTES))
    """What it has written."""
    stdin: Pipe = field(default_factory=Pipe)
    created: float = field(default_factory=time.time)
    status: str = "created"
    """An engine's word for its state; `starting` while it is about to run."""
    exit_code: int = 0
    error: str = ""
    """Why its last start failed."""
    started: float = 0
    finished: float = 0
    pid: int = 0
    stoppers: int = 0
    """Calls for whose time it does not remove itself when it ends."""
    removed: trio.Event = field(default_factory=trio.Event)
    exited: trio.Event = field(default_factory=trio.Event)
    """Set at the end of this run, or of the next one where none is under way; each run has its own."""
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def running(self) -> bool:
        """Whether it runs now, or is about to."""
        return self.status in ("starting", "running", "paused")

    @property
    def command(self) -> list[str]:
        """The words of its command."""
        return [*list_of(self.config.get("Entrypoint")), *list_of(self.config.get("Cmd"))]

    @property
    def image(self) -> str:
        """The name of its image."""
        return str(self.config.get("Image") or "")

    @property
    def host(self) -> dict[str, Any]:
        """The host's side of its configuration."""
        return dict_of(self.config.get("HostConfig"))

    @property
    def network_mode(self) -> str:
        """The network that it is shown to have."""
        return "none"

    # What a backend overrides.

    async def run(self) -> int:
        """Do what the container does, to its end; returns its exit code. A signal that ends it cancels this."""
        await trio.sleep_forever()
        return 0

    async def start(self) -> None:
        """Begin a run, which `supervise` then brings to its end. Raises `SwarmError` if it can't begin."""
        self._scope = trio.CancelScope()
        if not (self.config.get("OpenStdin") or self.tty):
            self.stdin.end()
        self.began()

    async def supervise(self) -> None:
        """Run it to its end."""
        with self._scope:
            self.exit_code = await self.run()
        self.ended(self.exit_code)

    def signal(self, number: int) -> None:
        """Send it a signal. Raises `Conflict` if it doesn't run."""
        check_running(self)
        if number not in _HARMLESS:
            self.exit_code = 128 + number
            self._scope.cancel()

    def kill(self) -> None:
        """End it at once, if it runs."""
        with suppress(Conflict):
            self.signal(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it from going on. Raises `Unsupported` where that can't be."""
        raise Unsupported(f"{self.name} can't be paused")

    def unpause(self) -> None:
        """Let it go on."""
        raise Unsupported(f"{self.name} can't be paused")

    def resize(self, rows: int, columns: int) -> None:
        """Tell it the size of its terminal."""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Give it input. Raises `trio.BrokenResourceError` when it doesn't read any more."""
        await self.stdin.write(data)

    async def end_input(self) -> None:
        """Close its stdin."""
        self.stdin.end()

    # What the overriding methods use.

    async def say(self, text: str, stream: int = 1) -> None:
        """Write text, to stdout or (2) to stderr; waits while a client that follows is too far behind."""
        await self.output.add(Piece(stream, time.time(), text.encode()))

    def began(self) -> None:
        """Note that it runs from now on."""
        self.status, self.started, self.exit_code, self.error = "running", time.time(), 0, ""

    def ended(self, code: int) -> None:
        """Note that its run is over."""
        self.status, self.exit_code, self.finished = "exited", code, time.time()
        self.stdin.close()
        self.stdin = Pipe()
        self.output.end_run()

    # What calls use.

    def tell_exit(self) -> None:
        """Wake those who wait for the exit: a step of its own, for what must be seen done by then."""
        self.exited.set()
        self.exited = trio.Event()

    async def stop(self, number: int, grace: float) -> None:
        """Ask it to end by a signal, make it after `grace` seconds (never if that is negative), and wait for that."""
        ended = self.exited
        with suppress(Conflict):  # it has ended, and what it wrote is still being read
            self.signal(number)
            if self.status == "paused":
                self.unpause()
        with trio.move_on_after(grace if grace >= 0 else float("inf")):
            await ended.wait()
            return
        self.kill()
        await ended.wait()
