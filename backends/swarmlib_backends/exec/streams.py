"""The byte streams of a workload as a Docker client knows them: its stdio, and its logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from swarmlib import Invalid
from swarmlib.stdio import framed

from .output import Follower, Piece
from .values import is_true, number, stamp
from .workload import Workload


def chosen_streams(args: Mapping[str, Any]) -> set[int]:
    """The streams that a request names: 1 for stdout, 2 for stderr."""
    return {stream for stream, name in ((1, "stdout"), (2, "stderr")) if is_true(args.get(name))}


class Stdio(trio.abc.HalfCloseableStream):
    """A client's stream to a workload: it sends stdin, and receives the output, framed unless it is a terminal's."""

    def __init__(self, workload: Workload, follower: Follower, streams: set[int], *, stdin: bool, once: bool) -> None:
        self._workload = workload
        self._follower = follower
        self._streams = streams
        self._stdin = stdin
        self._once = once
        """Whether the workload's stdin ends with this client's (StdinOnce), or stays open for the next one."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next piece of output, whole; b"" when it ended."""
        while (piece := await self._follower.next()) is not None:
            if piece.stream in self._streams:
                return piece.data if self._workload.tty else framed(piece.stream, piece.data)
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Input; dropped if the client did not ask for stdin, as an engine does."""
        if self._stdin:
            await self._workload.write(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for nothing: the pipe's own room is waited for in `send_all`."""
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """The end of the input."""
        if self._stdin and self._once:
            await self._workload.end_input()

    async def aclose(self) -> None:
        """Leave; the workload goes on."""
        self._follower.close()
        await trio.lowlevel.checkpoint()


class Logs(trio.abc.ReceiveStream):
    """The kept output, whole or its last lines, and what follows if that is asked for."""

    def __init__(self, workload: Workload, args: Mapping[str, Any]) -> None:
        self._workload = workload
        self._streams = chosen_streams(args)
        if not self._streams:
            raise Invalid("Bad parameters: you must choose at least one stream")
        self._stamped = is_true(args.get("timestamps"))
        self._since, self._until = number(args, "since", 0.0), number(args, "until", 0.0) or float("inf")
        kept = [line for piece in workload.output.pieces() if self._wanted(piece) for line in _lines(piece)]
        tail = str(args.get("tail", "all"))
        self._ready = b"".join(map(self._shown, kept[-int(tail) :] if tail.isdigit() and int(tail) else kept))
        if tail == "0":
            self._ready = b""
        follows = is_true(args.get("follow")) and workload.running
        self._follower = workload.output.follow() if follows else None

    def _wanted(self, piece: Piece) -> bool:
        return piece.stream in self._streams and self._since <= piece.at <= self._until

    def _shown(self, piece: Piece) -> bytes:
        data = f"{stamp(piece.at)} ".encode() + piece.data if self._stamped else piece.data
        return data if self._workload.tty else framed(piece.stream, data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next piece, or b"" at the end."""
        if self._ready:
            ready, self._ready = self._ready, b""
            return ready
        while self._follower is not None and (piece := await self._follower.next()) is not None:
            if self._wanted(piece):
                return b"".join(map(self._shown, _lines(piece)))
        return b""

    async def aclose(self) -> None:
        """Stop following."""
        if self._follower is not None:
            self._follower.close()
        await trio.lowlevel.checkpoint()


def _lines(piece: Piece) -> list[Piece]:
    """A piece cut at its line ends: only there may a time stamp stand, and lines are what a tail counts."""
    return [Piece(piece.stream, piece.at, line) for line in piece.data.splitlines(keepends=True)]
