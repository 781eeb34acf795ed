"""Reads through balance: what is answered from memory, and what makes balance ask the engine again."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from swarmlib import Chain, Client, Filter, NotFound, Reply, Request, Set, Tap, Verb
from swarmlib import connect as open_chain
from swarmlib.asking import Answer
from swarmlib_backends.balance import Balance, answers, merge
from tests.support.simulated import Engine

SETTLED_SECONDS = 1.5
CHECKED = answers.checked
DOCKERS = {"Components": [{"Name": "Engine"}, {"Name": "containerd"}]}


class Docker(Engine):
    """An engine that is known to tell what changes, as a Docker engine is."""

    async def get(self, request: Request) -> Any:
        found = await super().get(request)
        if request.path == ("version",):
            return found | DOCKERS
        if request.path[:1] == ("containers",):
            box = self._find(request.path[1])
            found["State"]["Status"] = box.state
            found["State"] |= box.body.get("state") or {}
        if request.path[:1] == ("networks",):
            found = {"Scope": "local"} | found
        return found


def docker(label: str = "A", **box: Any) -> Docker:
    made = Docker(label)
    made.add("web", "a" * 64, **box)
    made.networks[f"{label}-net"] = {"Name": "net", "Id": f"{label}-net"}
    return made


@asynccontextmanager
async def over(*engines: Filter | Engine | Chain, **options: Any) -> AsyncGenerator[Client]:
    """Balance over engines, once it has been quiet for a moment."""
    async with open_chain(Chain(Balance([Chain(each) for each in engines], **options))) as swarm:
        await swarm.ls()
        await trio.sleep(SETTLED_SECONDS)
        yield swarm


async def asked(engine: Engine, read: Callable[[], Awaitable[Any]]) -> int:
    """How often an engine is asked for the same read, three times."""
    engine.asked.clear()
    found = [await read() for _ in range(3)]
    assert all(each == found[0] for each in found)
    return len([each for each in engine.asked if each != "get ping"])  # balance itself asks that


OBJECTS = [("containers", "web"), ("containers", "a" * 64), ("networks", "net"), ("images", "busybox:latest")]


@pytest.mark.parametrize("path", [*OBJECTS, ("version",)])
async def test_it_is_asked_for_once(path: tuple[str, ...], autojump_clock: trio.testing.MockClock) -> None:
    engine = docker()
    async with over(engine) as swarm:
        assert await asked(engine, lambda: swarm.get(*path)) == 1
        await trio.sleep(61)
        assert await asked(engine, lambda: swarm.get(*path)) == 1


@pytest.mark.parametrize("path", [(), ("df",), ("networks", "bridge"), ("images", "0000")])
async def test_it_is_asked_for_each_time(path: tuple[str, ...], autojump_clock: trio.testing.MockClock) -> None:
    engine = docker()
    engine.images["0000"] = []
    async with over(engine) as swarm:
        assert await asked(engine, lambda: swarm.get(*path)) == 3


@pytest.mark.parametrize(
    "box",
    [
        {"running": False},
        {"state": {"Status": "restarting"}},
        {"state": {"Health": {"Status": "healthy"}}},
        {"Healthcheck": {"Test": ["CMD", "true"]}},
    ],
)
async def test_a_container_whose_state_changes_untold_is_asked_for_each_time(
    box: dict[str, Any], autojump_clock: trio.testing.MockClock
) -> None:
    engine = docker(**box)
    async with over(engine) as swarm:
        assert await asked(engine, lambda: swarm.get("containers", "web")) == 3


async def test_what_only_plays_an_engine_is_asked_each_time(autojump_clock: trio.testing.MockClock) -> None:
    engine = Engine("A")
    engine.add("web")
    async with over(engine) as swarm:
        assert await asked(engine, lambda: swarm.get("containers", "web")) == 3
        assert await asked(engine, lambda: swarm.get("version")) == 3


WEB = "a" * 64


@pytest.mark.parametrize(
    ("path", "kind", "action", "id"),
    [
        (("containers", "web"), "container", "update", WEB),
        (("containers", "web"), "container", "exec_create: true", WEB),
        (("containers", "web"), "network", "connect", "A-net"),
        (("containers", "web"), "daemon", "reload", "x"),
        (("networks", "net"), "network", "connect", "A-net"),
        (("networks", "net"), "container", "rename", WEB),
        (("images", "busybox:latest"), "image", "tag", "x"),
        (("images", "busybox:latest"), "container", "commit", WEB),
        (("version",), "daemon", "reload", "x"),
    ],
)
async def test_an_event_makes_it_asked_for_again(
    path: tuple[str, ...], kind: str, action: str, id: str, autojump_clock: trio.testing.MockClock
) -> None:
    engine = docker()
    async with over(engine) as swarm:
        await swarm.get(*path)
        engine.tell_of(kind, action, id, {"container": WEB} if kind == "network" else {"name": "web"})
        await trio.testing.wait_all_tasks_blocked()
        assert await asked(engine, lambda: swarm.get(*path)) >= 3  # it may still be changing
        await trio.sleep(SETTLED_SECONDS)
        assert await asked(engine, lambda: swarm.get(*path)) == 1


async def test_the_events_of_another_container_change_nothing(autojump_clock: trio.testing.MockClock) -> None:
    engine = docker()
    other = engine.add("other")
    async with over(engine) as swarm:
        await swarm.get("containers", "web")
        engine.tell("update", other)
        await trio.testing.wait_all_tasks_blocked()
        assert await asked(engine, lambda: swarm.get("containers", "web")) == 0


async def test_a_client_sees_its_own_change_even_if_no_event_tells_it(autojump_clock: trio.testing.MockClock) -> None:
    engine = docker()
    async with over(engine) as swarm:
        engine.quiet = True
        before = await swarm.get("containers", "a" * 64)
        await swarm.set("containers", "web", "rename", name="mine")
        after = await swarm.get("containers", "a" * 64)
        assert (before["Name"], after["Name"]) == ("/web", "/mine")


async def test_a_list_shows_that_a_name_means_another_image_by_now(autojump_clock: trio.testing.MockClock) -> None:
    engine = docker()
    async with over(engine) as swarm:
        engine.boxes[WEB].body["Image"] = "sha256:old"
        engine.tell_of("image", "tag", "sha256:new", {"name": "busybox:latest"})
        await trio.testing.wait_all_tasks_blocked()
        assert [each["Image"] for each in await swarm.ls()] == ["sha256:old"]
        engine.boxes[WEB].body["Image"] = "busybox"
        engine.tell_of("image", "untag", "sha256:new", {"name": "sha256:new"})
        await trio.testing.wait_all_tasks_blocked()
        assert [each["Image"] for each in await swarm.ls()] == ["busybox"]


@dataclass
class Late(Filter):
    """Holds back the events that balance follows for itself; those that its clients watch pass."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.arrives = trio.Event()
        self.arrives.set()
        self.watched = 0

    def _bound_to(self, next: Any) -> Any:
        self.next = next  # no copy: the test holds the stage itself
        return self

    async def send(self, request: Request) -> None:
        if request.verb is Verb.WATCH:
            self.watched += 1
            if self.watched == 1:
                request = request.replace(reply=_Held(request.reply, self))
        await self.next.send(request)


