"""cache: an answer serves all who ask the same for a while, and never hides a change that passed."""

from dataclasses import dataclass
from typing import Any, Self

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from swarmlib import (
    Ack,
    Chain,
    Client,
    Conflict,
    Invalid,
    Meta,
    NotFound,
    Request,
    Server,
    Unsupported,
    Verb,
    next_reply,
)
from swarmlib.asking import call
from swarmlib_backends.cache import Cache


@dataclass(eq=False)
class Service(Server):
    """Answers with how often it was asked; `go` lets a slow one answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.go = trio.Event()
        self.events, self.receiver = trio.open_memory_channel[dict[str, str]](10)

    def make_stage(self) -> Self:
        return self

    async def get(self, request: Request) -> Any:
        name = "/".join(request.path)
        self.asked.append(name)
        if "slow" in request.path:
            try:
                await self.go.wait()
            except trio.Cancelled:
                self.cancelled.append(name)
                raise
        if "missing" in request.path:
            raise NotFound("no such thing")
        return [len(self.asked)]

    ls = get

    async def set(self, request: Request) -> None:
        if "slow" in request.path:
            await self.go.wait()

    async def stop(self, _: Request) -> None:
        raise Conflict("not running")

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        async for event in self.receiver:
            await request.reply.set(event)


async def test_an_answer_serves_for_its_seconds(autojump_clock: MockClock) -> None:
    async with Chain(Cache(ttl=5), Service()).open() as sender:
        swarm = Client(sender)
        assert [await swarm.get("a"), await swarm.get("a"), await swarm.get("b")] == [[1], [1], [2]]
        await trio.sleep(6)
        assert await swarm.get("a") == [3]


async def test_what_is_asked_tells_answers_apart_and_who_asks_does_not() -> None:
    async with Chain(Cache(), Service()).open() as sender:

        async def ask(verb: Verb = Verb.LS, meta: Meta | None = None, **params: Any) -> Any:
            return (await call(sender, Request(verb, ("a",), params, meta=meta or Meta()))).value

        assert await ask(all="1") == [1]
        assert await ask(all="1", meta=Meta(caller="uid:7")) == [1]
        assert await ask(all="0") == [2]
        assert await ask(all=["1", "2"]) == [3]
        assert await ask(Verb.GET, all="1") == [4]
        assert await ask(all="1", meta=Meta(version="1.30")) == [5]


async def test_who_asks_at_once_shares_one_call_that_a_cancelled_first_does_not_end() -> None:
    service = Service()
    answers: list[Any] = []
    async with Chain(Cache(), service).open() as sender, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await Client(sender).get("slow"))

        async with trio.open_nursery() as first:
            first.start_soon(ask)
            await wait_all_tasks_blocked()
            for _ in range(5):
                nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        service.go.set()
    assert answers == [[1]] * 5
    assert (service.asked, service.cancelled) == (["slow"], [])


async def test_a_call_that_nobody_waits_for_any_more_is_cancelled_and_the_next_is_a_new_one() -> None:
    service = Service()
    async with Chain(Cache(), service).open() as sender:
        with trio.move_on_after(0):
            await Client(sender).get("slow")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Client(sender).get, "slow")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        service.go.set()
        await Client(sender).get("slow")
    assert service.cancelled[-1] == "slow"


@pytest.mark.parametrize("ticks", range(8))
async def test_a_call_that_is_being_cancelled_is_not_joined(ticks: int) -> None:
    service = Service()
    scope = trio.CancelScope()
    async with Chain(Cache(), service).open() as sender, trio.open_nursery() as nursery:

        async def first() -> None:
            with scope:
                await Client(sender).get("slow")

        nursery.start_soon(first)
        await wait_all_tasks_blocked()
        scope.cancel()
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        service.go.set()
        assert await Client(sender).get("slow") in ([1], [2])


async def test_a_deadline_is_its_callers_alone(autojump_clock: MockClock) -> None:
    service = Service()
    async with Chain(Cache(), service).open() as sender, trio.open_nursery() as nursery:

        async def hasty() -> None:
            with pytest.raises(trio.TooSlowError), trio.fail_after(1):
                await Client(sender).get("slow")

        nursery.start_soon(hasty)
        await wait_all_tasks_blocked()
        nursery.start_soon(Client(sender).get, "slow")
        await trio.sleep(2)
        service.go.set()
    assert service.asked == ["slow"]


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    service = Service()
    async with Chain(Cache(), service).open() as sender:
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(NotFound, match="no such thing"):
                    await Client(sender).get("slow", "missing")

            for _ in range(3):
                nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            service.go.set()
        await ask()
    assert service.asked == ["slow/missing"] * 2


@pytest.mark.parametrize("fails", [True, False])
async def test_a_change_that_passes_makes_it_forget(fails: bool) -> None:
    async with Chain(Cache(), Service()).open() as sender:
        swarm = Client(sender)
        assert await swarm.get("a") == [1]
        if fails:
            with pytest.raises(Conflict):
                await swarm.stop("b")
        else:
            await swarm.set("b")
        assert await swarm.get("a") == [2]


async def test_answers_are_forgotten_when_a_change_begins_and_when_it_is_answered() -> None:
    service = Service()
    async with Chain(Cache(), service).open() as sender:
        swarm = Client(sender)
        assert await swarm.get("a") == [1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swarm.set, "slow")
            await wait_all_tasks_blocked()
            assert [await swarm.get("a"), await swarm.get("a")] == [[2], [2]]
            service.go.set()
        assert await swarm.get("a") == [3]


async def test_a_change_is_over_with_its_answer_and_not_when_its_caller_has_gone() -> None:
    service = Service()
    async with Chain(Cache(), service).open() as sender, Client(sender).request(Verb.SET, ("slow",)) as replies:
        await wait_all_tasks_blocked()
        assert await Client(sender).get("a") == [1]
        service.go.set()
        assert isinstance(await next_reply(replies), Ack)
        assert await Client(sender).get("a") == [2]


async def test_a_call_that_was_under_way_at_a_change_is_neither_kept_nor_joined() -> None:
    service = Service()
    async with Chain(Cache(), service).open() as sender:
        swarm = Client(sender)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swarm.get, "slow")
            await wait_all_tasks_blocked()
            await swarm.set("b")
            nursery.start_soon(swarm.get, "slow")
            await wait_all_tasks_blocked()
            assert service.asked == ["slow", "slow"]
            service.go.set()
        assert await swarm.get("slow") == [2]


async def test_looking_makes_it_forget_nothing() -> None:
    async with Chain(Cache(), Service()).open() as sender:
        await Client(sender).get("a")
        async with Client(sender).watch():
            pass
        assert await Client(sender).get("a") == [1]


async def test_an_event_makes_it_forget(autojump_clock: MockClock) -> None:
    service = Service()
    async with Chain(Cache(ttl=1000, watch_events=True), service).open() as sender:
        await wait_all_tasks_blocked()
        assert [await Client(sender).get("a"), await Client(sender).get("a")] == [[1], [1]]
        await service.events.send({"Type": "container", "Action": "die"})
        await wait_all_tasks_blocked()
        assert await Client(sender).get("a") == [2]


async def test_where_there_are_no_events_it_says_so_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Chain(Cache(watch_events=True)).open():
        await trio.sleep(10)
    assert [record.message.partition(":")[0] for record in caplog.records] == ["cache"]


async def test_it_keeps_no_more_bytes_than_told() -> None:
    class Big(Server):
        asked: list[str] = []  # noqa: RUF012 - shared by the opened copies

        async def get(self, request: Request) -> Any:
            self.asked.append(request.path[0])
            return "x" * int(request.path[1])

    stage = Big()
    async with Chain(Cache(size=10 * 1024), stage).open() as sender:
        for name, size in (("a", 4000), ("b", 4000), ("a", 4000), ("c", 4000), ("a", 4000), ("b", 4000)):
            await Client(sender).get(name, str(size))
        assert stage.asked == ["a", "b", "c", "b"]
        for _ in range(2):
            assert len(await Client(sender).get("huge", "20000")) == 20000
    assert stage.asked[4:] == ["huge", "huge"]


async def test_an_answer_that_is_a_stream_is_refused_with_the_way_out() -> None:
    class Streams(Server):
        async def get(self, request: Request) -> None:
            self.given, other = memory_stream_pair()
            await request.reply.ack(stream=other)

    async with Chain(Cache(), Streams()).open() as sender:
        with pytest.raises(Unsupported, match="--filter"):
            await Client(sender).get("a")
    async with Chain(Cache(filter=["ls*"]), Streams()).open() as sender:
        assert (await Client(sender).call(Verb.GET, ("a",))).ack.stream is not None


def test_options_that_make_no_sense_are_refused() -> None:
    for text, why in (("cache --ttl 0", "more than 0"), ("cache --size big", "MiB")):
        with pytest.raises(Invalid, match=why):
            Chain.read(text)
