"""Attaching to a container with all that it has written before: its logs, and its stdin."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from ..enginekit.output import Piece
from .attach import AttachedProcess
from .log_lines import LogLines


@dataclass(eq=False)
class LoggedStdio:
    """A process in a Pod, for `enginekit.Stdio`: its output by its logs, line by line.

    closed: is set when the client has gone. process: takes the input; None where none is taken.
    """

    lines: LogLines
    closed: trio.Event
    process: AttachedProcess | None = None

    _left: bool = False
    _reading: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def next(self) -> Piece | None:
        """Return the next line; None at the end, or when the client has detached."""
        if not self._left:
            with trio.CancelScope() as self._reading:
                if (line := await self.lines.next()) is not None:
                    return Piece(line.stream, line.at / 10**9, line.text)
        return None

    def end(self) -> None:
        """Give no more."""
        self._left = True
        self._reading.cancel()

    def close(self) -> None:
        """Read no more, and send nothing."""
        self.closed.set()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send input, if any is taken."""
        if self.process is not None:
            await self.process.send(data)

    async def end_input(self) -> None:
        """End stdin, if there is one."""
        if self.process is not None:
            await self.process.end_input()
