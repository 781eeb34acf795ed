"""balance over members in memory: where each verb goes, and what a member that fails does to the rest."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from swarmlib import Ambiguous, Chain, Client, Conflict, NotFound, TimedOut, Unavailable, Unsupported, Verb
from swarmlib import connect as open_chain
from swarmlib_backends.balance import Balance, merge
from tests.simulated import Engine, stamp

ID_A, ID_B = "a" * 64, "b" * 64


def engine(label: str, *names: str, **options: Any) -> Engine:
    made = Engine(label, **options)
    for name in names:
        made.add(name)
    return made


def two(**options: Any) -> tuple[Engine, Engine]:
    a, b = Engine("A", **options), Engine("B")
    a.add("web", ID_A)
    b.add("db", ID_B)
    return a, b


def over(*engines: Engine, **options: Any) -> Chain:
    return Chain(Balance([Chain(each) for each in engines], **options))


def named(found: Sequence[Any]) -> set[tuple[str, str]]:
    return {(item["Names"][0].lstrip("/"), item["Node"]) for item in found}


async def test_lists_are_merged_and_each_object_tells_its_engine() -> None:
    async with open_chain(over(*two())) as swarm:
        found = await swarm.ls()
        seen = await swarm.get("containers", "web")
    assert named(found) == {("web", "A"), ("db", "B")}
    assert {item["Labels"]["swarmlib.node"] for item in found} == {"A", "B"}
    assert (seen["Node"], seen["Config"]["Labels"]) == ("A", {"swarmlib.node": "A"})


async def test_a_place_that_no_member_has_is_said_to_be_missing() -> None:
    async with open_chain(Chain(Balance([Chain.read("exec")]))) as swarm:
        with pytest.raises(Unsupported, match="exec has no get for nosuch/x"):
            await swarm.stop("nosuch", "x")


@pytest.mark.parametrize("ref", [ID_B, "db", "bbb", "B/db", "B/bbb"])
async def test_a_call_reaches_the_owner_alone(ref: str) -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        a.asked.clear()
        b.asked.clear()
        await swarm.start("containers", ref)
    assert a.asked + b.asked == [f"start containers/{ref.removeprefix('B/')}"]


async def test_an_id_that_was_spawned_here_needs_no_search() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        made = await swarm.spawn({"Image": "busybox"})
        a.asked.clear()
        b.asked.clear()
        await made.start()
    assert a.asked + b.asked == [f"start containers/{made.id}"]


async def test_a_name_or_a_prefix_of_two_engines_is_ambiguous_and_the_candidates_are_named() -> None:
    a, b = Engine("A"), Engine("B")
    a.add("x", "abc".ljust(64, "1"))
    b.add("y", "abc".ljust(64, "2"))
    a.add("same")
    b.add("same")
    async with open_chain(over(a, b)) as swarm:
        with pytest.raises(Ambiguous, match="A/x, B/y"):
            await swarm.start("containers", "abc")
        with pytest.raises(Ambiguous, match="A/same, B/same"):
            await swarm.start("containers", "same")
        await swarm.stop("containers", "B/same")
    assert [box.state for box in b.boxes.values()] == ["running", "exited"]


async def test_what_the_index_does_not_know_is_asked_for_once() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        b.quiet = True
        b.add("late")
        await swarm.start("containers", "late")
        assert "get containers/late" in a.asked
        a.asked.clear()
        await swarm.start("containers", "late")
    assert a.asked == []


async def test_what_no_engine_has_is_not_found_but_unknown_while_one_is_down() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        with pytest.raises(NotFound, match="No such container: nosuch"):
            await swarm.start("containers", "nosuch")
        with a.down(), pytest.raises(Unavailable, match=r"A is down|connection refused"):
            await swarm.start("containers", "nosuch")


async def test_a_name_that_any_engine_has_is_taken() -> None:
    async with open_chain(over(*two())) as swarm:
        with pytest.raises(Conflict, match=r'"/db" is already in use .* on B'):
            await swarm.spawn({"Image": "busybox"}, name="db")


async def test_one_name_is_given_once_even_at_the_same_time() -> None:
    a, b = two()
    refused: list[Exception] = []

    async def make(swarm: Client) -> None:
        try:
            await swarm.spawn({"Image": "busybox"}, name="new")
        except Conflict as exc:
            refused.append(exc)

    async with open_chain(over(a, b)) as swarm, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(make, swarm)
    assert len(refused) == 4
    assert [box.name for each in (a, b) for box in each.boxes.values()].count("new") == 1


async def test_what_was_done_is_seen_at_once_without_waiting_for_events() -> None:
    a, b = two()
    a.quiet = b.quiet = True
    async with open_chain(over(a, b)) as swarm:
        made = await swarm.spawn({"Image": "busybox"}, name="new")
        assert named(await swarm.ls()) == {("web", "A"), ("db", "B")}
        assert ("new", "A") in named(await swarm.ls(all="1"))
        await made.start()
        assert ("new", "A") in named(await swarm.ls())
        await swarm.set("containers", "new", "rename", name="newer")
        assert ("newer", "A") in named(await swarm.ls())
        await swarm.stop("containers", "newer")
        assert ("newer", "A") not in named(await swarm.ls())
        await made.rm()
        assert named(await swarm.ls(all="1")) == {("web", "A"), ("db", "B")}


async def test_what_others_did_is_seen_by_its_event_and_nothing_is_asked_when_nothing_happened() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        box = a.add("other")
        await trio.testing.wait_all_tasks_blocked()
        assert ("other", "A") in named(await swarm.ls())
        a.remove(box)
        await trio.testing.wait_all_tasks_blocked()
        a.asked.clear()
        b.asked.clear()
        assert named(await swarm.ls()) == {("web", "A"), ("db", "B")}
        assert a.asked + b.asked == []


async def test_a_check_finds_what_came_without_an_event(autojump_clock: trio.testing.MockClock) -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        a.quiet = True
        a.add("unseen")
        assert ("unseen", "A") not in named(await swarm.ls())
        await trio.sleep(100)
        assert ("unseen", "A") in named(await swarm.ls())


async def test_an_age_is_told_by_its_engine_s_own_clock() -> None:
    ahead = 3600.0
    a = Engine("A", info={"SystemTime": stamp(time.time() + ahead)})
    box = a.add("web")
    box.started += ahead - 90
    async with open_chain(over(a)) as swarm:
        assert [item["Status"] for item in await swarm.ls()] == ["Up About a minute"]


async def test_filters_and_limits_are_right_for_the_whole() -> None:
    a, b = Engine("A"), Engine("B")
    for number, each in enumerate([a, b, a, b, a]):
        each.add(f"c{number}").created = 1000.0 + number
    async with open_chain(over(a, b)) as swarm:

        async def names(**args: str) -> list[str]:
            return [item["Names"][0].lstrip("/") for item in await swarm.ls(**args)]

        assert await names() == ["c4", "c3", "c2", "c1", "c0"]
        assert await names(limit="2") == ["c4", "c3"]
        assert await names(filters='{"since": ["c1"]}') == ["c4", "c3", "c2"]
        assert await names(filters='{"before": ["c2"]}') == ["c1", "c0"]
        assert await names(filters='{"since": ["c0"], "before": ["c3"]}') == ["c2", "c1"]
        assert await names(filters='{"node": ["A"]}') == ["c4", "c2", "c0"]
        assert await names(filters='{"node": ["B"], "name": ["c1"]}') == ["c1"]
        assert await names(filters='{"label": {"swarmlib.node=B": true}}') == ["c3", "c1"]
        assert await names(filters='{"node": ["nosuch"]}') == []
        with pytest.raises(NotFound, match="No such container: nosuch"):
            await names(filters='{"since": ["nosuch"]}')


async def test_networks_that_every_engine_has_are_shown_once_and_mean_the_first() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.spawn({"Name": "mine"}, "networks")
        found = await swarm.ls("networks")
        assert sorted(item["Name"] for item in found) == ["bridge", "host", "mine", "none"]
        with pytest.raises(NotFound, match="No such network: bridge"):
            await swarm.get("networks", "bridge")
    assert "get networks/bridge" in a.asked
    assert "get networks/bridge" not in b.asked


async def test_a_dead_engine_does_not_spoil_the_rest_and_what_is_missing_is_said() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        with a.down():
            await trio.testing.wait_all_tasks_blocked()
            answer = await swarm.call(Verb.LS, ("containers",))
            assert named(answer.value) == {("db", "B")}
            assert "A is missing: " in answer.before[0].args["warnings"][0]
            info = await swarm.get()
            made = await swarm.spawn({"Image": "busybox"})
            with pytest.raises(Unavailable, match="A is down"):
                await swarm.start("containers", "web")
            with pytest.raises(Conflict, match="on A"):
                await swarm.spawn({"Image": "busybox"}, name="web")
    assert "A is missing" in info["Warnings"][0]
    assert made.id in b.boxes


async def test_an_engine_that_comes_back_heals_with_what_changed_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        with a.down():
            await trio.sleep(60)
            a.remove(a.boxes[ID_A])
            a.add("new")
            a.version = "1.40"
        await trio.sleep(10)
        assert named(await swarm.ls()) == {("new", "A"), ("db", "B")}
        assert (await swarm.get("version"))["ApiVersion"] == "1.40"
        with pytest.raises(NotFound):
            await swarm.start("containers", "web")


async def test_a_frozen_engine_holds_up_nobody_for_longer_than_its_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = two(frozen=True)
    async with open_chain(over(a, b, deadline=2.0)) as swarm:
        start = trio.current_time()
        assert named(await swarm.ls()) == {("db", "B")}
        assert trio.current_time() - start == pytest.approx(2.0)
        start = trio.current_time()
        assert named(await swarm.ls()) == {("db", "B")}
        assert trio.current_time() == start


async def test_an_engine_that_fails_at_a_list_alone_is_missed_and_heals(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        await swarm.stop("containers", "web")
        a.trouble = [Unavailable("connection reset")]
        assert named(await swarm.ls(all="1")) == {("db", "B")}
        a.trouble = []
        await trio.sleep(10)
        assert named(await swarm.ls(all="1")) == {("web", "A"), ("db", "B")}


async def test_what_comes_and_goes_while_the_engine_is_asked_is_not_mistaken(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = two(delay=1.0)
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        box = a.add("brief")
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swarm.ls)
            await trio.sleep(1.5)  # it is listed, and now inspected
            a.remove(box)
            a.add("late")
            await trio.testing.wait_all_tasks_blocked()
        assert named(await swarm.ls()) == {("web", "A"), ("late", "A"), ("db", "B")}


async def test_an_engine_that_takes_two_seconds_a_call_slows_no_list(autojump_clock: trio.testing.MockClock) -> None:
    a, b = two(delay=2.0)
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        start = trio.current_time()
        for _ in range(3):
            assert named(await swarm.ls()) == {("web", "A"), ("db", "B")}
            await swarm.stop("containers", "db")
            await swarm.start("containers", "db")
        assert trio.current_time() == start
        await swarm.stop("containers", "web")
        assert trio.current_time() - start == pytest.approx(2.0)
        await trio.sleep(60)
        assert not (await swarm.get())["Warnings"]


async def test_a_call_in_the_hands_of_an_engine_that_freezes_is_ended(autojump_clock: trio.testing.MockClock) -> None:
    a, b = two()
    async with open_chain(over(a, b, deadline=2.0)) as swarm:
        await swarm.ls()
        a.frozen = True
        start = trio.current_time()
        with pytest.raises(Unavailable, match="A went down before it answered"):
            await swarm.stop("containers", "web")
        assert trio.current_time() - start <= 4.1
        a.frozen = False
        await trio.sleep(10)
        await swarm.stop("containers", "web")


async def test_an_engine_that_answers_garbage_is_down_and_says_why() -> None:
    a, b = two()
    a.images = {"sha256:1": 7}  # type: ignore[dict-item]
    async with open_chain(over(a, b)) as swarm:
        assert named(await swarm.ls()) == {("db", "B")}
        info = await swarm.get()
    assert info["Containers"] == 1
    assert "A gave a malformed answer to ls images: Expected `array | null`, got `int`" in info["Warnings"][0]


async def test_an_event_that_is_none_is_garbage_too(autojump_clock: trio.testing.MockClock) -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        for watcher in a.watchers:
            watcher.send_nowait([1, 2])  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()
        assert named(await swarm.ls()) == {("db", "B")}
        await trio.sleep(10)
        assert named(await swarm.ls()) == {("web", "A"), ("db", "B")}


async def test_strict_refuses_a_partial_answer() -> None:
    a, b = two()
    async with open_chain(over(a, b, strict=True)) as swarm:
        await swarm.ls()
        with a.down():
            await trio.testing.wait_all_tasks_blocked()
            for call in (swarm.ls(), swarm.ls("images"), swarm.get(), swarm.rm("containers")):
                with pytest.raises(Unavailable, match=r"would not be whole.*A is missing"):
                    await call


async def test_when_all_are_down_each_is_named(autojump_clock: trio.testing.MockClock) -> None:
    a, b = two(frozen=True)
    b.trouble.append(Unavailable("gone"))
    async with open_chain(over(a, b)) as swarm:
        with pytest.raises(Unavailable, match=r"A is missing: .* within 5 s; B is missing: gone"):
            await swarm.ls()


async def test_the_version_is_the_lowest_and_the_counts_are_summed() -> None:
    async with open_chain(over(engine("new", "x"), engine("old", "y", version="1.30"))) as swarm:
        assert (await swarm.get("version"))["ApiVersion"] == "1.30"
        info = await swarm.get()
    assert (info["Containers"], info["NCPU"]) == (2, 4)


async def test_a_pull_goes_to_every_engine_and_fails_if_one_fails() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.spawn(None, "images", fromImage="busybox")
        assert "spawn images" in a.asked
        assert "spawn images" in b.asked
        b.trouble.append(TimedOut("B is slow"))
        with pytest.raises(TimedOut, match="B is slow"):
            await swarm.spawn(None, "images", fromImage="busybox")


async def test_an_exec_is_found_again() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        made = await swarm.spawn({"Cmd": ["true"]}, "containers", "db", "exec")
        with pytest.raises(NotFound, match="No such exec"):
            await swarm.get("exec", made.id)
    assert f"get exec/{made.id}" in b.asked
    assert f"get exec/{made.id}" not in a.asked


def test_an_image_on_two_engines_is_listed_once_with_all_its_tags() -> None:
    one = {"Id": "sha256:1", "RepoTags": ["a:1"], "Created": 1}
    other = {"Id": "sha256:1", "RepoTags": ["b:1"], "Created": 1}
    merged = {**one, "RepoTags": ["a:1", "b:1"], "RepoDigests": [], "Nodes": ["A", "B"]}
    assert merge.images([("A", [one]), ("B", [other])]) == [merged]
    assert one["RepoTags"] == ["a:1"]


def test_what_prunes_removed_is_added_up() -> None:
    one, other = ({"ContainersDeleted": removed, "SpaceReclaimed": size} for removed, size in ((["1"], 5), (None, 2)))
    assert merge.deleted([("A", one), ("B", other)]) == {"ContainersDeleted": ["1"], "SpaceReclaimed": 7}


def test_disk_usage_is_summed_and_says_each_share() -> None:
    parts = [("A", {"LayersSize": 3, "Volumes": [{"Name": "v"}], "BuilderSize": 1}), ("B", {"LayersSize": 4})]
    assert merge.usage(parts) == {
        "LayersSize": 7,
        "Volumes": [{"Name": "v", "Node": "A"}],
        "BuilderSize": 1,
        "Nodes": {"A": {"LayersSize": 3}, "B": {"LayersSize": 4}},
    }


async def test_a_caller_that_goes_away_leaves_no_placement_pending() -> None:
    a = Engine("A")
    async with over(a).open() as sender:
        client = Client(sender)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.spawn, {"Image": "busybox"})
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        await client.spawn({"Image": "busybox"})
    assert a.boxes
