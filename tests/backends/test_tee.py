"""tee: the second chain sees what passes, and the first can't feel it."""

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_one_way_pair, wait_all_tasks_blocked

from swarmlib import Backend, Chain, Client, Filter, Invalid, Request, Server, Unavailable, Verb
from swarmlib_backends.tee import Tee


class Main(Server):
    """Answers at once."""

    async def get(self, _: Request) -> str:
        return "main"

    file = stop = get

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.set("event")


@dataclass(eq=False)
class Shadow(Server):
    """Notes what comes, and does with it what the test says."""

    seen: list[str] = field(default_factory=list[str])
    ended: list[str] = field(default_factory=list[str])
    go: trio.Event = field(default_factory=trio.Event)

    async def get(self, request: Request) -> Any:
        self.seen.append(f"{request.verb} {request.path[0]}")
        if request.path[0] == "fails":
            raise Unavailable("the second chain is down")
        if request.path[0] == "bug":
            raise ZeroDivisionError
        if request.path[0] == "slow":
            await self.go.wait()
        if request.path[0] == "never":
            await trio.sleep_forever()
        return "shadow"

    file = stop = get

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        try:
            await trio.sleep_forever()
        finally:
            self.ended.append("watch")


async def test_copies_arrive_in_order_and_replies_are_the_firsts() -> None:
    shadow = Shadow()
    async with Chain(Tee(Chain(shadow)), Main()).open() as sender:
        names = [f"n{number}" for number in range(20)]
        assert [await Client(sender).get(name) for name in names] == ["main"] * 20
        await wait_all_tasks_blocked()
    assert sorted(shadow.seen) == sorted(f"get {name}" for name in names)


async def test_the_order_is_that_of_the_messages() -> None:
    seen: list[str] = []

    class Notes(Filter):
        async def send(self, request: Request) -> None:
            seen.append(request.path[0])
            await self.next.send(request)

    async with Chain(Tee(Chain(Notes())), Main()).open() as sender, trio.open_nursery() as nursery:
        for number in range(50):
            await sender.send(Request(Verb.GET, (str(number),)))
        nursery.start_soon(wait_all_tasks_blocked)
    assert seen == list(map(str, range(50)))


@pytest.mark.parametrize("name", ["fails", "bug", "slow"])
async def test_failures_and_slowness_of_the_second_chain_are_not_felt(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    shadow = Shadow()
    async with Chain(Tee(Chain(shadow)), Main()).open() as sender:
        for _ in range(3):
            assert await Client(sender).get(name) == "main"
            await wait_all_tasks_blocked()
    assert shadow.seen == [f"get {name}"] * 3


async def test_more_than_the_queue_holds_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    shadow = Shadow()
    async with Chain(Tee(Chain(shadow), queue=3), Main()).open() as sender:
        for _ in range(8):
            assert await Client(sender).get("slow") == "main"
        await wait_all_tasks_blocked()
        assert len(shadow.seen) == 3
        shadow.go.set()
        await wait_all_tasks_blocked()
        assert await Client(sender).get("again") == "main"
        await wait_all_tasks_blocked()
        assert shadow.seen[-1] == "get again"
        for _ in range(5):
            await Client(sender).get("never")
        await wait_all_tasks_blocked()
        assert len(shadow.seen) == 3 + 1 + 3, "as many as before: those that were answered have left the queue once"
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2
    assert told[1] == "tee: not copied: 7 (the second chain was too slow)"


async def test_a_copy_that_is_never_answered_is_given_up(autojump_clock: MockClock) -> None:
    shadow = Shadow()
    async with Chain(Tee(Chain(shadow), queue=1), Main()).open() as sender:
        await Client(sender).get("slow")
        await trio.sleep(61)
        await Client(sender).get("next")
        await wait_all_tasks_blocked()
    assert shadow.seen == ["get slow", "get next"]


async def test_a_stage_that_holds_up_its_sender_is_given_up_too(autojump_clock: MockClock) -> None:
    class Stuck(Filter):
        seen: list[str] = []  # noqa: RUF012 - shared by the opened copies

        async def send(self, request: Request) -> None:
            self.seen.append(request.path[0])
            await trio.sleep_forever()

    async with Chain(Tee(Chain(Stuck())), Main()).open() as sender:
        await Client(sender).get("one")
        await Client(sender).get("two")
        await trio.sleep(61)
    assert Stuck.seen == ["one", "two"]


async def test_a_message_with_an_attachment_is_not_copied_and_keeps_its_bytes() -> None:
    shadow = Shadow()
    body, upload = memory_stream_one_way_pair()
    async with Chain(Tee(Chain(shadow)), Main()).open() as sender:
        await Client(sender).file("a", upload=upload)
        await wait_all_tasks_blocked()
        await body.send_all(b"all of it")
        assert await upload.receive_some() == b"all of it"
    assert shadow.seen == []


async def test_a_copy_of_a_watch_ends_with_its_answer() -> None:
    shadow = Shadow()
    async with Chain(Tee(Chain(shadow)), Main()).open() as sender:
        async with Client(sender).watch("x") as events:
            assert [event async for event in events] == ["event"]
        await wait_all_tasks_blocked()
        assert shadow.ended == ["watch"]


async def test_only_what_fits_is_copied() -> None:
    shadow = Shadow()
    (tee,) = Chain.read("tee (debug) --filter 'stop*'").backends
    assert isinstance(tee, Tee)
    tee.chain = Chain(shadow)
    async with Chain(tee, Main()).open() as sender:
        await Client(sender).get("a")
        await Client(sender).stop("box", "b")
        await wait_all_tasks_blocked()
    assert shadow.seen == ["stop box"]


async def test_a_dropped_request_is_still_noticed_as_dropped() -> None:
    class Drops(Filter):
        async def send(self, request: Request) -> None:
            return

    async with Chain(Tee(Chain(Shadow())), Drops()).open() as sender:
        with pytest.raises(Unavailable, match="dropped the request"), trio.fail_after(5):
            await Client(sender).get("slow")


@dataclass(eq=False)
class Breaks(Server):
    """Fails, as a stage, at the first message."""

    async def get(self, request: Request) -> None:
        self.crash.set()

    crash: trio.Event = field(default_factory=trio.Event)

    def open(self, next: Any, /) -> Any:
        return _breaking(self, super().open(next))


def _breaking(stage: Breaks, opened: Any) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def context() -> Any:
        async def crash() -> None:
            await stage.crash.wait()
            raise OSError("the disk is gone")

        async with trio.open_nursery() as nursery, opened as sender:
            nursery.start_soon(crash)
            yield sender
            nursery.cancel_scope.cancel()

    return context()


async def test_a_second_chain_that_breaks_down_gets_no_more_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    breaks: Backend = Breaks()
    async with Chain(Tee(Chain(breaks)), Main()).open() as sender:
        for _ in range(3):
            assert await Client(sender).get("a") == "main"
            await wait_all_tasks_blocked()
    told = [record.message for record in caplog.records]
    assert any("failed and gets no more copies" in line for line in told)
    assert told[-1] == "tee: not copied: 2 (the second chain had failed)"


async def test_a_second_chain_that_can_not_be_opened_is_said_at_once() -> None:
    with pytest.raises(Invalid, match="invalid address"):
        async with Chain(Tee(Chain.read("dockerserver udp://x")), Main()).open():
            pass
