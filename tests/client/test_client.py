"""The client's typed verbs, over a small service in memory."""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from trio.testing import MemoryReceiveStream, MockClock, memory_stream_pair, wait_all_tasks_blocked

from swarmlib import (
    Chain,
    Client,
    Event,
    Filter,
    Image,
    Internal,
    Line,
    Log,
    Network,
    NotFound,
    Request,
    Server,
    Set,
    Tap,
    Unavailable,
    Volume,
    Workload,
    WorkloadSummary,
    connect,
)


class Shelf(Server):
    """Things by name."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.things: dict[str, Any] = {}
        self.deadlines: list[float] = []
        yield

    async def ls(self, request: Request) -> list[Any]:
        self.deadlines.append(request.deadline)
        return [name for name in self.things if request.params.get("all") or name != "hidden"]

    async def get(self, request: Request) -> Any:
        if request.path[-1] not in self.things:
            raise NotFound(f"no {request.path[-1]}")
        return self.things[request.path[-1]]

    async def spawn(self, request: Request) -> Any:
        name = request.params["name"]
        self.things[name] = request.json
        return {"Id": name}

    async def set(self, request: Request) -> None:
        self.things[request.path[-1]] = request.json

    async def rm(self, request: Request) -> None:
        del self.things[request.path[-1]]

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.set("before")
        await request.reply.log(b"not a value")
        await request.reply.set("after")

    async def attach(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.log(b"line", details={"stream": "stderr"})
        if request.path[-1] != "lost":
            await request.reply.set({"ExitCode": 3, "FinishedAt": "2026-01-02T03:04:05.123456789Z"})

    async def connect(self, request: Request) -> None:
        near, far = memory_stream_pair()
        await far.send_all(b"hello")
        await far.send_eof()
        await request.reply.ack(stream=near if request.path[-1] == "good" else MemoryReceiveStream())

    async def file(self, request: Request) -> None:
        if request.upload is None:
            out = MemoryReceiveStream()
            out.put_data(b"a tar")
            out.put_eof()
            await request.reply.ack(stream=out)
        else:
            async with request.upload:
                self.things["tar"] = b"".join([bytes(part) async for part in request.upload]).decode()


@asynccontextmanager
async def shelf() -> AsyncGenerator[Client]:
    async with connect(Filter(), Shelf()) as swarm:
        yield swarm


async def test_an_objects_life() -> None:
    async with shelf() as swarm:
        box = await swarm.spawn({"a": 1}, name="box")
        assert (box.id, box.path, box.made) == ("box", ("containers", "box"), {"Id": "box"})
        assert await box.get() == {"a": 1}
        await swarm.set(*box.path, body={"a": 2})
        assert await box.get() == {"a": 2}
        await swarm.spawn(None, name="hidden")
        assert (await swarm.ls("things"), await swarm.ls("things", all="1")) == (["box"], ["box", "hidden"])
        await box.rm()
        with pytest.raises(NotFound, match="no box"):
            await box.get()


async def test_a_watch_gives_values_to_its_end_and_stays_ended() -> None:
    async with shelf() as swarm, swarm.watch("things") as values:
        assert [value async for value in values] == ["before", "after"]
        assert [value async for value in values] == []


async def test_an_attachment_gives_lines_or_messages_and_knows_the_state_in_the_end() -> None:
    async with shelf() as swarm:
        async with swarm.attach("web") as web:
            assert [reply.kind async for reply in web] == [Log.kind, Set.kind]
        async with swarm.attach("web") as web:
            assert (web.path, web.state.exit_code, web.state.finished) == (("containers", "web"), 0, None)
            assert [line async for line in web.lines()] == [Line("stderr", b"line")]
            assert (web.state.exit_code, web.state.finished) == (3, datetime(2026, 1, 2, 3, 4, 5, 123456, UTC))
        async with swarm.attach("lost") as lost:
            lines = lost.lines()
            assert (await anext(lines)).text == "line"
            with pytest.raises(Unavailable, match="the attachment to lost broke off"):
                await anext(lines)
        await swarm.spawn({"b": 1}, name="mine")
        async with swarm.attach("containers", "mine") as attached:
            assert await attached.get() == {"b": 1}


async def test_streams_come_and_go() -> None:
    async with shelf() as swarm:
        stream = await swarm.connect("good")
        async with stream:
            assert b"".join([bytes(part) async for part in stream]) == b"hello"
        with pytest.raises(Internal, match="connect returned no stream"):
            await swarm.connect("bad")
        out = await swarm.file("box")
        assert out is not None
        async with out:
            assert await out.receive_some() == b"a tar"
        into = MemoryReceiveStream()
        into.put_data(b"files")
        into.put_eof()
        assert await swarm.file("box", upload=into) is None
        assert await swarm.get("tar") == "files"


@dataclass(eq=False)
class Look(Filter):
    """Keeps the messages that come, and has one answer to all."""

    answer: Any = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        seen.clear()
        yield

    async def send(self, request: Request) -> None:
        seen.append(request.replace(reply=None))
        await request.reply.ack(self.answer)


seen: list[Request] = []


async def test_the_callers_deadline_travels_in_the_message() -> None:
    async with connect(Look()) as swarm:
        with trio.fail_after(5) as scope:
            await swarm.ls()
        await swarm.ls()
    assert [message.deadline for message in seen] == [scope.deadline, math.inf]


async def test_what_is_spawned_through_filters_can_be_used() -> None:
    """In libswarm, objects spawned through debug were dead."""

    class Watching(Filter):
        async def send(self, request: Request) -> None:
            await self.next.send(request.replace(reply=Tap(request.reply, lambda reply: reply)))

    async with Chain(Watching(), Watching(), Shelf()).open() as sender:
        box = await Client(sender).spawn({"a": 1}, name="box")
        assert await box.get() == {"a": 1}


async def test_keywords_may_be_python_values() -> None:
    async with connect(Look()) as swarm:
        await swarm.ls(all=True, size=False, limit=3, filters={"label": ["a=b", "c"], "dangling": True, "exited": 0})
        await swarm.spawn(None, "build", buildargs={"A": "b"}, labels='{"as": "it is"}')
        async with swarm.watch("containers", "web", "stats", one_shot=True):
            pass
    assert dict(seen[0].params) == {
        "all": "1",
        "size": "0",
        "limit": 3,
        "filters": '{"label":["a=b","c"],"dangling":["true"],"exited":["0"]}',
    }
    assert dict(seen[1].params) == {"buildargs": '{"A":"b"}', "labels": '{"as": "it is"}'}
    assert dict(seen[2].params) == {"one-shot": "1"}


async def test_one_word_is_a_workloads_name_where_nothing_else_could_be_meant() -> None:
    async with connect(Look()) as swarm:
        await swarm.start("web")
        await swarm.stop("web", t=0)
        async with swarm.attach("web"), swarm.attach("networks", "net"), swarm.attach():
            await swarm.rm("images")
        assert isinstance(swarm.workload("web"), Workload)
        await swarm.workload("web").rm()
    assert [(message.verb, *message.path) for message in seen] == [
        ("start", "containers", "web"),
        ("stop", "containers", "web"),
        ("attach", "containers", "web"),
        ("attach", "networks", "net"),
        ("attach",),
        ("rm", "images"),
        ("rm", "containers", "web"),
    ]


async def test_a_handles_verbs_reach_it_and_what_is_below_it() -> None:
    async with connect(Look()) as swarm:
        web = swarm.workload("web")
        await web.ls("things")
        await web.get("top")
        await web.set("rename", name="www")
        await web.spawn({}, "exec")
        await web.start()
        await web.kill("HUP")
        await web.file("archive", path="/etc")
        async with web.watch("stats"), web.attach("below"):
            pass
        with pytest.raises(Internal, match="no stream for containers/web/logs"):
            await web.connect("logs")
        with pytest.raises(Internal, match="expected an object"):
            await web.details()
    assert {message.path[:2] for message in seen} == {("containers", "web")}
    assert [(message.verb.value, *message.path[2:]) for message in seen] == [
        ("ls", "things"),
        ("get", "top"),
        ("set", "rename"),
        ("spawn", "exec"),
        ("start",),
        ("stop", "kill"),
        ("file", "archive"),
        ("watch", "stats"),
        ("attach", "below"),
        ("connect", "logs"),
        ("get",),
    ]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ((), WorkloadSummary),
        (("containers",), WorkloadSummary),
        (("images",), Image),
        (("networks",), Network),
        (("volumes",), Volume),
        (("plugins",), dict),
    ],
)
async def test_a_list_holds_what_its_place_holds(path: tuple[str, ...], kind: type) -> None:
    async with connect(Look([{"Id": "x"}])) as swarm:
        (found,) = await swarm.ls(*path)
        assert type(found) is kind
        assert found["Id"] == "x"
    async with connect(Look()) as swarm:
        assert await swarm.ls(*path) == []


async def test_the_engine_apis_one_wrapped_list_is_a_list_like_the_others() -> None:
    async with connect(Look({"Volumes": [{"Name": "data"}], "Warnings": None})) as swarm:
        assert [volume.name for volume in await swarm.ls("volumes")] == ["data"]
    async with connect(Look({"Volumes": None})) as swarm:
        assert await swarm.ls("volumes") == []


async def test_an_answer_that_makes_no_sense_is_the_services_failure() -> None:
    async with connect(Look("x")) as swarm:
        with pytest.raises(Internal, match="invalid answer 'x': expected a list"):
            await swarm.ls()
    async with connect(Look(["x"])) as swarm:
        with pytest.raises(Internal, match="invalid answer 'x': expected an object"):
            await swarm.ls()


@dataclass
class Ticking(Server):
    """Tells of one event after another, and knows how many still listen."""

    how: str = ""
    """What is wrong with it: it may refuse, tell garbage, or be brief."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        listening.clear()
        yield

    async def watch(self, request: Request) -> None:
        if self.how == "refuse":
            raise Unavailable("not now")
        listening.append(request)
        try:
            await request.reply.ack()
            await request.reply.set({"Type": "container", "Action": "start"})
            if self.how == "garbage":
                await request.reply.set(7)
            if self.how != "brief":
                await trio.sleep_forever()
        finally:
            listening.remove(request)


