"""The core's promises to every caller: one final reply, prompt cancellation, backpressure, and orderly closing."""

import gc
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import (
    CLEANUP_SECONDS,
    Ack,
    Backend,
    Chain,
    Client,
    Conflict,
    Error,
    Filter,
    Internal,
    Reply,
    Request,
    Sender,
    Server,
    Source,
    SwarmError,
    TimedOut,
    Unavailable,
    Unsupported,
    Verb,
    ask,
    next_reply,
    open_reply,
)
from swarmlib.asking import call
from swarmlib.reply_pair import REPLY_CAPACITY, ReplyReceiver


@asynccontextmanager
async def over(*backends: Backend) -> AsyncGenerator[Client]:
    async with Chain(*backends).open() as sender:
        yield Client(sender)


async def final_replies(sender: Sender, request: Request, replies: ReplyReceiver) -> list[Ack | Error]:
    """Every final reply to a message: the promise is that there is exactly one."""
    await sender.send(request)
    return [reply async for reply in replies if isinstance(reply, Ack | Error)]


@dataclass(eq=False)
class Slow(Server):
    """Its `get` waits for ever, and counts those that wait."""

    waiting: list[Request] = field(default_factory=list[Request])

    async def get(self, request: Request) -> None:
        self.waiting.append(request)
        try:
            await trio.sleep_forever()
        finally:
            self.waiting.remove(request)


class Faulty(Server):
    """Each verb fails in its own way."""

    async def get(self, _: Request) -> None:
        raise Conflict("it is taken")

    async def set(self, _: Request) -> None:
        raise ValueError("a bug")

    async def start(self, request: Request) -> None:
        await request.reply.ack()
        raise ValueError("a bug after the answer")

    async def stop(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.ack()


class Thief(Filter):
    """Takes requests and forgets them."""

    async def send(self, request: Request) -> None:
        del request


@pytest.mark.parametrize(
    ("verb", "kind", "problem"),
    [
        (Verb.GET, Conflict, "it is taken"),
        (Verb.SET, Internal, "a bug in faulty: ValueError: a bug"),
        (Verb.LS, Unsupported, "ls for box is not supported by any backend of this chain"),
    ],
)
async def test_a_failure_is_the_callers_error_with_its_code(
    verb: Verb, kind: type[SwarmError], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with over(Filter(), Faulty()) as client:
        with pytest.raises(kind, match=problem) as raised:
            await client.call(verb, ("box",))
    assert type(raised.value) is kind
    assert raised.value.path == ("box",)
    bugs = [record for record in caplog.records if record.exc_info]
    assert len(bugs) == (kind is Internal)


@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP])
async def test_a_bug_after_the_answer_is_logged_and_never_a_second_answer(
    verb: Verb, caplog: pytest.LogCaptureFixture
) -> None:
    async with Chain(Faulty()).open() as sender:
        reply, replies = open_reply()
        found = await final_replies(sender, Request(verb, reply=reply), replies)
    assert [reply.kind for reply in found] == [Ack.kind]
    assert caplog.records[0].levelno == logging.ERROR


async def test_a_dropped_request_is_answered_for_the_stage_that_dropped_it() -> None:
    async with over(Thief(), Slow()) as client:
        with pytest.raises(Unavailable, match="dropped the request"):
            await client.get("box")


@dataclass(eq=False)
class Keeper(Filter):
    """Remembers every request and its reply, each in a cycle, and passes it on."""

    kept: list[Any] = field(default_factory=list[Any])

    async def send(self, request: Request) -> None:
        self.kept.append([request, request.reply, self.kept])
        await self.next.send(request)


class HandsOn(Server):
    """Hands what it is asked to a channel that forgets it."""

    async def get(self, request: Request) -> Any:
        return await self.forward(request, Oblivion())


class Oblivion(trio.abc.SendChannel[Request]):
    async def send(self, value: Request) -> None: ...

    async def aclose(self) -> None: ...


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("thief", [Thief, HandsOn])
async def test_a_dropped_request_is_answered_by_its_owner_whoever_else_holds_it(thief: type[Backend]) -> None:
    keeper = Keeper()
    async with Chain(keeper, thief(), Slow()).open() as sender:
        for _ in range(3):
            with trio.fail_after(1), pytest.raises(Unavailable, match=f"{thief.__name__.lower()} dropped the request"):
                await call(sender, Request(Verb.GET, ("box",)))
        with pytest.raises(Unavailable, match="dropped the request"):
            await call(Oblivion(), Request(Verb.GET))
    assert len(keeper.kept) == 3


