"""limit: so many at once, so many a second, and fair to each client."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import UNSENT, Ack, Chain, Client, Invalid, Meta, Request, Server, Unavailable, Verb, next_reply
from swarmlib.asking import call
from swarmlib_backends.dockerapi.status import error_of, status_of
from swarmlib_backends.limit import Limit


@dataclass(eq=False)
class Works(Server):
    """Takes a second over each call."""

    under_way: list[int] = field(default_factory=list[int])
    order: list[str] = field(default_factory=list[str])
    times: list[float] = field(default_factory=list[float])

    async def get(self, request: Request) -> None:
        self.order.append(request.path[0])
        self.times.append(trio.current_time())
        self.under_way.append(sum(time > trio.current_time() - 1 for time in self.times))
        await trio.sleep(1)

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        await trio.sleep_forever()


async def ask(limit: Limit, stage: Works, calls: Sequence[tuple[str, str]]) -> None:
    """Make calls, each (client, name), at once and in this order."""
    async with Chain(limit, stage).open() as sender, trio.open_nursery() as nursery:
        for client, name in calls:
            nursery.start_soon(call, sender, Request(Verb.GET, (name,), meta=Meta(caller=client)))
            await wait_all_tasks_blocked()


async def test_no_more_than_so_many_are_under_way_at_once(autojump_clock: MockClock) -> None:
    stage = Works()
    began = trio.current_time()
    await ask(Limit(max_concurrent=3), stage, [("a", str(n)) for n in range(9)])
    assert (max(stage.under_way), len(stage.order)) == (3, 9)
    assert trio.current_time() - began == pytest.approx(3, abs=0.1)


async def test_no_more_than_so_many_begin_in_a_second_after_the_burst(autojump_clock: MockClock) -> None:
    stage = Works()
    (limit,) = Chain.read("limit --rate 120/m --burst 3").backends
    assert isinstance(limit, Limit)
    await ask(limit, stage, [("a", str(n)) for n in range(7)])
    began = [time - stage.times[0] for time in stage.times]
    assert began == pytest.approx([0, 0, 0, 0.5, 1, 1.5, 2], abs=0.1)


async def test_turns_go_round_the_clients(autojump_clock: MockClock) -> None:
    stage = Works()
    greedy = [("greedy", f"g{n}") for n in range(5)]
    await ask(Limit(max_concurrent=1), stage, [*greedy, ("modest", "m0"), ("modest", "m1"), ("other", "o0")])
    assert stage.order == ["g0", "g1", "m0", "o0", "g2", "m1", "g3", "g4"]


async def test_one_more_than_may_wait_is_turned_away_and_did_no_harm(autojump_clock: MockClock) -> None:
    stage = Works()
    async with Chain(Limit(max_concurrent=1, queue=1), stage).open() as sender, trio.open_nursery() as nursery:
        for name in ("runs", "waits"):
            nursery.start_soon(Client(sender).get, name)
            await wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="1 of your calls are waiting already") as caught:
            await Client(sender).get("is one too many")
    assert caught.value.details[UNSENT] is True
    assert status_of(caught.value) == 429
    assert isinstance(error_of(429, [], b'{"message":"too many"}', "docker"), Unavailable)
    assert stage.order == ["runs", "waits"]


async def test_a_client_that_fills_its_line_keeps_no_other_out(autojump_clock: MockClock) -> None:
    stage = Works()
    calls = [("greedy", f"g{n}") for n in range(3)] + [("modest", "m0"), ("modest", "m1")]
    await ask(Limit(max_concurrent=1, queue=2), stage, calls)
    assert sorted(stage.order) == ["g0", "g1", "g2", "m0", "m1"]


async def test_without_a_queue_what_finds_a_place_passes(autojump_clock: MockClock) -> None:
    stage = Works()
    async with Chain(Limit(max_concurrent=1, queue=0), stage).open() as sender:
        for name in ("a", "b", "c"):
            await Client(sender).get(name)
    assert stage.order == ["a", "b", "c"]


async def test_who_goes_away_gives_back_the_place_and_leaves_the_line(autojump_clock: MockClock) -> None:
    stage = Works()
    async with Chain(Limit(max_concurrent=1), stage).open() as sender:
        async with trio.open_nursery() as nursery:
            for name in ("under way", "waiting", "waiting too"):
                nursery.start_soon(Client(sender).get, name)
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        with trio.fail_after(1.5):
            await Client(sender).get("next")
    assert stage.order == ["under way", "next"]


async def test_who_waits_in_vain_is_told_by_the_deadline(autojump_clock: MockClock) -> None:
    async with Chain(Limit(max_concurrent=1), Works()).open() as sender, Client(sender).request(Verb.GET, ("first",)):
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.5):
            await Client(sender).get("second")


async def test_a_watch_holds_no_place_once_it_has_begun(autojump_clock: MockClock) -> None:
    async with Chain(Limit(max_concurrent=1), Works()).open() as sender, Client(sender).request(Verb.WATCH) as replies:
        assert isinstance(await next_reply(replies), Ack)
        await Client(sender).get("passes")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("limit", "--rate or --max-concurrent is required"),
        ("limit --rate 0/s", "expected a number above 0"),
        ("limit --rate 5/fortnight", "10/s"),
        ("limit --rate fast", "10/s"),
        ("limit --rate 5KiB/s", "10/s"),
        ("limit --max-concurrent -1", "--queue 0 or more"),
    ],
)
def test_limits_that_make_no_sense_are_refused(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        Chain.read(text)
