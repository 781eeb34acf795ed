"""Lines of two logs, merged by their times; and whether a cluster tells stdout and stderr apart."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from swarmlib import SwarmError, Unavailable
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.log_lines import LogLine, LogLines, Wanted
from swarmlib_backends.kubernetes.split_logs import SplitLogs
from tests.support.scripted_http import Answer, Asked, served

SECOND = 10**9


class Lines:
    """A log: lines that are there, and lines that come, each after some seconds; an error may end them."""

    def __init__(self, stream: int, there: Sequence[int], coming: Sequence[tuple[float, int]] = (), error: Any = None):
        self._stream, self._there, self._coming, self._error = stream, [*there], [*coming], error
        self._follows = False

    @asynccontextmanager
    async def reading(self, wanted: Wanted, *, follow: bool) -> AsyncGenerator[None]:
        self._follows = follow
        yield

    async def next(self) -> LogLine | None:
        await trio.lowlevel.checkpoint()
        if self._there:
            return self._line(self._there.pop(0))
        if self._follows and self._coming:
            after, at = self._coming.pop(0)
            await trio.sleep(after)
            return self._line(at)
        if self._error is not None:
            raise self._error
        return None

    def _line(self, at: int) -> LogLine:
        return LogLine(self._stream, at, b"", b"")


async def read(wanted: Wanted, *logs: Lines) -> list[int]:
    """The times of the lines that are given."""
    lines, found = LogLines(), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lines.read, logs, wanted)
        while (line := await lines.next()) is not None:
            found.append(line.at)
    return found


async def test_what_is_there_is_merged_exactly_and_its_tail_is_that_of_both() -> None:
    assert await read(Wanted(), Lines(1, [1, 4, 5]), Lines(2, [2, 3, 9])) == [1, 2, 3, 4, 5, 9]
    assert await read(Wanted(tail=2), Lines(1, [1, 4, 5]), Lines(2, [2, 3])) == [4, 5]
    assert await read(Wanted(tail=0), Lines(1, [1]), Lines(2, [2])) == []


async def test_lines_outside_of_the_wanted_time_are_left_out() -> None:
    logs = (Lines(1, [1 * SECOND, 4 * SECOND]), Lines(2, [2 * SECOND, 3 * SECOND, 5 * SECOND]))
    assert await read(Wanted(since=2.0, until=4.0), *logs) == [2 * SECOND, 3 * SECOND, 4 * SECOND]


async def test_what_comes_within_a_moment_is_in_order(autojump_clock: trio.abc.Clock) -> None:
    first = Lines(1, [1], [(1.0, 10), (1.0, 30)])
    second = Lines(2, [2], [(0.99, 9), (1.02, 25)])
    assert await read(Wanted(follow=True), first, second) == [1, 2, 9, 10, 25, 30]


async def test_a_line_does_not_wait_for_a_log_that_is_silent(autojump_clock: trio.abc.Clock) -> None:
    begun = trio.current_time()
    lines = LogLines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lines.read, (Lines(1, [], [(1.0, 5)]), Lines(2, [], [(1000.0, 1)])), Wanted(follow=True))
        line = await lines.next()
        assert line is not None
        assert (line.at, trio.current_time() - begun < 1.1) == (5, True)
        assert await lines.next() is None  # the log of stdout has ended: that of stderr is soon given up
        assert trio.current_time() - begun < 5
        nursery.cancel_scope.cancel()


async def test_an_error_comes_after_what_was_read_before_it() -> None:
    lines = LogLines()
    await lines.read((Lines(1, [1], error=Unavailable("gone")),), Wanted())
    assert await lines.next() is not None
    with pytest.raises(Unavailable, match="gone"):
        await lines.next()


STREAMS = (
    'PodLogOptions "x" is invalid: stream: Unsupported value: "Swarmlib": supported values: "All", "Stderr", "Stdout"'
)


@pytest.mark.parametrize(
    ("status", "reason", "message", "found"),
    [
        (200, "", "", False),
        (422, "Invalid", STREAMS, True),
        (422, "Invalid", 'PodLogOptions "x" is invalid: stream: Forbidden: may not be specified', False),
        (400, "BadRequest", 'container "main" in pod "Stdout" is waiting to start: ContainerCreating', False),
    ],
)
async def test_a_cluster_says_whether_it_knows_streams_and_is_asked_once(
    status: int, reason: str, message: str, found: bool
) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({"kind": "Status", "reason": reason, "message": message}, status)

    async with served(script) as server, Api.open(Access(server.url)) as api:
        split = SplitLogs()
        assert [await split.spoken(api, "/log"), await split.spoken(api, "/log")] == [found, found]
        assert len(server.asked) == 1


async def test_an_error_of_the_cluster_says_nothing_of_its_streams() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({"kind": "Status", "reason": "NotFound", "message": "no"}, 404)

    async with served(script) as server, Api.open(Access(server.url)) as api:
        with pytest.raises(SwarmError):
            await SplitLogs().spoken(api, "/log")
