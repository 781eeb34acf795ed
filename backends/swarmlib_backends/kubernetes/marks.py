"""The marks that end the output of each run of a container that is kept (see `pods/runs.sh`).

Its node keeps a line back until it ends, and the log goes on after the run: a mark ends the line, and tells that the
output of the run is whole. What clients read is without marks, so that a last line without a newline is one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import reduce
from typing import Final, TypeVar

import trio

from swarmlib.errors import ungrouped

from .attach import AttachedProcess, WrappedProcess
from .container import PodContainer
from .pods.runs import mark
from .streams.remote import RemoteCommand

_PARTS: Final = [*(re.escape(bytes([byte])) for byte in mark(0)[:-2]), rb"([0-9]{1,9})", rb"\x1e", rb"\r?", rb"\n"]
"""What a mark consists of, with the end of its line as a pipe or a terminal has it."""
_LINE_END: Final = re.compile(b"".join(_PARTS))
_BEGUN: Final = re.compile(reduce(lambda rest, part: b"%b(?:%b)?" % (part, rest), reversed(_PARTS[:-1]), b"") + rb"\Z")
"""The beginning of a mark, at the end of what has come."""
_LONGEST: Final = len(mark(10**9 - 1)) + 2
LAST_SECONDS: Final = 5.0
"""How long what was written before a container's end is waited for."""
_T = TypeVar("_T")


def without_mark(line: bytes) -> bytes:
    """Return a line without the mark at its end, if it has one: b"" if it is nothing else."""
    return _LINE_END.sub(b"", line)


class Unmarked:
    """Takes the marks out of output that comes in pieces, and counts those of the runs after a certain one."""

    def __init__(self, after: int = 0) -> None:
        self._after = after
        self.count = 0
        self._held = b""
        """The end of what has come, which may be the beginning of a mark."""

    def feed(self, data: bytes) -> bytes:
        """Return what is to be shown once a piece has come; b"" if that is nothing."""
        data = self._held + data
        begun = _BEGUN.search(data, max(0, len(data) - _LONGEST))
        whole = begun.start() if begun else len(data)
        self._held = data[whole:]
        return _LINE_END.sub(self._counted, data[:whole])

    def _counted(self, found: re.Match[bytes]) -> bytes:
        self.count += int(found[1]) > self._after
        return b""

    def rest(self) -> bytes:
        """Return what is left at the end."""
        held, self._held = self._held, b""
        return held


async def until_marked(
    receive: Callable[[], Awaitable[_T]], ended: trio.Event, are_marked: Callable[[], bool]
) -> _T | None:
    """Return what comes next of the output of a run; None where it has ended, and all its marks have come.

    Marks that nothing is heard of are not waited for longer than LAST_SECONDS. Raises what `receive` does.
    """
    found: _T | None = None

    async def end() -> None:
        await ended.wait()  # what looks like a mark before that is the command's own
        waiting.deadline = trio.current_time() + (0 if are_marked() else LAST_SECONDS)

    with trio.CancelScope() as waiting, ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end)
            found = await receive()
            nursery.cancel_scope.cancel()
    return found


@asynccontextmanager
async def unmarked(
    attached: AbstractAsyncContextManager[AttachedProcess], command: RemoteCommand, container: PodContainer
) -> AsyncGenerator[AttachedProcess]:
    """Attach to the process of a container that is kept: what it writes has no marks, and ends with its run.

    Raises what attaching does.
    """
    after, ended = container.ended_run, container.exited
    async with attached as process:
        streams = {name: Unmarked(after) for name in command.streams if name != "stdin"}
        yield _UnmarkedProcess(process, streams, ended)


class _UnmarkedProcess(WrappedProcess):
    """The process: its output ends with its run, where each of its streams has the mark of it."""

    def __init__(self, process: AttachedProcess, streams: dict[str, Unmarked], ended: trio.Event) -> None:
        super().__init__(process)
        self._streams = streams
        self._ended = ended

    async def receive(self) -> tuple[str, bytes] | None:
        """See `AttachedProcess`."""
        while received := await until_marked(self.process.receive, self._ended, self._are_marked):
            name, data = received
            if shown := self._streams[name].feed(data):
                return name, shown
        return next(((name, rest) for name, each in self._streams.items() if (rest := each.rest())), None)

    def _are_marked(self) -> bool:
        return bool(self._streams) and all(each.count for each in self._streams.values())
