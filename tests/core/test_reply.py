"""The reply contract, held to the table in `swarmlib.reply` by a state machine."""

import gc
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import pytest
import trio
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from trio.testing import MemoryReceiveStream, wait_all_tasks_blocked

from swarmlib import (
    Ack,
    Conflict,
    ContractError,
    Reply,
    ReplySender,
    Request,
    Tap,
    Verb,
    open_reply,
)
from swarmlib.reply_pair import REPLY_CAPACITY


def run(step: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return trio.run(step)


class ReplyContract(RuleBasedStateMachine):
    """The states of the answering end, and what the caller must have been given by then."""

    def __init__(self) -> None:
        super().__init__()
        self.taps = 0
        self.reply, self.replies = open_reply(capacity=1000)
        self.state = "waiting"
        self.expected: list[str] = []
        self.gone = False

    def step(self, action: Callable[[ReplySender], Coroutine[Any, Any, None]]) -> type[BaseException] | None:
        async def attempt() -> type[BaseException] | None:
            try:
                await action(self.reply)
            except (ContractError, trio.ClosedResourceError, trio.BrokenResourceError) as exc:
                return type(exc)
            return None

        found: type[BaseException] | None = run(attempt)
        return found

    def allowed(self, verb: str, then: str) -> type[BaseException] | None:
        """What the table says of a verb in the present state, which becomes `then` where it is allowed."""
        if self.state == "closed":
            return trio.ClosedResourceError
        if self.state == "failed":
            return ContractError
        self.state = then
        if self.gone:
            return trio.BrokenResourceError
        self.expected.append(verb)
        return None

    @rule()
    def send_set(self) -> None:
        assert self.step(lambda reply: reply.set({"a": 1})) is self.allowed("set", self.state)

    @rule()
    def send_log(self) -> None:
        assert self.step(lambda reply: reply.log(b"line")) is self.allowed("log", self.state)

    @rule()
    def send_ack(self) -> None:
        wanted = self.allowed("ack", "answered") if self.state != "answered" else ContractError
        assert self.step(lambda reply: reply.ack()) is wanted

    @rule()
    def send_error(self) -> None:
        assert self.step(lambda reply: reply.error(Conflict("taken"))) is self.allowed("error", "failed")

    @rule()
    def send_what_is_no_reply(self) -> None:
        wanted = trio.ClosedResourceError if self.state == "closed" else ContractError
        assert self.step(lambda reply: reply.send(cast("Any", Request(Verb.LS)))) is wanted

    @rule()
    def close(self) -> None:
        assert self.step(lambda reply: reply.aclose()) is None
        if self.state == "waiting" and not self.gone:
            self.expected.append("error")
        self.state = "closed"

    @precondition(lambda self: not self.gone)
    @rule()
    def the_caller_goes_away(self) -> None:
        seen: list[bool] = []
        self.reply.on_gone(lambda: seen.append(True))
        self.check_what_came()
        run(self.replies.aclose)
        self.gone = True
        assert seen == [True]
        assert self.reply.gone

    @precondition(lambda self: self.taps < 3 and not self.reply.answered)
    @rule()
    def put_a_tap_around(self) -> None:
        if self.state == "waiting":
            self.reply = Tap(self.reply, lambda reply: reply)
            self.taps += 1

    def check_what_came(self) -> None:
        async def receive(count: int) -> list[str]:
            return [(await self.replies.receive()).kind for _ in range(count)]

        came = trio.run(receive, len(self.expected))
        assert came == self.expected
        self.check_the_finals(came)
        self.expected = []

    def check_the_finals(self, came: list[str]) -> None:
        """One `ack` or `error`; after the `ack` perhaps an `error`, which is the last."""
        finals = [verb for verb in came if verb in ("ack", "error")]
        assert finals in ([], ["ack"], ["error"], ["ack", "error"])
        assert finals or self.state != "closed"
        assert "error" not in came[:-1]

    def teardown(self) -> None:
        if not self.gone:
            self.check_what_came_at_last()

    def check_what_came_at_last(self) -> None:
        run(self.reply.aclose)
        if self.state == "waiting":
            self.expected.append("error")
        self.state = "closed"

        async def the_rest() -> list[str]:
            return [reply.kind async for reply in self.replies]

        came = run(the_rest)
        assert came == self.expected
        self.check_the_finals(came)


ReplyContract.TestCase.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
TestReplyContract = ReplyContract.TestCase


async def test_a_set_waits_while_the_caller_is_behind_and_the_answer_never_does() -> None:
    reply, replies = open_reply()
    for number in range(REPLY_CAPACITY):
        await reply.set(number)
    sent: list[str] = []

    async def one_more() -> None:
        await reply.set("more")
        sent.append("more")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one_more)
        await wait_all_tasks_blocked()
        assert sent == []
        await replies.receive()
        await wait_all_tasks_blocked()
        assert sent == ["more"]
    with trio.fail_after(0.1):
        await reply.ack()
        await reply.aclose()
    async with replies:
        assert [each.kind async for each in replies][-1] == Ack.kind