@pytest.mark.usefixtures("no_collector")
async def test_a_filter_may_keep_a_request_and_answer_it_later(autojump_clock: MockClock) -> None:
    class Later(Filter):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            async with trio.open_nursery() as self.nursery:
                yield

        async def send(self, request: Request) -> None:
            request.keep()
            self.nursery.start_soon(self.answer, request)

        async def answer(self, request: Request) -> None:
            await trio.sleep(5)
            await request.reply.ack("at last")
            await request.reply.aclose()

    async with Chain(Keeper(), Later()).open() as sender:
        assert (await call(sender, Request(Verb.GET))).value == "at last"


@dataclass
class Dying(Backend):
    """A server whose nursery a failing task takes down when it is told to."""

    die: trio.Event = field(default_factory=trio.Event)

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        async with Slow().open(next) as inlet, trio.open_nursery() as nursery:
            nursery.start_soon(self._wait)
            yield inlet

    async def _wait(self) -> None:
        await self.die.wait()
        raise Unavailable("the stage died")


async def test_when_a_stage_dies_its_calls_are_answered_and_the_chain_ends_with_its_error() -> None:
    stage = Dying()
    reply, replies = open_reply()
    found: list[Reply] = []

    async def collect() -> None:
        found.extend([each async for each in replies])

    async def use() -> None:
        async with Chain(Filter(), stage).open() as sender:
            await sender.send(Request(Verb.GET, reply=reply))
            await wait_all_tasks_blocked()
            stage.die.set()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect)
        with pytest.raises(Unavailable, match="the stage died"):
            await use()
    assert [each.kind for each in found] == [Error.kind]
    assert isinstance(found[0], Error)
    assert isinstance(found[0].error, Unavailable)


async def test_when_the_chain_closes_under_a_call_the_call_is_answered() -> None:
    failures: list[SwarmError] = []

    async def ask(client: Client) -> None:
        try:
            await client.get("box")
        except SwarmError as exc:
            failures.append(exc)

    async with trio.open_nursery() as nursery, over(Filter(), Slow()) as client:
        nursery.start_soon(ask, client)
        await wait_all_tasks_blocked()
    assert [(type(exc), exc.message) for exc in failures] == [(Unavailable, "slow is closed")]
    with pytest.raises(Unavailable, match="filter is closed"):
        await client.get("box")


async def test_a_deadline_of_the_request_ends_the_work(autojump_clock: MockClock) -> None:
    slow, began = Slow(), autojump_clock.current_time()
    async with Chain(Filter(), slow).open() as sender:
        reply, replies = open_reply()
        found = await final_replies(sender, Request(Verb.GET, reply=reply, deadline=trio.current_time() + 7), replies)
    assert isinstance(found[0], Error)
    assert isinstance(found[0].error, TimedOut)
    assert autojump_clock.current_time() - began == pytest.approx(7)
    assert slow.waiting == []


async def test_a_caller_that_is_cancelled_cancels_the_work_in_every_stage() -> None:
    first, second = Slow(), Slow()

    class Both(Server):
        async def get(self, request: Request) -> None:
            async with trio.open_nursery() as nursery:
                for inner in (first_client, second_client):
                    nursery.start_soon(inner.get, *request.path)

    async with over(first) as first_client, over(Filter(), second) as second_client, over(Filter(), Both()) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, "box")
            await wait_all_tasks_blocked()
            assert (len(first.waiting), len(second.waiting)) == (1, 1)
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert (first.waiting, second.waiting) == ([], [])


def _living() -> tuple[int, int, int]:
    gc.collect()
    messages = sum(isinstance(each, Request | ReplyReceiver) for each in gc.get_objects())
    return trio.lowlevel.current_statistics().tasks_living, len(os.listdir("/proc/self/fd")), messages


async def test_two_thousand_cancelled_calls_leave_nothing_behind() -> None:
    async with over(*[Filter() for _ in range(3)], Slow()) as client:
        before = _living()
        for _ in range(20):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(client.get, "box")
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert _living() == before


class Chatty(Server):
    """Sends as many `set` as it can, and counts them."""

    sent = 0

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        for number in range(REPLY_CAPACITY * 10):
            await request.reply.set(number)
            Chatty.sent = number + 1


