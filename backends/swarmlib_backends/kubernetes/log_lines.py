"""The lines of a container's logs: with their times, and those of its two streams merged by them.

What is there is merged exactly. What comes while a client follows is merged as far as lines arrive within a moment.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

import trio

from swarmlib import BadAnswer, SwarmError, TooLarge
from swarmlib.errors import ungrouped

from .cluster import Cluster
from .container import PodContainer
from .log_parts import Part, opened
from .marks import without_mark
from .pods import status

_MAX_LINE: Final = 1024 * 1024
"""The most bytes of a line whose time is looked at."""
_MOMENT_SECONDS: Final = 0.05
"""How long a line waits for an earlier one of the other stream, while a client follows."""
_REST_SECONDS: Final = 2.0
"""How long the log of stderr may go on once that of stdout has ended."""
_AHEAD: Final = 100
"""The most lines that are read before a client takes them."""
_MICRO: Final = 10**6
_NANO: Final = 10**3
"""Times that clients ask for are exact to the microsecond."""
_FRACTION: Final = re.compile(rb"\.([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line: the stream that it came on, its time in nanoseconds since the epoch and as the cluster wrote it, and its
    text with its end, if it has one.
    """

    stream: int
    at: int
    stamp: bytes
    text: bytes


@dataclass(frozen=True)
class Wanted:
    """Which lines are wanted.

    since, until: in seconds since the epoch. tail: how many of the last lines that are there at first; None for all.
    """

    since: float = 0.0
    until: float = math.inf
    tail: int | None = None
    follow: bool = False

    def has(self, at: int) -> bool:
        """Return whether lines of a time, in nanoseconds, are wanted."""
        return math.floor(self.since * _MICRO) * _NANO <= at and not self.is_over(at)

    def is_over(self, at: int) -> bool:
        """Return whether nothing is wanted that comes after this time, in nanoseconds."""
        return self.until < math.inf and at > math.ceil(self.until * _MICRO) * _NANO


@asynccontextmanager
async def log_lines(
    cluster: Cluster, container: PodContainer, parts: Sequence[Part], wanted: Wanted
) -> AsyncGenerator[LogLines]:
    """Read the logs of a container for the time of the context.

    Raises:
        SwarmError: the cluster's error; there are none, for example.
    """
    async with AsyncExitStack() as stack:
        logs = [_PodLog(cluster, container, part) for part in parts]
        for each in logs:
            await stack.enter_async_context(each.reading(wanted, follow=False))
        with ungrouped():
            async with trio.open_nursery() as nursery:
                lines = LogLines()
                nursery.start_soon(lines.read, logs, wanted)
                yield lines
                nursery.cancel_scope.cancel()


class Log(Protocol):
    """One log, of which a line after the other is read; it can be read again from where it was left."""

    def reading(self, wanted: Wanted, *, follow: bool) -> AbstractAsyncContextManager[None]:
        """Read from the beginning, or from where it was left, for the time of the context. Raises `SwarmError`."""
        ...

    async def next(self) -> LogLine | None:
        """Return the next line; None at the end. Raises `SwarmError`, `trio.BrokenResourceError`."""
        ...


class _PodLog:
    """The log of a container in a Pod: see `Log`."""

    def __init__(self, cluster: Cluster, container: PodContainer, part: Part) -> None:
        self._cluster, self._container, self._part = cluster, container, part
        self._source: trio.abc.ReceiveStream | None = None
        self._lines: deque[bytes] = deque()
        self._begun = b""
        self._last = 0
        """The time of the last line that was given."""
        self._of_last = 0
        """How many lines of that time were given."""
        self._again = 0
        """How many lines of that time are left out, since they were given before."""

    @asynccontextmanager
    async def reading(self, wanted: Wanted, *, follow: bool) -> AsyncGenerator[None]:
        """See `Log`."""
        params = {"timestamps": "true", **({"follow": "true"} if follow else {})}
        since = self._last // 10**9 if self._last else math.floor(wanted.since)
        if since:  # a kubelet knows whole seconds only
            params["sinceTime"] = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if wanted.tail and wanted.until == math.inf and not self._part.chosen and not follow:
            marks = self._part.streams * self._container.record.run if self._container.record.keep else 0
            params["tailLines"] = str(wanted.tail + marks)  # some of which may be lines of their own
        self._again = self._of_last
        self._lines.clear()
        self._begun = b""
        async with opened(self._cluster, self._container, self._part, params) as self._source:
            yield

    async def next(self) -> LogLine | None:
        """Return the next line; None at the end.

        Raises:
            TooLarge: a line is too long. BadAnswer: a line does not begin with its time.
            trio.BrokenResourceError: the connection broke off.
        """
        while (raw := await self._raw()) is not None:
            line = self._read(raw)
            if line.at < self._last or (line.at == self._last and self._again):
                self._again -= line.at == self._last
                continue
            self._of_last = self._of_last + 1 if line.at == self._last else 1
            self._again, self._last = 0, line.at
            if line.text:
                return line
        return None

    async def _raw(self) -> bytes | None:
        assert self._source is not None
        while not self._lines:
            data = bytes(await self._source.receive_some())
            if not data:
                begun, self._begun = self._begun, b""
                return begun or None
            *whole, self._begun = (self._begun + data).split(b"\n")
            if len(self._begun) > _MAX_LINE:
                raise TooLarge(f"the cluster sent a line of more than {_MAX_LINE} bytes in a container's logs")
            self._lines.extend(line + b"\n" for line in whole)
        return self._lines.popleft()

    def _read(self, raw: bytes) -> LogLine:
        stamp, _, text = raw.partition(b" ")
        at = status.moment(stamp.decode("ascii", "replace"))
        if not at:
            raise BadAnswer(f"a line of a container's logs does not begin with its time: {raw[:80]!r}")
        fraction = _FRACTION.search(stamp)
        below = int(fraction[1].ljust(9, b"0")) if fraction else 0
        shown = without_mark(text) if self._container.record.keep else text
        return LogLine(self._part.stream, int(at) * 10**9 + below, stamp, shown)


