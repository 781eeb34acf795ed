"""A run where something goes wrong around it: a service in memory that is slow, breaks off, or says no."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from swarmlib import CLEANUP_SECONDS, Client, Conflict, Internal, Request, Server, TimedOut, Unavailable, connect
from swarmlib.client.multiplexed import framed


@dataclass
class Service(Server):
    """One workload: what it writes, how it ends, and how long making and removing it takes."""

    output: bytes = framed(1, b"out")
    end: Any = field(default_factory=lambda: {"StatusCode": 0})
    making: float = 0
    removing: float = 0
    refusal: str = ""
    there: set[str] = field(default_factory=set[str])

    async def spawn(self, request: Request) -> dict[str, Any]:
        await trio.sleep(self.making)
        if self.refusal:
            raise Conflict(self.refusal)
        self.there.add("job")
        return {"Id": "job"}

    async def connect(self, request: Request) -> None:
        near, far = memory_stream_pair()
        await far.send_all(self.output)
        await far.send_eof()
        await request.reply.ack(stream=near)

    async def start(self, request: Request) -> None:
        assert request.path[1] in self.there

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        if self.end is not None:
            await request.reply.set(self.end)

    async def rm(self, request: Request) -> None:
        assert request.params == {"force": "1", "v": "1"}
        await trio.sleep(self.removing)
        self.there.remove(request.path[1])


async def test_a_workload_is_removed_when_it_has_ended() -> None:
    service = Service()
    async with connect(service) as swarm:
        assert (await swarm.run("any", "x")).stdout == b"out"
    assert service.there == set()


@pytest.mark.parametrize(
    ("service", "kind", "problem"),
    [
        (Service(output=framed(1, b"out")[:-1]), Unavailable, "the program's output broke off: .* inside a frame"),
        (Service(output=b"HTTP/1.1 200"), Unavailable, "the program's output broke off: no frame"),
        (Service(end=None), Internal, "the wait ended without an exit code"),
        (Service(end={"StatusCode": 1, "Error": {"Message": "its engine is gone"}}), Internal, "its engine is gone"),
        (Service(refusal="no room"), Conflict, "no room"),
    ],
)
async def test_what_goes_wrong_is_said_and_the_workload_removed(
    service: Service, kind: type[Exception], problem: str
) -> None:
    async with connect(service) as swarm:
        with pytest.raises(kind, match=problem):
            await swarm.run("any", "x", stdin=b"in")
    assert service.there == set()


async def cancelled_run(swarm: Client) -> float:
    """Cancel a run a second after its beginning; gives how long that takes."""
    with trio.CancelScope() as scope:
        scope.deadline = cancelled = trio.current_time() + 1
        await swarm.run("any", "x")
    assert scope.cancelled_caught
    return trio.current_time() - cancelled


async def test_a_run_that_is_cancelled_while_its_workload_is_made_still_removes_it(autojump_clock: MockClock) -> None:
    service = Service(making=3, removing=1)
    async with connect(service) as swarm:
        assert await cancelled_run(swarm) == 3
    assert service.there == set()


async def test_a_run_that_is_cancelled_while_its_workload_is_refused_is_cancelled(autojump_clock: MockClock) -> None:
    async with connect(Service(making=3, refusal="no room")) as swarm:
        assert await cancelled_run(swarm) == 2


async def test_a_run_that_is_cancelled_waits_for_its_workload_no_longer_than_any_cleanup(
    autojump_clock: MockClock,
) -> None:
    service = Service(making=1000)
    async with connect(service) as swarm:
        assert await cancelled_run(swarm) == CLEANUP_SECONDS
    assert service.there == set()


async def test_a_workload_that_can_not_be_removed_in_time_is_told_of(autojump_clock: MockClock) -> None:
    async with connect(Service(removing=1000)) as swarm:
        with pytest.raises(TimedOut, match="job was not removed within 5 s"):
            await swarm.run("any", "x")