class _Held(Tap):
    def __init__(self, inner: Any, late: Late) -> None:
        super().__init__(inner, lambda reply: reply)
        self._late = late

    async def _deliver(self, reply: Reply) -> None:
        if isinstance(reply, Set):
            await self._late.arrives.wait()
        await super()._deliver(reply)


async def test_an_event_is_shown_once_reads_show_what_it_tells(autojump_clock: trio.testing.MockClock) -> None:
    engine, late = docker(), Late()
    box = engine.boxes["a" * 64]
    async with over(Chain(late, engine)) as swarm, swarm.watch() as events, trio.open_nursery() as nursery:
        assert (await swarm.get("containers", box.id))["Name"] == "/web"
        late.arrives = trio.Event()
        box.name = "mine"
        engine.tell("rename", box)
        shown: list[Any] = []

        async def look() -> None:
            shown.append((await anext(aiter(events)))["Action"])
            shown.append((await swarm.get("containers", box.id))["Name"])

        nursery.start_soon(look)
        await trio.sleep(1)
        assert shown == []
        late.arrives.set()
        await trio.sleep(1)
        assert shown == ["rename", "/mine"]


async def test_nothing_merged_is_kept_while_an_engine_is_down(autojump_clock: trio.testing.MockClock) -> None:
    engine, other = docker(), docker("B")
    async with over(engine, other) as swarm:
        assert await asked(other, lambda: swarm.ls("networks")) == 1
        with engine.down():
            await trio.testing.wait_all_tasks_blocked()
            assert await asked(other, lambda: swarm.ls("networks")) == 3


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with members' answers from now on: each check and each merging, by what was asked."""
    done: list[str] = []

    def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def note(*given: Any) -> Any:
            done.append(name)
            return function(*given)

        return note

    def checked(answer: Answer, request: Request, member: str) -> Answer:
        if request.path != ("ping",):  # balance itself asks that
            done.append("check")
        return CHECKED(answer, request, member)

    monkeypatch.setattr(answers, "checked", checked)
    monkeypatch.setattr(merge, "LISTS", {path: noted("merge", each) for path, each in merge.LISTS.items()})
    monkeypatch.setattr(merge, "inspected", noted("inspect", merge.inspected))
    return done


async def test_what_members_answer_again_is_neither_checked_nor_merged_again(
    work: list[str], autojump_clock: trio.testing.MockClock
) -> None:
    one, other = docker(), docker("B")
    async with over(one, other) as swarm:
        one.volumes["data"] = {"Name": "data", "Driver": "local"}
        work.clear()
        first = await swarm.ls("volumes")
        assert work == ["check", "check", "merge", "inspect"]
        assert await swarm.ls("volumes") == first
        assert len(work) == 4
        other.volumes["more"] = {"Name": "more", "Driver": "local"}
        names = [each["Name"] for each in await swarm.ls("volumes")]
        assert names == ["data", "more"]
        assert work[4:] == ["check", "merge", "inspect", "inspect"]
        other.volumes["more"]["Driver"] = "nfs"  # as long as before
        assert [each["Driver"] for each in await swarm.ls("volumes")] == ["local", "nfs"]