async def test_a_sender_that_waits_is_told_when_the_caller_goes_away() -> None:
    reply, replies = open_reply(capacity=1)
    await reply.set(1)

    async def two() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await reply.set(2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(two)
        await wait_all_tasks_blocked()
        await replies.aclose()


async def test_a_stream_that_nobody_took_is_closed() -> None:
    stream = MemoryReceiveStream()
    reply, replies = open_reply()
    await reply.ack(stream=stream)
    await replies.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_a_tap_changes_and_holds_back_replies() -> None:
    ret, replies = open_reply()
    tap = Tap(ret, lambda reply: reply.replace(details={"seen": True}) if isinstance(reply, Ack) else None)
    await tap.log(b"held back")
    await tap.ack()
    await tap.aclose()
    async with replies:
        assert [(reply.kind, reply.details) async for reply in replies if isinstance(reply, Ack)] == [
            (Ack.kind, {"seen": True})
        ]


async def test_only_one_task_receives_at_a_time() -> None:
    _ret, replies = open_reply()

    async def receive() -> None:
        with pytest.raises(trio.EndOfChannel):
            await replies.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await replies.receive()
        replies.end()


async def test_nobody_gets_the_replies_to_a_request_that_nobody_has_sent() -> None:
    request = Request(Verb.LS)
    assert request.reply.gone
    with pytest.raises(trio.BrokenResourceError):
        await request.reply.ack()
    await request.reply.aclose()
    assert not request.reply.answered  # many requests share it: it must not remember


async def test_a_watcher_sees_each_reply_and_learns_when_the_final_one_was_delivered() -> None:
    class Notes:
        def __init__(self) -> None:
            self.found: list[str] = []

        def see(self, reply: Reply) -> Reply:
            self.found.append(reply.kind)
            return reply

        def delivered(self) -> None:
            self.found.append("delivered")

        def closed(self) -> None:
            self.found.append("closed")

    reply, replies = open_reply()
    notes = Notes()
    reply.watch(notes)
    async with replies:
        await reply.log(b"a line")
        await reply.set("an object")
        await reply.ack()
        await reply.error(Conflict("it broke off"))
        await reply.aclose()
    assert notes.found == ["log", "set", "ack", "delivered", "error", "delivered", "closed"]


async def test_replies_that_have_ended_are_freed_at_once_also_if_a_watcher_holds_their_request() -> None:
    @dataclass
    class Holder:
        request: Request

        def see(self, reply: Reply) -> Reply:
            return reply

        def delivered(self) -> None:
            """Do nothing."""

        def closed(self) -> None:
            """Do nothing."""

    request = Request(Verb.GET, reply=open_reply()[0])
    freed = weakref.ref(request.reply)
    request.reply.watch(Holder(request))
    await request.reply.ack()
    await request.reply.aclose()
    gc.disable()
    try:
        del request
        assert freed() is None
    finally:
        gc.enable()