listening: list[Request] = []


async def listeners() -> int:
    """How many listen, once all has come to rest."""
    await wait_all_tasks_blocked()
    return len(listening)


async def test_a_watch_gives_events_and_ends_with_its_context() -> None:
    async with connect(Ticking()) as swarm:
        async with swarm.watch() as events:
            async for event in events:
                assert isinstance(event, Event)
                assert (event.type, event.action, await listeners()) == ("container", "start", 1)
                break
            assert await listeners() == 1
        assert await listeners() == 0


async def test_what_is_raised_in_a_watch_ends_the_call() -> None:
    async with connect(Ticking()) as swarm:

        async def stumble() -> None:
            async with swarm.watch() as events:
                async for _ in events:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await stumble()
        assert await listeners() == 0


async def test_a_watch_that_is_cancelled_ends_the_call() -> None:
    async with connect(Ticking()) as swarm:
        with trio.CancelScope() as scope:
            async with swarm.watch() as events:
                async for _ in events:
                    scope.cancel()
        assert scope.cancelled_caught
        assert await listeners() == 0


async def test_a_watch_can_be_closed_early_and_twice() -> None:
    async with connect(Ticking()) as swarm, swarm.watch() as events:
        await events.aclose()
        assert await listeners() == 0
        with pytest.raises(trio.ClosedResourceError):
            await anext(events)
        await events.aclose()