async def test_what_is_inspected_again_is_the_same_and_a_change_of_it_or_of_its_engine_is_seen(
    work: list[str], autojump_clock: trio.testing.MockClock
) -> None:
    engine = docker(running=False)
    async with over(engine) as swarm:
        work.clear()
        first = await swarm.get("containers", "web")
        assert await swarm.get("containers", "web") == first
        assert work == ["check", "inspect"]
        engine.boxes["a" * 64].body["state"] = {"Error": "its network is gone"}
        assert (await swarm.get("containers", "web"))["State"]["Error"] == "its network is gone"
        engine.info["NCPU"] = 64
        await trio.sleep(100)
        assert (await swarm.get("containers", "web"))["Node"]["Cpus"] == 64


async def test_a_list_in_which_a_member_is_missing_is_not_the_answer_when_it_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, other = docker(), docker("B")
    async with over(one, other) as swarm:

        async def told() -> tuple[int, int]:
            reply = (await swarm.call(Verb.LS, ("volumes",))).holder
            return len(reply.json["Volumes"]), len(reply.details.get("warnings", ()))

        one.volumes["data"] = {"Name": "data", "Driver": "local"}
        assert [await told(), await told()] == [(1, 0), (1, 0)]
        with other.down():
            await trio.testing.wait_all_tasks_blocked()
            assert [await told(), await told()] == [(1, 1), (1, 1)]
        await trio.sleep(10)
        assert await told() == (1, 0)


async def test_an_answer_that_may_be_old_says_its_age(autojump_clock: trio.testing.MockClock) -> None:
    engine = docker()
    async with over(engine, max_age=10.0) as swarm:
        ages: list[Any] = []
        for _ in range(4):
            ages.append((await swarm.call(Verb.GET, ("df",))).before[0].details.get("age"))
            await trio.sleep(4)
        assert ages == [0, 4, 8, 0]
        await swarm.get("df")
        engine.tell_of("builder", "prune", "", {})
        await trio.testing.wait_all_tasks_blocked()
        assert await asked(engine, lambda: swarm.get("df")) == 3


async def test_an_answer_that_is_asked_for_each_time_has_no_age() -> None:
    async with over(docker()) as swarm:
        assert "age" not in (await swarm.call(Verb.GET, ("df",))).before[0].details


@dataclass
class Metered(Docker):
    """An engine whose containers' samples a test sends, to all who watch them."""

    meters: list[trio.MemorySendChannel[dict[str, Any]]] = field(
        default_factory=list["trio.MemorySendChannel[dict[str, Any]]"]
    )

    async def watch(self, request: Request) -> None:
        if request.path[2:] != ("stats",):
            await super().watch(request)
            return
        self._find(request.path[1])
        send, receive = trio.open_memory_channel[dict[str, Any]](0)
        self.meters.append(send)
        await request.reply.ack()
        async with receive:
            async for sample in receive:
                await request.reply.set(sample)


NEVER = "0001-01-01T00:00:00Z"


async def test_all_who_watch_what_a_container_uses_share_one_stream(autojump_clock: trio.testing.MockClock) -> None:
    engine = Metered("A")
    engine.add("web", "a" * 64)
    seen: list[str] = []

    async def look(swarm: Client, name: str, *, stream: bool) -> None:
        async with swarm.watch("containers", name, "stats", stream=stream) as samples:
            async for sample in samples:
                seen.append(f"{stream} {sample['read']}")

    async with over(engine) as swarm, trio.open_nursery() as nursery:
        for name, stream in (("web", True), ("a" * 64, True), ("aaaa", False)):
            nursery.start_soon(partial(look, swarm, name, stream=stream))
        await trio.sleep(1)
        (meter,) = engine.meters
        for sample in ({"read": "1", "preread": NEVER}, {"read": "2", "preread": "1"}, {"read": "3", "preread": "2"}):
            await meter.send(sample)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sorted(seen) == ["False 2", *["True 1"] * 2, *["True 2"] * 2, *["True 3"] * 2]


async def test_a_stream_ends_with_its_last_watcher_and_an_unknown_container_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = Metered("A")
    box = engine.add("web", "a" * 64)
    async with over(engine) as swarm:
        for number in range(2):
            with trio.move_on_after(1):
                async with swarm.watch("containers", "web", "stats"):
                    pass
            (meter,) = engine.meters[number:]
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BrokenResourceError):
                meter.send_nowait({})
        del engine.boxes[box.id]
        with pytest.raises(NotFound, match="No such container: web"):
            async with swarm.watch("containers", "web", "stats"):
                pass
