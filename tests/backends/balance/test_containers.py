"""What balance asks of an engine's containers: a list when it comes up, and inspections as far as they are needed."""

import time
from collections.abc import Sequence

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Chain, Client, Json, Unavailable, Verb
from swarmlib import connect as open_chain
from swarmlib_backends import control
from swarmlib_backends.balance import Balance
from swarmlib_backends.balance.labels import LABEL, RESCHEDULE
from swarmlib_backends.balance.mirror import Mirror
from tests.support.simulated import Engine


def full(label: str, containers: int = 20) -> Engine:
    """An engine whose containers were created one second after another, and have run for hours."""
    made = Engine(label)
    for number in range(containers):
        box = made.add(f"{label}-{number}")
        box.created -= 86400 - number
        box.started -= 86400 - number
    made.told.clear()
    return made


def over(*engines: Engine) -> Chain:
    return Chain(Balance([Chain(each) for each in engines]))


def inspections(engine: Engine) -> int:
    return sum(each.startswith("get containers/") for each in engine.asked)


async def listed(swarm: Client, **params: str) -> list[str]:
    """The containers, each as `ENGINE-NUMBER`."""
    answer = await swarm.call(Verb.LS, ("containers",), params={"all": "1", **params})
    return [each["Names"][0].lstrip("/") for each in answer.value]


async def test_an_engine_comes_up_without_an_inspection_and_only_what_may_be_rescheduled_is_inspected() -> None:
    a = full("A")
    movable = a.add("movable", Labels={RESCHEDULE: "on-node-failure"})
    async with open_chain(over(a)) as swarm:
        await swarm.get("ping")
        assert [each for each in a.asked if "containers" in each] == ["ls containers", f"get containers/{movable.id}"]


async def test_lists_are_true_from_the_first_on_and_soon_cost_nothing() -> None:
    a = full("A")
    newest_first = [f"A-{number}" for number in reversed(range(20))]
    async with open_chain(over(a)) as swarm:
        for inspected in (8, 16, 20):
            assert await listed(swarm) == newest_first
            assert inspections(a) == inspected
        a.asked.clear()
        assert await listed(swarm) == newest_first
        assert a.asked == []


async def test_how_long_a_container_runs_is_asked_again_until_it_is_inspected() -> None:
    a = full("A")
    oldest = next(iter(a.boxes.values()))
    async with open_chain(over(a)) as swarm:
        for seconds in (20, 30):
            oldest.started = time.time() - seconds  # as time passes
            answer = await swarm.call(Verb.LS, ("containers",))
            assert answer.value[-1]["Status"] == f"Up {seconds} seconds"


