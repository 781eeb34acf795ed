"""balance over members in memory: where each verb goes, and what a member that fails does to the rest."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from swarmlib import (
    Ack,
    Ambiguous,
    Chain,
    Client,
    Conflict,
    Denied,
    Error,
    Filter,
    Internal,
    Invalid,
    Json,
    NotFound,
    Request,
    Unavailable,
    Unsupported,
    Verb,
    next_reply,
)
from swarmlib import connect as open_chain
from swarmlib_backends.balance import Balance, merge
from swarmlib_backends.balance.node import Node
from tests.support.simulated import Box, Engine, stamp

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
        for kind in ("networks", "volumes"):
            await swarm.spawn({"Name": "mine"}, kind)
        others = [*await swarm.ls("networks"), *await swarm.ls("volumes")]
    assert named(found) == {("web", "A"), ("db", "B")}
    assert all(item["Labels"]["swarmlib.node"] == item["Node"] == item.node for item in found)
    assert all("swarmlib.node" not in (item.get("Labels") or {}) for item in others)
    assert {item["Node"]["Name"] for item in others} == {"A", "B"}


async def test_an_inspection_describes_the_engine_and_keeps_the_labels_as_the_client_set_them() -> None:
    about = {
        "ID": "xyz",
        "NCPU": 8,
        "MemTotal": 2**34,
        "Swarm": {"NodeAddr": "192.0.2.7"},
        "Labels": ["ssd", "at=eu=1"],
    }
    known, unknown = Engine("A", info=about), Engine("B", info={"Labels": None, "NCPU": None, "MemTotal": None})
    known.add("labelled", Labels={"tier": "web"})
    unknown.add("plain", Labels=None)
    async with open_chain(over(known, unknown)) as swarm:
        labelled, plain = [await swarm.get("containers", name) for name in ("labelled", "plain")]
        net = await (await swarm.spawn({"Name": "net", "Labels": {"a": "b"}}, "networks")).get()
        volume = {"Name": "data", "Labels": {"a": "b"}}
        made = (await swarm.call(Verb.SPAWN, ("volumes",), body=Json.from_data(volume))).value
    engine = {"Addr": "", "Cpus": 8, "ID": "xyz", "IP": "192.0.2.7", "Memory": 2**34, "Name": "A"}
    assert labelled["Node"] == {**engine, "Labels": {"ssd": "", "at": "eu=1"}}
    nothing: dict[str, Any] = {"Addr": "", "Cpus": 0, "ID": "", "IP": "", "Labels": {}, "Memory": 0, "Name": "B"}
    assert plain["Node"] == nothing
    assert (labelled["Config"]["Labels"], plain["Config"]["Labels"]) == ({"tier": "web"}, None)
    assert {each["Node"]["Name"] for each in (net, made)} <= {"A", "B"}
    assert (net["Labels"], made["Labels"]) == ({"a": "b"}, {"a": "b"})


async def test_a_place_that_no_member_has_is_said_to_be_missing() -> None:
    async with open_chain(Chain(Balance([Chain.read("exec")]))) as swarm:
        with pytest.raises(Unsupported, match="exec does not support get on nosuch/x"):
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


@pytest.mark.parametrize("kind", ["containers", "images", "networks", "volumes", "exec"])
async def test_what_is_no_longer_where_the_index_says_is_found_where_it_is(kind: str) -> None:
    a, b = Engine("A", quiet=True), Engine("B", quiet=True)
    for each in (a, b):
        each.boxes["0" * 64] = Box("0" * 64, "it")
        each.images["sha256:1"] = ["it:latest"]
        each.networks["it"] = {"Id": "it", "Name": "it"}
        each.volumes["it"] = {"Name": "it"}
        each.execs.add("it")
    store = {"containers": "boxes", "exec": "execs"}.get(kind, kind)
    stores: list[Any] = [getattr(each, store) for each in (a, b)]
    kept = stores[1].copy()
    stores[1].clear()
    ref = "it:latest" if kind == "images" else "it"
    async with open_chain(over(a, b)) as swarm:
        await swarm.get(kind, ref)
        stores[0].clear()
        stores[1].update(kept)
        await swarm.get(kind, ref)
        a.asked.clear()
        await swarm.get(kind, ref)
        assert a.asked == [f"ls {kind}"] * (kind in ("images", "networks", "volumes"))  # it is listed anew, and known
        stores[1].clear()
        with pytest.raises(NotFound):
            await swarm.get(kind, ref)


async def test_a_member_may_say_at_once_that_it_has_no_such_object() -> None:
    class Gone(Filter):
        """Answers for the engine behind it, in the sender's own task."""

        async def send(self, request: Request) -> None:
            if gone and request.path == ("containers", "it"):
                raise NotFound("no such container: it")
            await self.next.send(request)

    gone = False
    a, b = Engine("A", quiet=True), Engine("B", quiet=True)
    a.boxes["0" * 64] = Box("0" * 64, "it")
    async with open_chain(Chain(Balance([Chain(Gone(), a), Chain(b)]))) as swarm:
        await swarm.get("containers", "it")
        gone = True
        b.boxes["1" * 64] = Box("1" * 64, "it")
        assert (await swarm.get("containers", "it"))["Id"] == "1" * 64