class LogLines:
    """The lines that are wanted of a container's logs, as `read` finds them."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[LogLine](_AHEAD)
        self._failure: Exception | None = None

    async def next(self) -> LogLine | None:
        """Return the next line; None at the end.

        Raises:
            SwarmError: the logs can't be read. trio.BrokenResourceError: the connection broke off.
        """
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            if self._failure is not None:
                raise self._failure from None
            return None

    def at_hand(self) -> LogLine | None:
        """Return the next line, if it needs no waiting."""
        try:
            return self._receive.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            return None

    async def read(self, logs: Sequence[Log], wanted: Wanted) -> None:
        """Read what is there, and what comes, if that is wanted."""
        try:
            with ungrouped():
                if await self._there(logs, wanted) and wanted.follow:
                    await self._coming(logs, wanted)
        except (SwarmError, trio.BrokenResourceError) as exc:
            self._failure = exc
        finally:
            self._send.close()

    async def _there(self, logs: Sequence[Log], wanted: Wanted) -> bool:
        """Give what is there; returns whether more may be wanted."""
        last = deque[LogLine](maxlen=wanted.tail)
        heads = [await each.next() for each in logs]
        more = True
        while more and (found := [(line.at, n) for n, line in enumerate(heads) if line is not None]):
            _, first = min(found)
            line = heads[first]
            assert line is not None
            more = not wanted.is_over(line.at)
            if wanted.has(line.at):
                if wanted.tail is None:
                    await self._send.send(line)
                else:
                    last.append(line)
            heads[first] = await logs[first].next()
        for line in last:
            await self._send.send(line)
        return more

    async def _coming(self, logs: Sequence[Log], wanted: Wanted) -> None:
        """Give what comes, until all logs have ended."""
        merging = _Merging(len(logs))
        async with trio.open_nursery() as nursery:
            for number, each in enumerate(logs):
                nursery.start_soon(merging.feed, number, each, wanted)
            while (line := await merging.next()) is not None and not wanted.is_over(line.at):
                if wanted.has(line.at):
                    await self._send.send(line)
            nursery.cancel_scope.cancel()


@dataclass
class _Merging:
    """Merges lines as they come by their times, if they come within a moment."""

    count: int
    _open: set[int] = field(init=False)
    _waiting: list[deque[tuple[float, LogLine]]] = field(init=False)
    """The lines of each log that wait for the others, with the times at which they came."""

    def __post_init__(self) -> None:
        self._open = set(range(self.count))
        self._waiting = [deque() for _ in range(self.count)]
        self._send, self._receive = trio.open_memory_channel[tuple[int, LogLine | None]](0)

    async def feed(self, number: int, log: Log, wanted: Wanted) -> None:
        """Read a log to its end."""
        async with log.reading(wanted, follow=True):
            while (line := await log.next()) is not None:
                await self._send.send((number, line))
        await self._send.send((number, None))

    async def next(self) -> LogLine | None:
        """Return the next line of all logs; None when they have ended."""
        while self._open or any(self._waiting):
            ready = [(lines[0][1].at, number) for number, lines in enumerate(self._waiting) if lines]
            complete = ready and all(self._waiting[number] for number in self._open)
            if complete or not await self._take(self._deadline()):
                return self._waiting[min(ready)[1]].popleft()[1] if ready else None
        return None

    def _deadline(self) -> float:
        """Return until when something is waited for."""
        came = [lines[0][0] for lines in self._waiting if lines]
        if came:
            return min(came) + _MOMENT_SECONDS
        return math.inf if 0 in self._open else trio.current_time() + _REST_SECONDS

    async def _take(self, deadline: float) -> bool:
        """Take what comes next; returns whether it has come in time."""
        with trio.move_on_at(deadline):
            number, line = await self._receive.receive()
            if line is None:
                self._open.discard(number)
            else:
                self._waiting[number].append((trio.current_time(), line))
            return True
        return False
