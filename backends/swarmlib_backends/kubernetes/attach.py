"""The streams of processes in Pods, as Docker's clients know them: those of attach, and of execs."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from ..enginekit.output import Piece
from .cluster import Cluster, pod_name
from .container import PodContainer
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