async def test_what_was_removed_on_one_of_two_engines_is_not_ambiguous() -> None:
    a, b = Engine("A", quiet=True), Engine("B", quiet=True)
    gone = a.add("same")
    left = b.add("same")
    async with open_chain(over(a, b)) as swarm:
        with pytest.raises(Ambiguous):
            await swarm.get("containers", "same")
        del a.boxes[gone.id]
        assert (await swarm.get("containers", "same"))["Id"] == left.id


async def test_an_engine_says_in_its_own_words_what_is_wrong_with_a_call_of_what_no_engine_has() -> None:
    a, b = two()
    a.wrong = Invalid("that name may not be used")
    async with open_chain(over(a, b)) as swarm:
        with pytest.raises(Invalid, match="that name may not be used"):
            await swarm.set("containers", "nosuch", "rename", name="other")


async def test_what_no_engine_has_is_not_found_but_unknown_while_one_is_down() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        with pytest.raises(NotFound, match="No such container: nosuch"):
            await swarm.start("containers", "nosuch")
        with a.down(), pytest.raises(Unavailable, match=r"A is down|connection refused"):
            await swarm.start("containers", "nosuch")


@pytest.mark.parametrize("name", ["db", "/db"])
async def test_a_name_that_any_engine_has_is_refused_in_an_engine_s_words(name: str) -> None:
    taken = (
        f'Conflict. The container name "/db" is already in use by container "{ID_B}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    async with open_chain(over(*two())) as swarm:
        with pytest.raises(Conflict) as refused:
            await swarm.spawn({"Image": "busybox"}, name=name)
        assert refused.value.message == taken
        with pytest.raises(Conflict) as refused:
            await swarm.set("containers", "web", "rename", name=name)
        assert refused.value.message == f"Error when allocating new name: {taken}"
        assert named(await swarm.ls()) == {("web", "A"), ("db", "B")}


async def test_a_name_whose_container_is_gone_is_free_before_its_engine_has_told() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        a.quiet = b.quiet = True
        del b.boxes[ID_B]
        await swarm.set("containers", "web", "rename", name="db")
        assert named(await swarm.ls()) == {("db", "A")}


@pytest.mark.parametrize("calls", [("create", "create"), ("create", "rename a"), ("rename a", "rename b")])
async def test_one_name_is_given_once_even_at_the_same_time(
    calls: Sequence[str], autojump_clock: trio.testing.MockClock
) -> None:
    a, b = Engine("A", delay=1.0), Engine("B", delay=1.0)
    a.add("a")
    b.add("b")
    refused: list[Conflict] = []

    async def give(swarm: Client, call: str) -> None:
        try:
            if call == "create":
                await swarm.spawn({"Image": "busybox"}, name="new")
            else:
                await swarm.set("containers", call.removeprefix("rename "), "rename", name="new")
        except Conflict as exc:
            refused.append(exc)

    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        async with trio.open_nursery() as nursery:
            for call in calls * 2 if calls[0] == calls[1] else calls:
                nursery.start_soon(give, swarm, call)
    given = [box.id for each in (a, b) for box in each.boxes.values() if box.name == "new"]
    assert len(given) == 1
    assert refused
    assert all(f'"/new" is already in use by container "{given[0]}"' in exc.message for exc in refused)


async def test_a_name_is_given_back_by_a_create_that_fails_or_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a = Engine("A", delay=1.0)
    async with open_chain(over(a)) as swarm:
        await swarm.ls()
        with pytest.raises(NotFound):
            await swarm.spawn({"Image": "nosuch"}, name="new")
        with trio.move_on_after(0.5):
            await swarm.spawn({"Image": "busybox"}, name="new")
        with trio.fail_after(2):
            await swarm.spawn({"Image": "busybox"}, name="new")


@pytest.mark.parametrize("kind", ["networks", "volumes"])
async def test_two_of_one_name_that_are_made_at_the_same_time_meet_on_one_engine(
    kind: str, autojump_clock: trio.testing.MockClock
) -> None:
    a, b = Engine("A", delay=1.0), Engine("B", delay=1.0)
    async with open_chain(over(a, b, strategy="round-robin")) as swarm, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(partial(swarm.spawn, {"Name": "one"}, kind))
    assert sorted(each.asked.count(f"spawn {kind}") for each in (a, b)) == [0, 2]


async def test_two_containers_that_make_one_volume_at_the_same_time_meet_on_one_engine(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Engine("A", delay=1.0), Engine("B", delay=1.0)
    body = {"Image": "busybox", "HostConfig": {"Binds": ["data:/data"]}}
    async with open_chain(over(a, b, strategy="round-robin")) as swarm, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(swarm.spawn, body)
    assert sorted(len(each.boxes) for each in (a, b)) == [0, 2]


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


@pytest.mark.parametrize("apart", [1.0, 0.001])
async def test_filters_and_limits_are_right_for_the_whole(apart: float) -> None:
    a, b = Engine("A"), Engine("B")
    for number, each in enumerate([a, b, a, b, a]):
        each.add(f"c{number}").created = 1000.0 + apart * number
    async with open_chain(over(a, b)) as swarm:

        async def names(**args: str) -> list[str]:
            return [item["Names"][0].lstrip("/") for item in await swarm.ls(**args)]

        assert await names() == ["c4", "c3", "c2", "c1", "c0"]
        for limit in range(1, 6):
            assert await names(limit=str(limit)) == ["c4", "c3", "c2", "c1", "c0"][:limit]
        assert await names(limit="2", filters='{"before": ["c4"]}') == ["c3", "c2"]
        assert await names(limit="-1", filters='{"since": ["c1"]}') == ["c4", "c3", "c2"]
        assert await names(filters='{"since": ["c1"]}') == ["c4", "c3", "c2"]
        assert await names(filters='{"before": ["c2"]}') == ["c1", "c0"]
        assert await names(filters='{"since": ["c0"], "before": ["c3"]}') == ["c2", "c1"]
        assert await names(filters='{"node": ["A"]}') == ["c4", "c2", "c0"]
        assert await names(filters='{"node": ["B"], "name": ["c1"]}') == ["c1"]
        assert await names(filters='{"label": {"swarmlib.node=B": true}}') == ["c3", "c1"]
        assert await names(filters='{"node": ["nosuch"]}') == []
        for filters in ('{"since": ["nosuch"]}', '{"since": ["c0"], "before": ["nosuch"]}'):
            with pytest.raises(NotFound, match="No such container: nosuch"):
                await names(filters=filters)


async def test_images_since_one_of_the_same_second() -> None:
    a, b = Engine("A", images={}), Engine("B", images={})
    for number, each in enumerate([a, b, a, b]):
        each.images[f"sha256:{number}"] = [f"i{number}:latest"]
        each.images_made[f"sha256:{number}"] = 1000.2 + number / 4
    async with open_chain(over(a, b)) as swarm:
        params = {"filters": '{"since": ["i1:latest"]}', "limit": "of no meaning here"}
        found = (await swarm.call(Verb.LS, ("images",), params=params)).value
    assert sorted(image["RepoTags"][0] for image in found) == ["i2:latest", "i3:latest"]


async def test_networks_that_every_engine_has_are_each_listed_and_their_names_mean_the_first_engines() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.spawn({"Name": "mine"}, "networks")
        found = await swarm.ls("networks")
        assert sorted(item["Name"] for item in found) == ["bridge", "bridge", "host", "host", "mine", "none", "none"]
        assert [(await swarm.get("networks", item.id))["Node"]["Name"] for item in found] == [
            item.node for item in found
        ]
        assert (await swarm.get("networks", "bridge"))["Id"] == "A-bridge"
        assert (await swarm.get("networks", "B/bridge"))["Id"] == "B-bridge"


@pytest.mark.parametrize("verb", ["connect", "disconnect"])
async def test_a_container_is_connected_where_it_is_or_refused_with_what_is_where(verb: str) -> None:
    a, b = two()
    for each in (a, b):
        for name in ("twice", f"only-{each.label}"):
            each.networks[name] = {"Id": name, "Name": name}

    async def connected(network: str, container: str, *links: str) -> None:
        body = {"Container": container, "EndpointConfig": {"Links": list(links)}}
        await swarm.set("networks", network, verb, body=body)

    async with open_chain(over(a, b)) as swarm:
        for network in ("bridge", "host", "twice", "only-B", "B/only-B"):
            await connected(network, "db")
        await connected("twice", "B/db")
        assert sum(each.startswith("set networks") for each in b.asked) == 6
        with pytest.raises(Conflict, match="the network only-A is on A, but the container db is on B"):
            await connected("only-A", "db")
        with pytest.raises(Conflict, match="the container web is on A, but the container db is on B"):
            await connected("twice", "db", "web:alias")
        with pytest.raises(NotFound, match="network nosuch not found"):
            await connected("nosuch", "db")
        with pytest.raises(NotFound, match="No such container: nosuch"):
            await connected("only-A", "nosuch")


async def test_a_dead_engine_does_not_spoil_the_rest_and_what_is_missing_is_said() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        with a.down():
            await trio.testing.wait_all_tasks_blocked()
            answer = await swarm.call(Verb.LS, ("containers",))
            assert named(answer.value) == {("db", "B")}
            assert "A is missing: " in answer.before[0].details["warnings"][0]
            info = await swarm.get()
            made = await swarm.spawn({"Image": "busybox"})
            with pytest.raises(Unavailable, match="A is down"):
                await swarm.start("containers", "web")
            with pytest.raises(Conflict, match="It is on A, which is down"):
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
                with pytest.raises(Unavailable, match=r"would be incomplete.*A is missing"):
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
        a.asked.clear()
        b.trouble.append(Denied("no such image for you"))
        with pytest.raises(Denied, match=r"^B: no such image for you$"):
            await swarm.spawn(None, "images", fromImage="busybox")
        assert a.asked == ["spawn images"] * 2  # to its end


async def test_a_pull_that_every_engine_refuses_is_refused_as_by_one() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        refused = Internal("no way", details={"status": 500, "body": b"{}"})
        a.trouble = b.trouble = [refused]
        async with swarm.request(Verb.SPAWN, ("images",), params={"fromImage": "x"}) as replies:
            first = await replies.receive()
    assert isinstance(first, Error)
    assert (first.error.message, first.error.details) == ("no way", refused.details)


async def test_a_pull_goes_on_without_an_engine_that_freezes_in_the_middle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = two()
    a.slow["images"] = b.slow["images"] = 1.0
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        start = trio.current_time()
        async with swarm.request(Verb.SPAWN, ("images",), params={"fromImage": "x"}) as replies:
            first = [(await next_reply(replies)).json["status"] for _ in range(2)]
            b.frozen = True
            rest = [await next_reply(replies), await next_reply(replies)]
        assert trio.current_time() - start <= 15
    assert sorted(first) == ["pulling on A", "pulling on B"]
    assert rest[0].json["status"].startswith("B is missing: ")
    assert isinstance(rest[1], Ack)
    b.frozen = False
    async with open_chain(over(a, b, strict=True)) as swarm, swarm.request(Verb.SPAWN, ("images",)) as replies:
        for _ in range(2):
            await next_reply(replies)
        b.frozen = True
        with pytest.raises(Unavailable, match="--strict is set"):
            await next_reply(replies)


async def test_what_rightly_takes_long_may_take_long_while_the_engine_is_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = two()
    a.slow = b.slow = {"df": 300.0, "search": 100.0, "auth": 100.0}
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        start = trio.current_time()
        assert (await swarm.get("df"))["LayersSize"] == 2
        assert trio.current_time() - start == pytest.approx(300)
        assert await swarm.get("search", term="busybox") == [{"name": "busybox"}]
        assert b.asked.count("get search") == 0
        await swarm.set("auth", body={"username": "me"})
        a.frozen = True
        start = trio.current_time()
        async with swarm.request(Verb.GET, ("df",)) as replies:
            found = await next_reply(replies)
        assert found.json["LayersSize"] == 1
        assert "A is missing" in found.details["warnings"][0]


async def test_a_list_with_sizes_may_take_long_too(autojump_clock: trio.testing.MockClock) -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        a.slow["containers"] = 60.0
        assert named(await swarm.ls(size=True)) == {("web", "A"), ("db", "B")}


async def test_a_ping_is_answered_while_the_first_engine_is_frozen(autojump_clock: trio.testing.MockClock) -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        a.frozen = True
        with trio.fail_after(5.1):
            assert await swarm.get("ping") == {}


async def test_a_wrong_password_is_tried_at_one_engine() -> None:
    a, b = two()
    a.trouble = b.trouble = []
    async with open_chain(over(a, b)) as swarm:
        await swarm.ls()
        a.trouble = b.trouble = [Denied("wrong password")]
        with pytest.raises(Denied, match="wrong password"):
            await swarm.set("auth", body={"username": "me", "password": "x"})
        assert "set auth" not in b.asked
        a.trouble, b.trouble = [Internal("no route to the registry")], []
        await swarm.set("auth", body={"username": "me"})


async def test_an_exec_is_found_again() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        made = await swarm.spawn({"Cmd": ["true"]}, "containers", "db", "exec")
        assert await swarm.get("exec", made.id) == {"ID": made.id}
    assert f"get exec/{made.id}" in b.asked
    assert f"get exec/{made.id}" not in a.asked


A_NODE, B_NODE = Node("A"), Node("B")


def test_an_image_on_two_engines_is_listed_once_with_all_its_tags() -> None:
    one = {"Id": "sha256:1", "RepoTags": ["a:1"], "Created": 1}
    other = {"Id": "sha256:1", "RepoTags": ["b:1"], "Created": 1}
    merged = {**one, "RepoTags": ["a:1", "b:1"], "RepoDigests": [], "Nodes": ["A", "B"]}
    assert merge.images([(A_NODE, [one]), (B_NODE, [other])]) == [merged]
    assert one["RepoTags"] == ["a:1"]


async def test_images_are_saved_together_from_the_engine_that_has_most_of_them() -> None:
    a, b = Engine("A"), Engine("B")
    for each, names in ((a, ["one:1"]), (b, ["two:1", "three:1"])):
        each.images = {f"sha256:{name}": [name] for name in names}
    async with open_chain(over(a, b)) as swarm:
        await swarm.call(Verb.FILE, ("images",), params={"names": ["one:1", "two:1", "three:1"]})
        assert [name for names in b.images.values() for name in names] == ["two:1", "three:1", "one:1"]
    b.images = {"sha256:two:1": ["two:1"]}
    b.info = {"OSType": "windows"}
    async with open_chain(over(a, b)) as swarm:
        with pytest.raises(Conflict, match="the image two:1 is on B, and has another platform than A"):
            await swarm.call(Verb.FILE, ("images",), params={"names": ["one:1", "two:1"]})


def test_what_is_said_of_swarm_mode_is_a_manager_s() -> None:
    worker, manager = ({"Swarm": {"NodeID": id, "ControlAvailable": id == "m"}} for id in "wm")
    assert merge.info([(A_NODE, worker), (B_NODE, manager)])["Swarm"] == manager["Swarm"]
    assert merge.info([(A_NODE, worker)])["Swarm"] == worker["Swarm"]


def test_what_prunes_removed_is_added_up() -> None:
    one, other = ({"ContainersDeleted": removed, "SpaceReclaimed": size} for removed, size in ((["1"], 5), (None, 2)))
    assert merge.deleted([(A_NODE, one), (B_NODE, other)]) == {"ContainersDeleted": ["1"], "SpaceReclaimed": 7}


def test_disk_usage_is_summed_and_says_each_share() -> None:
    parts = [(A_NODE, {"LayersSize": 3, "Volumes": [{"Name": "v"}], "BuilderSize": 1}), (B_NODE, {"LayersSize": 4})]
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
