"""A call that only waits for its answer: who handles it, in which task, and how it ends."""

import math
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from swarmlib import Answer, BadAnswer, Chain, Json, Request, Server, Unavailable, Verb, asking, collecting


@dataclass(eq=False)
class Noting(Server):
    """Notes in which task it handles each call; a `stop` waits for ever."""

    tasks: list[trio.lowlevel.Task] = field(default_factory=list[trio.lowlevel.Task])

    def make_stage(self) -> "Noting":
        return self

    async def get(self, request: Request) -> str:
        self.tasks.append(trio.lowlevel.current_task())
        return "here"

    async def watch(self, request: Request) -> None:
        self.tasks.append(trio.lowlevel.current_task())
        await request.reply.ack()
        await trio.sleep_forever()

    async def stop(self, request: Request) -> None:
        await trio.sleep_forever()

    async def ls(self, request: Request) -> None:
        for _ in range(3):
            await request.reply.set(Json(b'"%s"' % (b"x" * 1000)))


async def test_it_is_handled_in_the_task_that_waits() -> None:
    noting = Noting()
    async with Chain(noting).open() as sender:
        assert (await asking.call(sender, Request(Verb.GET))).value == "here"
    assert noting.tasks == [trio.lowlevel.current_task()]


async def test_so_it_is_with_a_deadline() -> None:
    noting = Noting()
    async with Chain(noting).open() as sender:
        with trio.fail_after(100):
            await asking.call(sender, Request(Verb.GET))
    assert noting.tasks == [trio.lowlevel.current_task()]


async def test_it_is_given_up_at_its_deadline_or_at_the_requests_if_that_is_earlier(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with Chain(Noting()).open() as sender:
        for deadline in (10.0, math.inf):
            began = trio.current_time()
            request = Request(Verb.STOP, ("box",), deadline=began + deadline)
            with pytest.raises(trio.TooSlowError):
                await asking.call(sender, request, began + 20)
            assert trio.current_time() - began == pytest.approx(min(deadline, 20))


async def test_whoever_has_the_same_deadline_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    async with Chain(Noting()).open() as sender:
        with trio.move_on_after(10) as scope:
            await asking.call(sender, Request(Verb.STOP, ("box",)), scope.deadline)
    assert scope.cancelled_caught


async def test_a_conversation_ends_with_its_first_answer() -> None:
    noting = Noting()
    async with Chain(noting).open() as sender:
        await asking.call(sender, Request(Verb.WATCH))
    assert noting.tasks != [trio.lowlevel.current_task()]


async def test_a_stage_that_closes_ends_it() -> None:
    found: list[Answer | Unavailable] = []

    async def ask(sender: trio.abc.SendChannel[Request]) -> None:
        try:
            found.append(await asking.call(sender, Request(Verb.STOP, ("box",))))
        except Unavailable as exc:
            found.append(exc)

    async with trio.open_nursery() as nursery, Chain(Noting()).open() as sender:
        nursery.start_soon(ask, sender)
        await trio.testing.wait_all_tasks_blocked()
    assert [str(each) for each in found] == ["noting is closed"]


async def test_too_long_an_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MAX_ANSWER", 2000)
    async with Chain(Noting()).open() as sender:
        with pytest.raises(BadAnswer, match="longer than 2000 bytes"):
            await asking.call(sender, Request(Verb.LS))
