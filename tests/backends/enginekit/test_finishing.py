"""What a client has begun goes on when it has gone: on an engine that is played, as on a real one."""

import logging
import signal
from collections.abc import AsyncGenerator
from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import Client, Conflict, Unavailable, connect
from swarmlib_backends import Simulator
from swarmlib_backends.enginekit import HONOURED, USUAL, Accepted, Container, ContainerServer, Finisher


class Stubborn(Container):
    """It ends when it is killed, and by no other signal."""

    def signal(self, number: int) -> None:
        if number == signal.SIGKILL:
            super().signal(number)


class Stubborns(ContainerServer[Stubborn]):
    accepted: ClassVar[Accepted] = Accepted("a stubborn container", USUAL, HONOURED)

    def make(self, id: str, name: str, body: dict[str, object]) -> Stubborn:
        return Stubborn(id, name, body)


@pytest.fixture(params=["enginekit", "simulator"])
async def client(request: pytest.FixtureRequest, autojump_clock: MockClock) -> AsyncGenerator[Client]:
    backend = Simulator() if request.param == "simulator" else Stubborns()
    async with connect(backend) as found:
        program = "trap '' TERM; while :; do sleep 1; done"
        made = await found.spawn({"Image": "busybox", "Cmd": ["sh", "-c", program]}, name="web")
        await made.start()
        yield found


async def test_a_stop_kills_a_container_whose_client_has_gone(client: Client) -> None:
    web = client.workload("web")
    with trio.move_on_after(1):
        await web.stop(t="10")
    await trio.sleep(8)
    assert (await web.get())["State"]["Running"]
    await trio.sleep(2)
    state = (await web.get())["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)


async def test_a_restart_starts_again_what_it_has_stopped(client: Client) -> None:
    web = client.workload("web")
    before = (await web.get())["State"]["StartedAt"]
    with trio.move_on_after(1):
        await web.set("restart", t="10")
    async with client.watch() as events:
        while (await anext(events))["Action"] != "restart":
            pass
    state = (await web.get())["State"]
    assert state["Running"]
    assert state["StartedAt"] > before


async def _refuse(after: float) -> None:
    await trio.sleep(after)
    raise Conflict("the lid is closed")


async def test_a_failure_is_the_callers_or_else_the_logs(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with trio.open_nursery() as nursery:
        finisher = Finisher("box", nursery)
        with pytest.raises(Conflict, match="the lid"):
            await finisher.finish("the stop of a", _refuse, 1)
        assert caplog.messages == []
        with trio.move_on_after(0.5):
            await finisher.finish("the stop of b", _refuse, 1)
    assert caplog.messages == ["box: the stop of b ended: the lid is closed"]


async def test_who_waits_when_the_backend_closes_is_told() -> None:
    errors: list[Exception] = []

    async def wait(finisher: Finisher) -> None:
        try:
            await finisher.finish("the stop of a", trio.sleep_forever)
        except Unavailable as exc:
            errors.append(exc)

    async with trio.open_nursery() as callers, trio.open_nursery() as nursery:
        callers.start_soon(wait, Finisher("box", nursery))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [str(each) for each in errors] == ["the stop of a was broken off: box is closing"]
