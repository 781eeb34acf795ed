"""What a chain knows of itself: its calls, their way and their ends, its clients, its engines, and what was denied."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from swarmlib import (
    Ack,
    Backend,
    Chain,
    Client,
    Denied,
    Error,
    Filter,
    Json,
    Meta,
    NotFound,
    Request,
    Sender,
    Server,
    Set,
    Unavailable,
    Verb,
    ask,
    next_reply,
)
from swarmlib.asking import call
from swarmlib_backends import Balance, control, notes
from swarmlib_backends.observe import observation
from swarmlib_backends.observe.engines import is_ready
from swarmlib_backends.observe.observation import MAX_VALUE, Observation
from swarmlib_backends.observe.status import state


@dataclass(eq=False)
class Leaf(Server):
    """Answers as it is told."""

    up: bool = True
    release: trio.Event = field(default_factory=trio.Event)

    async def get(self, request: Request) -> object:
        if request.path[:1] == ("slow",):
            await self.release.wait()
        if not self.up:
            raise Unavailable("it is gone")
        if request.path[:1] == ("none",):
            raise NotFound("no such thing")
        return {"Containers": 3, "NCPU": 4} if not request.path else "yes"

    async def ls(self, request: Request) -> object:
        return Json(b'["a","b"]')

    async def connect(self, request: Request) -> None:
        near, far = memory_stream_pair()
        await far.send_all(b"hello")
        await request.reply.ack(stream=near)

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.set("event")
        await self.release.wait()
        if not self.up:
            raise Unavailable("it is gone")

    async def spawn(self, request: Request) -> object:
        return {"Id": "made"}

    async def set(self, request: Request) -> None:
        assert request.upload is not None
        async with request.upload:
            while await request.upload.receive_some():
                pass


@dataclass(eq=False)
class Deny(Filter):
    """Denies what is called `secret`, and quotes the request."""

    async def send(self, request: Request) -> None:
        if request.path[:1] == ("secret",):
            raise Denied(f"not {request.json}")
        await self.next.send(request)


@asynccontextmanager
async def observed(*stages: str | Backend | Chain) -> AsyncGenerator[tuple[Observation, Sender]]:
    seen = Observation()
    async with Chain(*stages).open(observer=seen.root) as sender:
        yield seen, sender


def of(caller: str, verb: Verb, *path: str, body: object = None) -> Request:
    return Request(verb, path, body=None if body is None else Json.from_data(body), meta=Meta(caller))


def kinds(seen: Observation) -> dict[tuple[str, str, str], int]:
    return {kind: series.count for kind, series in seen.ended.items()}


async def test_calls_are_counted_by_operation_outcome_and_engine() -> None:
    async with observed(Deny(), Leaf()) as (seen, sender):
        await call(sender, of("uid:1", Verb.LS, "containers"))
        await call(sender, of("uid:1", Verb.LS, "containers"))
        with pytest.raises(NotFound):
            await call(sender, of("uid:2", Verb.GET, "none", "x"))
        assert kinds(seen) == {("ContainerList", "ok", "leaf"): 2, ("Other", "not_found", "leaf"): 1}
        assert [place.requests for place in seen.places.values()] == [3, 3]
        assert {name: (each.calls, each.errors) for name, each in seen.clients.items()} == {
            "uid:1": (2, 0),
            "uid:2": (1, 1),
        }
        assert seen.sent == 2 * len(b'["a","b"]')
        assert not seen.under_way


async def test_a_call_knows_its_way_through_the_chains_of_members(autojump_clock: MockClock) -> None:
    async with observed(Deny(), 'balance "a=debug --filter nothing | simulator --containers 1" simulator') as (
        seen,
        sender,
    ):
        with seen.feeding() as feed:
            (container,) = await Client(sender).ls("containers")
            await Client(sender).get("containers", str(container.id))
        names = {number: (place.label, place.name) for number, place in seen.places.items()}
        _, inspected = feed.take()[0]
        way = [names[number] for number, _ in inspected.steps]
        assert way == [("", "deny"), ("", "balance"), ("a", "debug"), ("a", "simulator")]
        assert seen.engine_of(inspected) == "a"
        assert [seconds for _, seconds in inspected.steps] == sorted(seconds for _, seconds in inspected.steps)
        engines = [place for place in seen.places.values() if place.is_engine]
        assert [observation.name_of(each) for each in engines] == ["a", "simulator"]
    assert not seen.places


async def test_what_a_member_is_asked_by_balance_itself_is_no_call(autojump_clock: MockClock) -> None:
    async with observed("balance simulator") as (seen, _):
        await trio.sleep(60)
        assert not seen.ended
        assert seen.places[2].requests > 10


async def test_a_call_under_way_is_seen_until_its_client_disconnects() -> None:
    async with observed(Leaf()) as (seen, sender):
        async with await ask(sender, of("uid:1", Verb.GET, "slow")):
            await wait_all_tasks_blocked()
            (under_way,) = seen.under_way.values()
            assert under_way.outcome == ""
        await wait_all_tasks_blocked()
        assert not seen.under_way
        assert kinds(seen) == {("Other", "gone", "leaf"): 1}


async def test_a_call_that_a_stage_does_not_end_is_found_when_its_client_has_gone() -> None:
    @dataclass(eq=False)
    class Keeping(Filter):
        async def send(self, request: Request) -> None:
            request.keep()

    async with observed(Keeping()) as (seen, sender):
        async with await ask(sender, of("uid:1", Verb.LS, "containers")):
            seen.check()
            assert len(seen.under_way) == 1
        seen.check()
        assert not seen.under_way
        assert kinds(seen) == {("ContainerList", "gone", ""): 1}


async def test_a_stream_is_open_until_it_is_closed_and_its_bytes_are_counted() -> None:
    async with observed(Leaf()) as (seen, sender):
        async with await ask(sender, of("", Verb.CONNECT, "containers", "x")) as replies:
            reply = await next_reply(replies)
            assert isinstance(reply, Ack)
            assert reply.stream is not None
        stream = reply.stream
        assert isinstance(stream, trio.abc.HalfCloseableStream)
        assert [each.streams for each in seen.under_way.values()] == [True]
        assert await stream.receive_some(100) == b"hello"
        await stream.send_all(b"bye")
        await stream.aclose()
        assert not seen.under_way
        assert (seen.sent, seen.received) == (5, 3)
        assert kinds(seen) == {("ContainerAttach", "ok", "leaf"): 1}


async def test_a_conversation_lasts_until_its_end() -> None:
    leaf = Leaf()
    async with observed(leaf) as (seen, sender), await ask(sender, of("", Verb.WATCH)) as replies:
        await next_reply(replies)
        assert len(seen.under_way) == 1
        leaf.release.set()
        assert [reply async for reply in replies]
        await wait_all_tasks_blocked()
        assert not seen.under_way


async def test_a_conversation_that_breaks_off_has_ended() -> None:
    leaf = Leaf(up=False)
    leaf.release.set()
    async with observed(leaf) as (seen, sender), await ask(sender, of("", Verb.WATCH)) as replies:
        assert [type(reply) for reply in [each async for each in replies]] == [Ack, Set, Error]
        assert not seen.under_way
        assert kinds(seen) == {("SystemEvents", "unavailable", "leaf"): 1}


async def test_an_upload_is_counted() -> None:
    async with observed(Leaf()) as (seen, sender):
        near, far = memory_stream_pair()
        await far.send_all(b"x" * 1000)
        await far.send_eof()
        await call(sender, Request(Verb.SET, ("x",), upload=near))
        assert seen.received == 1000


async def test_a_denial_is_kept_without_what_is_secret() -> None:
    async with observed(Deny(), Leaf()) as (seen, sender):
        with pytest.raises(Denied, match="hunter2"):
            await call(sender, of("uid:7", Verb.SPAWN, "secret", body={"Env": ["PASSWORD=hunter2"]}))
        (denial,) = seen.denials
        assert (denial.caller, denial.path, denial.stage) == ("uid:7", "secret", "deny")
        assert "hunter2" not in denial.message
        assert seen.clients["uid:7"].denied == 1


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MAX_CLIENTS", 3), ("MAX_KINDS", 2)):
        monkeypatch.setattr(observation, name, most)
    async with observed(Leaf()) as (seen, sender):
        with seen.feeding(2) as feed:
            for number in range(5):
                family = ["containers", "images", "volumes", "networks", "tasks"][number]
                await call(sender, of(f"uid:{number}", Verb.LS, family))
            calls, dropped = feed.take()
        assert sorted(seen.clients) == ["uid:2", "uid:3", "uid:4"]
        assert kinds(seen) == {
            ("ContainerList", "ok", "leaf"): 1,
            ("ImageList", "ok", "leaf"): 1,
            ("Other", "ok", ""): 3,
        }
        assert ([each.path for each in calls], dropped) == ([("networks",), ("tasks",)], 3)
        assert feed.take() == ([], 0)


async def test_what_waits_for_a_viewer_holds_no_requests() -> None:
    @dataclass(eq=False)
    class Change(Filter):
        async def send(self, request: Request) -> None:
            notes.changed(request, request)
            notes.judged("allowed", "all", "")
            await self.next.send(request)

    async with observed(Change(), Leaf()) as (seen, sender):
        with seen.feeding() as feed:
            await call(sender, of("", Verb.SPAWN, "containers", body={"Image": "x" * MAX_VALUE}))
            ((ended,), _) = feed.take()
    assert ended.notes is not None
    assert (ended.notes.verdict, ended.notes.before, ended.notes.after, ended.body) == ("allowed", None, None, None)


async def test_a_stage_that_raises_ends_its_call() -> None:
    class Broken(trio.abc.SendChannel[Request]):
        async def send(self, value: Request) -> None:
            raise RuntimeError("broken")

        async def aclose(self) -> None:
            pass

    @dataclass(eq=False)
    class Raw(Backend):
        @asynccontextmanager
        async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
            yield Broken()

    async with observed(Raw()) as (seen, sender):
        with pytest.raises(Exception, match="broken"):
            await call(sender, of("", Verb.LS, "containers"))
        assert kinds(seen) == {("ContainerList", "internal", "raw"): 1}


# Engines.


async def test_an_engine_that_is_asked_nothing_is_asked_for_its_state(autojump_clock: MockClock) -> None:
    leaf = Leaf()
    async with observed(leaf) as (seen, _):
        told = await state(seen, None)
        (engine,) = told["engines"]
        assert (engine["name"], engine["up"], engine["containers"], engine["cpus"]) == ("leaf", True, 3, 4)
        assert told["ended"] == 0
        assert await is_ready(seen, None)


async def test_an_engine_that_does_not_answer_is_down(autojump_clock: MockClock) -> None:
    async with observed(Leaf(up=False)) as (seen, _):
        (engine,) = (await state(seen, None))["engines"]
        assert (engine["up"], engine["trouble"]) == (False, "it is gone")
        assert not await is_ready(seen, None)


async def test_balance_tells_of_its_members(autojump_clock: MockClock) -> None:
    down = Chain(Leaf(up=False), label="b")
    with control.desk() as desk:
        async with observed(
            Chain("balance 'a=simulator --containers 2'"),
        ) as (seen, sender):
            await Client(sender).ls("containers")
            (engine,) = (await state(seen, desk))["engines"]
            assert (engine["name"], engine["up"], engine["running"], engine["stage"]) == ("a", True, 2, "simulator")
    with control.desk() as desk:
        async with observed(Balance([down])) as (seen, _):
            await trio.sleep(30)
            (engine,) = (await state(seen, desk))["engines"]
            assert (engine["up"], engine["down_seconds"] > 20, "it is gone" in engine["trouble"]) == (False, True, True)
            assert not await is_ready(seen, desk)


async def test_rates_are_of_the_last_seconds(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    async with observed(Leaf()) as (seen, sender):
        nursery.start_soon(seen.sample)
        for _ in range(10):
            await call(sender, of("", Verb.LS, "containers"))
        assert seen.rate(seen.places[1]) > 0
        await trio.sleep(11)  # two samples later, nothing of that is left
        assert seen.rate(seen.places[1]) == 0
        nursery.cancel_scope.cancel()
