"""The events of several engines as one stream: in order, none lost, none twice."""

from typing import Any

import pytest
import trio
import trio.testing

from swarmlib import Chain, Invalid, connect
from swarmlib_backends.balance import Balance
from tests.simulated import Engine


def over(*engines: Engine) -> Chain:
    return Chain(Balance([Chain(each) for each in engines]))


def event(nano: int, action: str = "start", **attributes: str) -> dict[str, Any]:
    about = {"ID": action, "Attributes": attributes}
    return {"Type": "container", "Action": action, "Actor": about, "time": nano // 10**9, "timeNano": nano}


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
    assert gone["Actor"]["Attributes"]["error"] == "its event stream ended"


async def test_a_watch_that_an_engine_refuses_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        a.trouble = b.trouble = [Invalid("invalid filter 'nosuch'")]
        with pytest.raises(Invalid, match="invalid filter"):
            async with swarm.watch(filters='{"nosuch": ["x"]}'):
                pass


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
