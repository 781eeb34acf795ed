"""The byte streams of a container as a Docker client knows them: its stdio, and its logs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

import trio

from swarmlib import ReplySender, Request
from swarmlib.client.multiplexed import STREAMS, framed

from ..dockerapi.detachkeys import Typed, keys
from ..dockerapi.operations import ContainerAttach, ContainerLogs
from ..dockerapi.values import stamp
from ..dockerapi.versions import API_VERSION
from .attaching import Attaching
from .output import Follower, Line, Lines, Output, Piece


class Input(Protocol):
    """A process's stdin."""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Give it input."""

    async def end_input(self) -> None:
        """Close its stdin."""


class Pieces(Protocol):
    """What a process writes, as one reader gets it; a `Follower` of an `Output` is one."""

    async def next(self) -> Piece | None:
        """Return the next piece, or None at the end."""

    def end(self) -> None:
        """Give what is there now, and then the end."""

    def close(self) -> None:
        """Read no more."""


class Attachable(Input, Protocol):
    """What the streams need of a container."""

    @property
    def output(self) -> Output:
        """What it has written."""
        ...

    @property
    def tty(self) -> bool:
        """Whether it has a terminal."""
        ...

    @property
    def running(self) -> bool:
        """Whether more output may come."""
        ...


def stream_headers(content_type: bytes | None) -> list[tuple[bytes, bytes]]:
    """Return the headers of an engine's answer with a stream, where they are not those that a workload's output has."""
    own = [(b"Api-Version", API_VERSION.encode()), (b"Docker-Experimental", b"false"), (b"Ostype", b"linux")]
    return own if content_type is None else [*own, (b"Content-Type", content_type)]


def chosen_streams(asked: ContainerAttach | ContainerLogs) -> set[int]:
    """Return the streams that a request names: 1 for stdout, 2 for stderr."""
    return {stream for stream, is_wanted in ((1, asked.stdout), (2, asked.stderr)) if is_wanted}


@dataclass(eq=False)
class Stdio(trio.abc.HalfCloseableStream):
    """A client's stream to a workload: it sends stdin, and receives the output."""

    container: Input
    follower: Pieces
    streams: set[int]
    _: KW_ONLY
    framed: bool
    """Whether the output says which stream it is of; that of a terminal, or over a WebSocket, does not."""
    stdin: bool
    once: bool
    """Whether the workload's stdin ends with this client's (StdinOnce), or stays open for the next one."""
    typed: Typed | None = None
    """Where the input is a terminal's: it tells when the client detaches, which `on_detach` is called for."""
    on_detach: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next piece of output, whole; b"" when it ended."""
        while (piece := await self.follower.next()) is not None:
            if piece.stream in self.streams:
                return framed(piece.stream, piece.data) if self.framed else piece.data
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Input; dropped if the client did not ask for stdin, as an engine does."""
        if not self.stdin:
            return
        if self.typed is None:
            await self.container.write(data)
            return
        if wanted := self.typed.read(bytes(data)):
            await self.container.write(wanted)
        if self.typed.detached:
            self.stdin = False
            await self.on_detach()
            self.follower.end()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for nothing: the pipe's own room is waited for in `send_all`."""
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """Note the end of the input: the end of the workload's stdin, or, as in an engine, of this client's stream.

        A client whose user types the detach keys ends its input, and waits for that of the output.
        """
        if self.stdin and self.once and self.typed is None:
            await self.container.end_input()
        elif self.stdin:
            self.follower.end()

    async def aclose(self) -> None:
        """Leave; the workload goes on."""
        self.follower.close()
        await trio.lowlevel.checkpoint()


async def send_logs(request: Request, container: Attachable) -> None:
    """Answer with a container's logs, whose type an engine doesn't tell."""
    await request.reply.ack(
        stream=Logs(container, ContainerLogs.of(request)), details={"headers": stream_headers(None)}
    )


def stdio(
    container: Attachable, config: Mapping[str, Any], attaching: Attaching, on_detach: Callable[[], Awaitable[None]]
) -> Stdio:
    """Return a client's stream to a workload of this configuration, as an attach asks for it."""
    asked = attaching.asked
    live = asked.stream
    follower = container.output.follow(from_start=asked.logs, live=live)
    stdin = live and asked.stdin and bool(config.get("OpenStdin"))
    once = bool(config.get("StdinOnce"))
    tty = container.tty
    typed = Typed(keys(asked.detach_keys)) if tty else None
    streams = chosen_streams(asked)
    framed = attaching.framed and not tty
    return Stdio(container, follower, streams, framed=framed, stdin=stdin, once=once, typed=typed, on_detach=on_detach)


class Logs(trio.abc.ReceiveStream):
    """The kept output, whole or its last lines, and what follows if that is asked for; whole lines, as they end."""

    def __init__(self, container: Attachable, asked: ContainerLogs) -> None:
        self._tty = container.tty
        self._streams = chosen_streams(asked)
        self._stamped = asked.timestamps
        self._since, self._until = asked.since or 0, asked.until or math.inf
        self._follower = container.output.follow() if asked.follow and container.running else None
        self._lines = Lines()
        kept = [line for piece in container.output.pieces() for line in self._lines.add(piece)]
        if not container.running:
            kept += self._lines.rest()
        wanted = [line for line in kept if self._since <= line.at <= self._until]
        count = len(wanted) if asked.tail is None else asked.tail
        self._ready = b"".join(map(self._shown, wanted[max(len(wanted) - count, 0) :]))

    def _shown(self, line: Line) -> bytes:
        if line.stream not in self._streams or not self._since <= line.at <= self._until:
            return b""
        data = f"{stamp(line.at)} ".encode() + line.data if self._stamped else line.data
        return data if self._tty else framed(line.stream, data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next lines, or b"" at the end."""
        while not self._ready and self._follower is not None:
            piece = await self._follower.next()
            self._ready = b"".join(map(self._shown, self._lines.rest() if piece is None else self._lines.add(piece)))
            if piece is None:
                self._leave()
        ready, self._ready = self._ready, b""
        return ready

    def _leave(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    async def aclose(self) -> None:
        """Stop following."""
        self._leave()
        await trio.lowlevel.checkpoint()


async def send_lines(follower: Follower, reply: ReplySender) -> None:
    """Send what a workload writes, to the end of its run, as `log` messages."""
    lines = Lines()
    while (piece := await follower.next()) is not None:
        for line in lines.add(piece):
            await reply.log(line.data.removesuffix(b"\n"), details={"stream": STREAMS[line.stream]})
    for line in lines.rest():
        await reply.log(line.data, details={"stream": STREAMS[line.stream]})