async def test_a_watch_that_is_not_entered_asks_nothing_and_says_what_to_write() -> None:
    async with connect(Ticking()) as swarm:
        with pytest.raises(RuntimeError, match=r"async with swarm.watch\(\) as events"):
            async for _ in swarm.watch():
                pass
        assert await listeners() == 0


async def test_a_watch_in_a_context_has_begun_when_it_is_entered_and_ends_with_it() -> None:
    async with connect(Ticking()) as swarm:
        async with swarm.watch() as events:
            assert await listeners() == 1
        assert await listeners() == 0
        with pytest.raises(trio.ClosedResourceError):
            await anext(events)


async def test_to_wait_in_vain_does_not_end_a_watch_in_a_context(autojump_clock: MockClock) -> None:
    async with connect(Ticking()) as swarm, swarm.watch() as events:
        assert (await anext(events)).action == "start"
        for _ in range(2):
            with trio.move_on_after(60) as patience:
                await anext(events)
            assert patience.cancelled_caught
        assert await listeners() == 1


async def test_a_watch_that_is_refused_says_so_and_is_closed() -> None:
    async with connect(Ticking("refuse")) as swarm:
        watch = swarm.watch()
        with pytest.raises(Unavailable, match="not now"):
            await watch.__aenter__()
        with pytest.raises(trio.ClosedResourceError):
            await anext(watch)


async def test_an_event_that_is_none_is_the_services_failure_and_ends_the_watch() -> None:
    async with connect(Ticking("garbage")) as swarm:
        with pytest.raises(Internal, match="invalid answer 7: expected an object"):
            async with swarm.watch() as events:
                assert [event.action async for event in events] == ["never"]
        assert await listeners() == 0


async def test_events_that_break_off_are_no_end_but_those_until_a_time_have_one() -> None:
    async with connect(Ticking("brief")) as swarm:
        async with swarm.watch(until=1) as events:
            assert [event.action async for event in events] == ["start"]
        async with swarm.watch() as events:
            assert (await anext(events)).action == "start"
            with pytest.raises(Unavailable, match="the events broke off"):
                await anext(events)
