"""The streams of processes in Pods, as Docker's clients know them: those of attach, and of execs."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from swarmlib import Unavailable
from swarmlib.errors import ungrouped

from ..enginekit.output import Piece
from .cluster import Cluster, pod_name
from .container import PodContainer
from .pods import names, runs
from .streams.remote import RemoteCommand, RemoteProcess, remote_command

_NUMBERS: Final = {"stdout": 1, "stderr": 2}


class AttachedProcess(Protocol):
    """A process in a Pod; its methods are those of `RemoteProcess`."""

    @property
    def exit_code(self) -> int | None:
        """Its exit code, once that is known."""

    async def receive(self) -> tuple[str, bytes] | None:
        """Return the next output, with the stream that it is of; None at the end."""

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to stdin."""

    async def end_input(self) -> None:
        """End stdin."""

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the terminal."""


class WrappedProcess:
    """A process of which all but the output is that of another one; see `AttachedProcess` for the methods."""

    def __init__(self, process: AttachedProcess) -> None:
        self.process = process

    @property
    def exit_code(self) -> int | None:
        """See `AttachedProcess`."""
        return self.process.exit_code

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """See `AttachedProcess`."""
        await self.process.send(data)

    async def end_input(self) -> None:
        """See `AttachedProcess`."""
        await self.process.end_input()

    async def resize(self, rows: int, columns: int) -> None:
        """See `AttachedProcess`."""
        await self.process.resize(rows, columns)


@asynccontextmanager
async def remote(
    cluster: Cluster, container: PodContainer, command: RemoteCommand, *, ended: trio.Event | None = None
) -> AsyncGenerator[RemoteProcess]:
    """Attach to the process of a container, or run another one, for the time of the context.

    It ends when the Pod does, or when `ended` is set, and the container does not remove itself before.

    Raises:
        SwarmError: the cluster's error.
    """
    opened = remote_command(
        cluster.api,
        cluster.namespace,
        pod_name(container),
        command,
        dialects=cluster.dialects,
        ended=container.pod_ended if ended is None else ended,
    )
    with container.kept():
        async with opened as process:
            yield process


async def confirmed(
    cluster: Cluster, container: PodContainer, attach: Callable[[], Awaitable[AttachedProcess]]
) -> AttachedProcess:
    """Attach, with stdin, to a container at its gate, and wait until that has come into effect.

    A cluster answers before it has; so the gate waits for a word that comes through the attach itself.

    attach: opens it.

    Raises:
        Unavailable: it has not come into effect in time. SwarmError: the cluster's error.
    """
    word = secrets.token_hex(8)
    opened = trio.Event()
    found: list[AttachedProcess] = []

    async def open_it() -> None:
        found.append(await attach())
        opened.set()

    with ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_it)
            async with remote(cluster, container, RemoteCommand("exec", names.MAIN, runs.attached(word))) as asking:
                while (received := await asking.receive()) is not None:
                    if received[0] == "stdout":
                        await opened.wait()
                        await found[0].send(f"{word}\n".encode())
    if asking.exit_code != 0 and not container.running:
        raise Unavailable(f"the cluster did not attach to {container.name} in time")
    return found[0]


def piece_of(received: tuple[str, bytes], at: float) -> Piece:
    """Return output as `RemoteProcess.receive` gives it, with its time."""
    return Piece(_NUMBERS[received[0]], at, received[1])


@dataclass(eq=False)
class RemoteStdio:
    """A process in a Pod, for `enginekit.Stdio`: what it writes, and its stdin.

    closed: is set when the client has gone, so that the connection can be closed.
    """

    process: AttachedProcess
    closed: trio.Event
    now: Callable[[], float]
    on_end: Callable[[int | None], None] = lambda _: None
    """Is called with the exit code when the process has ended."""
    ahead: deque[Piece] = field(default_factory=deque[Piece])
    """What is given before anything else."""
    _reading: trio.CancelScope = field(default_factory=trio.CancelScope)
    _left: bool = False

    async def next(self) -> Piece | None:
        """Return the next output; None at the end, or when the client has detached."""
        if not (self.ahead or self._left):
            with trio.CancelScope() as self._reading:
                received = await self.process.receive()
                if received is not None:
                    return piece_of(received, self.now())
                self.on_end(self.process.exit_code)
                self._left = True
        return self.ahead.popleft() if self.ahead else None

    def end(self) -> None:
        """Give no more."""
        self._left = True
        self._reading.cancel()

    def close(self) -> None:
        """Close the connection."""
        self.closed.set()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send input."""
        await self.process.send(data)

    async def end_input(self) -> None:
        """End stdin."""
        await self.process.end_input()
