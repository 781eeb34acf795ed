"""The deadlines of an engine's answers, which one task keeps for all connections."""

import math

import pytest
import trio
import trio.testing
from trio.testing import MockClock, memory_stream_pair

from swarmlib_backends.docker.engine import Connection, Deadlines


def connection() -> tuple[Connection, trio.abc.HalfCloseableStream]:
    near, far = memory_stream_pair()
    made = Connection(near, "engine")
    made.sent = True
    return made, far


async def test_only_what_is_overdue_is_closed(autojump_clock: MockClock) -> None:
    deadlines = Deadlines()
    late, in_time, later = connection(), connection(), connection()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        now = trio.current_time()
        deadlines.begin(later[0], now + 60)
        await trio.testing.wait_all_tasks_blocked()
        deadlines.begin(late[0], now + 5)  # sooner than the one that is waited for
        deadlines.begin(in_time[0], now + 5)
        await trio.sleep(4)
        deadlines.end(in_time[0])
        await trio.sleep(2)
        assert await late[1].receive_some() == b""
        assert not late[0].sent, "it could be used again"
        assert in_time[0].sent
        assert later[0].sent
        with trio.fail_after(60):
            assert await later[1].receive_some() == b""
        assert trio.current_time() == pytest.approx(now + 60)
        nursery.cancel_scope.cancel()


async def test_the_end_of_a_wait_that_never_began_is_nothing() -> None:
    deadlines = Deadlines()
    made, _ = connection()
    deadlines.end(made)
    deadlines.begin(made, math.inf)
    deadlines.end(made)
