"""Exec and attach: the streams of a process in a Pod."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal

import orjson
import trio

from swarmlib.errors import BadAnswer, Unavailable, ungrouped

from ..api.client import Api
from ..api.resources import PODS
from .carrier import Carrier, carrying
from .channels import COMMAND_CHANNELS, Channels
from .events import Data, Ended, Reset
from .negotiate import COMMAND, Dialect, Dialects
from .spdy import Spdy
from .status import MAX_STATUS, exit_code

GRACE_SECONDS: Final = 2.0
"""How long output may be silent before it counts as complete, once its container is known to have ended; at most twice
this, since it is looked at once in this time."""


@dataclass(frozen=True)
class RemoteCommand:
    """What to run in a container, or which streams of its process to attach to.

    With a terminal, the process has one output, which is stdout.
    """

    kind: Literal["exec", "attach"]
    container: str
    command: tuple[str, ...] = ()
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False

    @property
    def streams(self) -> list[str]:
        """The process's streams that are asked for."""
        wanted = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr and not self.tty}
        return [name for name, asked in wanted.items() if asked]

    @property
    def params(self) -> list[tuple[str, str]]:
        """The parameters of the request."""
        flags = [*self.streams, *(["tty"] if self.tty else [])]
        command = [("command", word) for word in self.command]
        return [("container", self.container), *command, *((name, "true") for name in flags)]


class RemoteProcess:
    """The process. One task may receive, while others send."""

    def __init__(self, carrier: Carrier, channels: dict[str, int], *, attached: bool) -> None:
        self._carrier = carrier
        self._channels = channels
        self._attached = attached
        names = {channels[name]: name for name in ("stdout", "stderr", "error") if name in channels}
        self._names = names
        self._open = set(names)
        self._status = bytearray()
        self._container_ended = False
        self.exit_code: int | None = None
        """The command's, once `receive` has returned None. It stays None for an attach, and if the container ended
        before the cluster said how the command did."""

    async def receive(self) -> tuple[str, bytes] | None:
        """Return the next output, with the stream that it is of ("stdout" or "stderr"); None at the end.

        Raises:
            SwarmError: the command could not be run; the apiserver's error.
            Unavailable: the connection ended, and the cluster has not said how the process did. An apiserver may lose
                this, and the last output, of a process that ends while input for it is still under way.
            BadAnswer: the cluster broke the protocol.
        """
        while self._open:
            match await self._carrier.receive():
                case Data(channel, data) if (name := self._names[channel]) != "error":
                    return name, data
                case Data(_, data):
                    self._add_status(data)
                case Ended(channel) | Reset(channel):
                    self._open.discard(channel)
                case _:
                    self._open.clear()
        self._finish()
        return None

    def _add_status(self, data: bytes) -> None:
        self._status += data
        if len(self._status) > MAX_STATUS:
            raise BadAnswer("the cluster's status of how a command ended is too long")

    def _finish(self) -> None:
        if self._status:
            code = exit_code(bytes(self._status))
            self.exit_code = None if self._attached else code
        elif not self._container_ended:
            why = f": {self._carrier.ended}" if self._carrier.ended else ""
            raise Unavailable(f"the cluster ended a stream without saying how the process ended{why}")

    async def end_with(self, container: trio.Event) -> None:
        """End the process once its container has, of which the cluster may say nothing; what still comes is received.

        container: is set when the container has ended.
        """
        await container.wait()
        self._container_ended = True
        await self._carrier.end_when_silent(GRACE_SECONDS)

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to stdin.

        Raises:
            trio.BrokenResourceError: the process or the connection has ended, or an earlier call was cancelled.
        """
        await self._carrier.send(self._input("stdin"), data)

    async def end_input(self) -> None:
        """End stdin. Raises what `send` does, and Unsupported if the cluster speaks only WebSocket v4."""
        await self._carrier.end(self._input("stdin"))

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the terminal. Raises what `send` does."""
        await self._carrier.send(self._input("resize"), orjson.dumps({"Width": columns, "Height": rows}))

    def _input(self, name: str) -> int:
        if not self._open:
            raise trio.BrokenResourceError("the process has ended")
        return self._channels[name]


@asynccontextmanager
async def remote_command(
    api: Api,
    namespace: str,
    pod: str,
    command: RemoteCommand,
    *,
    dialects: Dialects,
    ended: trio.Event | None = None,
) -> AsyncGenerator[RemoteProcess]:
    """Run a command in a container, or attach to its process. At the end of the context the connection is closed.

    dialects: what the cluster was found to speak. ended: is set when the container is known to have ended; the process
    then ends too, as soon as nothing has come for GRACE_SECONDS.

    Raises:
        SwarmError: the apiserver's error, such as NotFound and Denied; Unavailable if it can't be reached.
    """
    path = PODS.path(namespace, pod, command.kind)
    # By v4, kubelets take an attach without stdin for one whose input has ended, and end the container's.
    v4 = [("stdin", "true")] if command.kind == "attach" and not command.stdin else []
    names = [*command.streams, "error", *(["resize"] if command.tty else [])]
    async with (
        dialects.upgraded(api, path, command.params, COMMAND, v4=v4) as (dialect, stream),
        _process(dialect, stream, names, attached=command.kind == "attach") as process,
    ):
        with ungrouped():
            async with trio.open_nursery() as nursery:
                if ended is not None:
                    nursery.start_soon(process.end_with, ended)
                yield process
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def _process(
    dialect: Dialect, stream: trio.abc.Stream, names: list[str], *, attached: bool
) -> AsyncGenerator[RemoteProcess]:
    """Open the streams of a process over an upgraded connection."""
    if dialect is Dialect.SPDY:
        spdy = Spdy(client=True)
        async with carrying(stream, spdy) as carrier:
            numbers = await carrier.open(spdy, *({"streamtype": name} for name in names))
            yield RemoteProcess(carrier, dict(zip(names, numbers, strict=True)), attached=attached)
    else:
        channels = Channels(client=True, count=len(COMMAND_CHANNELS), version=5 if dialect is Dialect.V5 else 4)
        async with carrying(stream, channels) as carrier:
            yield RemoteProcess(carrier, {name: COMMAND_CHANNELS[name] for name in names}, attached=attached)
