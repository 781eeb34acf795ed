"""The events of several engines as one stream: in order, none lost, none twice."""

import time
from typing import Any

import orjson
import pytest
import trio
import trio.testing

from swarmlib import Chain, Internal, Invalid, SwarmError, TimedOut, Unavailable, connect
from swarmlib_backends.balance import Balance
from swarmlib_backends.balance.history import History, Position, time_of
from tests.support.simulated import Engine


def over(*engines: Engine) -> Chain:
    return Chain(Balance([Chain(each) for each in engines]))


def event(nano: int, action: str = "start", **attributes: str) -> dict[str, Any]:
    about = {"ID": action, "Attributes": attributes}
    return {"Type": "container", "Action": action, "Actor": about, "time": nano // 10**9, "timeNano": nano}


def told_at(engine: Engine, name: str) -> str:
    """The moment at which an engine told of a container's creation, as clients write it."""
    created = (each for each in engine.told if each["Action"] == "create")
    return time_of(next(each["timeNano"] for each in created if each["Actor"]["Attributes"]["name"] == name))


async def test_what_engines_say_at_about_the_same_time_is_put_in_order(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Engine("A"), Engine("B")
    a.told = [event(nano * 10**9, f"a{nano}") for nano in (1, 4, 5)]
    b.told = [event(nano * 10**9, f"b{nano}") for nano in (2, 3, 6)]
    async with connect(over(a, b)) as swarm, swarm.watch(since="0.5") as events:
        seen = [await anext(events) for _ in range(6)]
    assert [each["Action"] for each in seen] == ["a1", "b2", "b3", "a4", "a5", "b6"]
    assert [each["Node"] for each in seen] == ["A", "B", "B", "A", "A", "B"]
    assert seen[0]["Actor"]["Attributes"] == {"swarmlib.node": "A"}


async def test_a_stream_that_breaks_is_taken_up_where_it_ended(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm, swarm.watch(filters='{"type": ["container"]}') as events:
        await trio.testing.wait_all_tasks_blocked()
        box = a.add("one")
        a.told.append(event(a.told[-1]["timeNano"], "twin"))
        assert (await anext(events))["Action"] == "create"
        a.cut()
        a.tell("start", box)
        b.add("two")
        seen = [await anext(events) for _ in range(3)]
        with trio.move_on_after(60):
            pytest.fail(f"{await anext(events)} came besides")
    assert sorted((each["Node"], each["Action"]) for each in seen) == [("A", "start"), ("A", "twin"), ("B", "create")]


async def test_engines_that_go_and_come_are_told_of_unless_something_else_is_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        async with swarm.watch() as every, swarm.watch(filters='{"node": ["B"]}') as other:
            await trio.testing.wait_all_tasks_blocked()
            with a.down():
                gone = await anext(every)
            back = await anext(every)
            b.add("box")
            assert (await anext(other))["Actor"]["Attributes"]["name"] == "box"
    assert [(each["Type"], each["Action"], each["Node"]) for each in (gone, back)] == [
        ("daemon", "engine_disconnect", "A"),
        ("daemon", "engine_connect", "A"),
    ]
    assert gone["Actor"]["Attributes"]["error"] == "the event stream ended"


REFUSALS = [
    Invalid("invalid filter 'nosuch'", details={"status": 400}),
    Internal("strconv.ParseInt: invalid syntax", details={"status": 500}),
    Unavailable("not now", details={"status": 503}),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.code)
async def test_a_watch_that_every_engine_refuses_is_refused_as_by_one(
    refusal: SwarmError, autojump_clock: trio.testing.MockClock
) -> None:
    a, b = Engine("A"), Engine("B")
    a.refused = b.refused = {"nosuch": refusal}
    b.slow[""] = 1.0
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        for bounds in ({}, {"since": "5"}, {"since": "5", "until": "6"}):
            with trio.fail_after(30), pytest.raises(type(refusal)) as seen:
                async with swarm.watch(filters='{"nosuch": ["x"]}', **bounds):
                    pass
            assert (seen.value.message, seen.value.details) == (refusal.message, refusal.details)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.code)
async def test_an_engine_that_alone_refuses_a_watch_is_missing_from_it(
    refusal: SwarmError, autojump_clock: trio.testing.MockClock
) -> None:
    a, b = Engine("A"), Engine("B")
    a.refused = {"label": refusal}
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        async with swarm.watch(filters='{"label": ["x"]}') as events:
            await trio.sleep(20)
            a.add("unseen", Labels={"x": ""})
            b.add("seen", Labels={"x": ""})
            assert (await anext(events))["Node"] == "B"
            await trio.sleep(20)
            b.add("later", Labels={"x": ""})
            assert (await anext(events))["Actor"]["Attributes"]["name"] == "later"


async def test_a_watch_that_no_engine_begins_ends_in_time(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        a.slow[""] = b.slow[""] = 1000.0  # they answer pings
        with trio.fail_after(30), pytest.raises(TimedOut, match="did not begin to send events within 5 s"):
            async with swarm.watch():
                pass


async def test_what_engines_have_forgotten_is_told_from_what_balance_has_seen(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        boxes = [a.add(f"box{number}", Labels={"odd": str(number % 2)}) for number in range(200)]
        await trio.testing.wait_all_tasks_blocked()
        for number in range(200):
            (a if number % 50 else b).tell("exec_die", boxes[0])
            if number % 20 == 0:
                await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        until = str(int(time.time()) + 1)

        async def told(**args: Any) -> list[str]:
            async with swarm.watch(until=until, **args) as events:
                return [each["Actor"]["Attributes"]["name"] async for each in events if each["Action"] == "create"]

        names = [box.name for box in boxes]
        since = told_at(a, "box0")
        assert await told(since=since) == names
        assert await told(since=told_at(a, "box50")) == names[50:]
        assert await told(since=since, filters={"label": ["odd=1"], "type": ["container"]}) == names[1::2]
        begun = [name for name in names if name.startswith("box1")]
        assert await told(since=since, filters={"container": ["box1"], "event": ["create"]}) == begun
        assert await told(since=since, filters={"node": ["B"]}) == []
        assert await told() == []
        a.frozen = True
        await trio.sleep(20)
        assert await told(since=since) == names  # of an engine that is down


async def test_what_only_the_engine_knows_comes_before_what_balance_has_seen(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a = Engine("A")
    first = a.add("first")
    async with connect(over(a)) as swarm:
        await swarm.ls()
        a.add("second")
        await trio.testing.wait_all_tasks_blocked()
        async with swarm.watch(since=told_at(a, "first")) as events:
            a.add("third")
            names = [(await anext(events))["Actor"]["Attributes"]["name"] for _ in range(3)]
            a.cut()
            for _ in range(300):
                a.tell("exec_die", first)
            a.add("fourth")
            while (last := await anext(events))["Action"] != "create":
                pass
            names.append(last["Actor"]["Attributes"]["name"])
    assert names == ["first", "second", "third", "fourth"]


async def test_the_history_is_bounded() -> None:
    history = History()
    history.begin(1)
    for number in range(3000):
        assert history.keep(event(number + 2, "start", text="x" * 1000))
        assert not history.keep(event(number + 2, "start", text="x" * 1000))
    kept = history.told(0, None, {})
    assert 900 < len(kept) < 1000
    assert orjson.loads(kept[-1])["timeNano"] == 3001


async def test_what_is_no_event_ends_nobody_s_watch(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm, swarm.watch(filters='{"type": ["container"]}') as events:
        await trio.testing.wait_all_tasks_blocked()
        for watcher in a.watchers:
            watcher.send_nowait({"Type": "container", "timeNano": "soon"})
        b.add("box")
        assert (await anext(events))["Node"] == "B"
        await trio.sleep(10)
        a.add("later")
        assert (await anext(events))["Node"] == "A"


def test_a_position_knows_what_it_is_behind() -> None:
    def event(after: float, id: str) -> dict[str, Any]:
        return {"Type": "container", "Action": "start", "Actor": {"ID": id}, "timeNano": 10**18 + int(after * 10**9)}

    position = Position(10**18)
    assert position.take(event(60, "a"))
    assert not position.take(event(60, "a"))
    assert position.has(event(60, "a"))
    assert position.has(event(1, "b"))  # it is too old to come any more
    assert not position.has(event(59.95, "c"))  # an engine may still send it
    for number in range(2000):
        position.take(event(61, str(number)))
    assert position.take(event(60, "a"))  # only the last ones are remembered