async def test_lists_that_are_asked_for_at_the_same_time_share_what_they_ask(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a = full("A", 100)
    a.delay = 0.1
    async with open_chain(over(a)) as swarm:
        await swarm.get("ping")
        a.asked.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(listed, swarm)
        assert a.asked.count("ls containers") <= 2


async def test_what_containers_take_is_known_before_one_is_placed_by_it() -> None:
    a, b = full("A"), full("B", 1)
    for box in a.boxes.values():
        box.body["HostConfig"] = {"Memory": 100 << 20}
    async with open_chain(over(a, b)) as swarm:
        body = {"Image": "busybox", "HostConfig": {"Memory": 200 << 20}}
        made = await swarm.call(Verb.SPAWN, ("containers",), body=Json.from_data(body))
    assert made.value["Id"] in b.boxes  # A has only 48 MiB free
    assert inspections(a) == 20


async def test_what_engines_have_reserved_is_told_once_it_is_known(autojump_clock: trio.testing.MockClock) -> None:
    a = full("A")
    for box in a.boxes.values():
        box.body["HostConfig"] = {"Memory": 1 << 20}
    with control.desk() as desk:
        async with open_chain(over(a)) as swarm:
            await swarm.get("ping")
            await trio.sleep(60)
            assert inspections(a) == 0  # nobody has asked
            (row,) = await control.listed(desk, "engines")
            assert (row["containers"], "memory_reserved" in row) == (20, False)
            await trio.sleep(60)
            (row,) = await control.listed(desk, "engines")
            assert row["memory_reserved"] == 20 << 20


async def test_a_limited_list_of_two_engines_is_in_order_even_within_a_second() -> None:
    a, b = full("A"), full("B")
    second = int(time.time()) - 3600
    for number, box in enumerate([*a.boxes.values(), *b.boxes.values()]):
        box.created = second + number / 100
    async with open_chain(over(a, b)) as swarm:
        assert await listed(swarm, limit="3") == ["B-19", "B-18", "B-17"]
        assert await listed(swarm, limit="21") == [*(f"B-{each}" for each in reversed(range(20))), "A-19"]
        assert len(await listed(swarm)) == 40  # those that were inspected for their moments are shown, too


async def test_a_list_looks_only_at_engines_of_which_something_is_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = [full(label, 3) for label in "ABCDE"]
    unsettled, looked_at = Mirror.unsettled, list[Mirror]()

    def noted(mirror: Mirror, kinds: tuple[str, ...]) -> bool:
        looked_at.append(mirror)
        return unsettled(mirror, kinds)

    async with open_chain(over(*engines)) as swarm:
        await listed(swarm)
        monkeypatch.setattr(Mirror, "unsettled", noted)
        await listed(swarm)
        assert looked_at == []
        engines[2].add("new")
        await trio.testing.wait_all_tasks_blocked()
        assert len(await listed(swarm)) == 16
        assert len(set(looked_at)) == 1
        looked_at.clear()
        await listed(swarm)
        assert looked_at == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["create", "remove", "rename", "start", "stop", "list"]),
            st.integers(0, 1),
            st.integers(0, 99),
        ),
        max_size=30,
    )
)
async def test_a_list_is_what_engines_have_whatever_happened_on_them(happened: list[tuple[str, int, int]]) -> None:
    engines = full("A", 3), full("B", 3)
    async with open_chain(over(*engines)) as swarm:
        for second, (what, which, box) in enumerate([*happened, ("list", 0, 0)]):
            happen(engines[which], what, box, second)
            await trio.testing.wait_all_tasks_blocked()
            if what == "list":
                for all in ("0", "1"):
                    answer = await swarm.call(Verb.LS, ("containers",), params={"all": all})
                    assert [without_status(each) for each in answer.value] == told(engines, running=all == "0")


def happen(engine: Engine, what: str, number: int, second: int) -> None:
    """Something happens to one of an engine's containers, behind the back of balance."""
    boxes = list(engine.boxes.values())
    if what == "create":
        made = engine.add(f"{engine.label}-new{second}", running=False)
        made.created = engine.boxes[made.id].created + second
    if not boxes or what in ("create", "list"):
        return
    box = boxes[number % len(boxes)]
    if what == "remove":
        engine.remove(box)
    elif what == "rename":
        box.name = f"{engine.label}-other{second}"
        engine.tell("rename", box)
    else:
        box.state = "running" if what == "start" else "exited"
        engine.tell("start" if what == "start" else "die", box)


def without_status(summary: dict[str, object]) -> dict[str, object]:
    """A summary without its age, which may change while it is compared."""
    return {name: value for name, value in summary.items() if name != "Status"}


def told(engines: Sequence[Engine], *, running: bool) -> list[dict[str, object]]:
    """The engines' containers as they are to be listed."""
    boxes = [(box, engine.label) for engine in engines for box in engine.boxes.values()]
    return [
        without_status({**box.summary(), "Labels": {LABEL: label}, "Node": label})
        for box, label in sorted(boxes, key=lambda each: each[0].created, reverse=True)
        if not running or box.state == "running"
    ]


async def test_a_failed_inspection_is_made_again(autojump_clock: trio.testing.MockClock) -> None:
    a = full("A")
    async with open_chain(over(a)) as swarm:
        await swarm.get("ping")
        newest = list(a.boxes.values())[-1]
        a.slow[f"containers/{newest.id}"] = 60
        with pytest.raises(Unavailable):
            await listed(swarm)
        a.slow.clear()
        await trio.sleep(60)
        a.asked.clear()
        assert len(await listed(swarm)) == 20
        assert f"get containers/{newest.id}" in a.asked