async def test_backpressure_reaches_the_sender_of_replies() -> None:
    async with over(Filter(), Chatty()) as client, client.watch("numbers") as numbers:
        await wait_all_tasks_blocked()
        assert REPLY_CAPACITY - 1 <= Chatty.sent <= REPLY_CAPACITY + 1
        assert [number async for number in numbers] == list(range(REPLY_CAPACITY * 10))


class Few(Slow):
    max_calls = 2


async def test_backpressure_reaches_the_sender_of_requests() -> None:
    few = Few()
    async with over(Filter(), few) as client, trio.open_nursery() as nursery:
        scopes = [trio.CancelScope() for _ in range(3)]

        async def ask(scope: trio.CancelScope) -> None:
            with scope:
                await client.get("box")

        for scope in scopes:
            nursery.start_soon(ask, scope)
        await wait_all_tasks_blocked()
        assert len(few.waiting) == 2
        scopes[0].cancel()
        scopes[1].cancel()
        scopes[2].cancel()
        await wait_all_tasks_blocked()
        assert few.waiting == []


@dataclass
class Named(Filter):
    """Notes when it opens and closes."""

    label: str
    log: list[str]
    fails: bool = False

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        if self.fails:
            raise Unavailable(f"{self.label} can't be opened")
        self.log.append(f"open {self.label}")
        try:
            yield
        finally:
            self.log.append(f"close {self.label}")


async def test_a_chain_opens_from_right_to_left_and_closes_from_left_to_right() -> None:
    log: list[str] = []
    async with Chain(*(Named(label, log) for label in "abc")).open():
        assert log == ["open c", "open b", "open a"]
    assert log[3:] == ["close a", "close b", "close c"]


async def test_it_closes_in_order_also_when_its_user_is_cancelled() -> None:
    log: list[str] = []
    with trio.CancelScope() as scope:
        async with Chain(*(Named(label, log) for label in "abc")).open():
            scope.cancel()
            await trio.sleep_forever()
    assert log[3:] == ["close a", "close b", "close c"]


async def test_opening_can_be_cancelled() -> None:
    log: list[str] = []
    with trio.move_on_after(0) as scope:
        async with Chain(*(Named(label, log) for label in "ab")).open():
            raise AssertionError("it should not have opened")
    assert scope.cancelled_caught
    assert log == ["open b", "close b"]


@dataclass
class Hanging(Filter):
    """Takes for ever to clean up, unless it is cancelled."""

    log: list[str]

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self.log.append("cleaning")
            await trio.sleep_forever()


async def test_a_stage_that_hangs_in_its_cleanup_is_cut_at_the_deadline(autojump_clock: MockClock) -> None:
    log: list[str] = []
    began = trio.current_time()
    async with Chain(Hanging(log), Named("b", log)).open():
        pass
    assert log == ["open b", "cleaning", "close b"]
    assert trio.current_time() - began == pytest.approx(CLEANUP_SECONDS)


async def test_a_stage_that_cannot_open_closes_those_that_have() -> None:
    log: list[str] = []
    with pytest.raises(Unavailable, match="a can't be opened"):
        async with Chain(Named("a", log, fails=True), Named("b", log)).open():
            raise AssertionError("it should not have opened")
    assert log == ["open b", "close b"]


async def test_two_openings_of_one_chain_share_no_state() -> None:
    class Counter(Server):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            self.count = 0
            yield

        async def get(self, _: Request) -> Any:
            self.count += 1
            return self.count

    chain = Chain(Filter(), Counter())
    async with chain.open() as one, chain.open() as other:
        assert [await Client(one).get("x") for _ in range(3)] == [1, 2, 3]
        assert await Client(other).get("x") == 1


async def test_a_source_takes_no_messages() -> None:
    class Head(Source):
        async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
            task_status.started()
            await trio.sleep_forever()

    async with over(Head()) as client:
        with pytest.raises(Unsupported, match="it is a source"):
            await client.ls()


async def test_what_a_filter_passed_on_before_it_failed_is_cancelled() -> None:
    class PassesThenFails(Filter):
        async def send(self, request: Request) -> None:
            await self.next.send(request)
            await wait_all_tasks_blocked()
            raise Conflict("the audit failed")

    slow = Slow()
    async with Chain(PassesThenFails(), slow).open() as sender:
        async with await ask(sender, Request(Verb.GET, ("box",))) as replies:
            with pytest.raises(Conflict, match="the audit failed"):
                await next_reply(replies)
        await wait_all_tasks_blocked()
        assert slow.waiting == []
