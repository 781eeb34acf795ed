"""The marks that end the output of each run of a container that is kept (see `pods/runs.sh`).

Its node keeps a line back until it ends, and the log goes on after the run: a mark ends the line. What clients read is
without marks, so that a last line without a newline is one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from .attach import AttachedProcess, WrappedProcess
from .pods.runs import MARK

_LINE_END: Final = re.compile(re.escape(MARK) + rb"\r?\n")
"""A mark with the end of its line, as a pipe or a terminal has it."""
_LONGEST: Final = MARK + b"\r\n"


def without_mark(line: bytes) -> bytes:
    """Return a line without the mark at its end, if it has one: b"" if it is nothing else."""
    return _LINE_END.sub(b"", line)


class Unmarked:
    """Takes the marks out of output that comes in pieces."""

    def __init__(self) -> None:
        self._held = b""
        """The end of what has come, which may be the beginning of a mark."""

    def feed(self, data: bytes) -> bytes:
        """Return what is to be shown once a piece has come; b"" if that is nothing."""
        data = self._held + data
        held = next((n for n in range(len(_LONGEST) - 1, 0, -1) if data.endswith(_LONGEST[:n])), 0)
        whole = len(data) - held
        self._held = data[whole:]
        return _LINE_END.sub(b"", data[:whole])

    def rest(self) -> bytes:
        """Return what is left at the end."""
        held, self._held = self._held, b""
        return held


@asynccontextmanager
async def unmarked(attached: AbstractAsyncContextManager[AttachedProcess]) -> AsyncGenerator[AttachedProcess]:
    """Attach to a process whose output is shown without marks. Raises what attaching does."""
    async with attached as process:
        yield _UnmarkedProcess(process)


class _UnmarkedProcess(WrappedProcess):
    """The process: what it writes is without marks."""

    def __init__(self, process: AttachedProcess) -> None:
        super().__init__(process)
        self._streams = {"stdout": Unmarked(), "stderr": Unmarked()}

    async def receive(self) -> tuple[str, bytes] | None:
        """See `AttachedProcess`."""
        while (received := await self.process.receive()) is not None:
            name, data = received
            if shown := self._streams[name].feed(data):
                return name, shown
        return next(((name, rest) for name, each in self._streams.items() if (rest := each.rest())), None)
