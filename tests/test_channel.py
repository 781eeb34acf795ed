"""The reply contract, held to the table in `swarmlib.channel` by a state machine."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from trio.testing import MemoryReceiveStream, wait_all_tasks_blocked

from swarmlib import (
    Conflict,
    ContractError,
    Invalid,
    Message,
    Reply,
    SwarmError,
    Tap,
    Unavailable,
    Verb,
    open_reply,
)
from swarmlib.channel import REPLY_CAPACITY


def run(step: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return trio.run(step)


class ReplyContract(RuleBasedStateMachine):
    """The states of the answering end, and what the caller must have been given by then."""

    def __init__(self) -> None:
        super().__init__()
        self.taps = 0
        self.ret, self.replies = open_reply(capacity=1000)
        self.state = "waiting"
        self.expected: list[str] = []
        self.gone = False

    def step(self, action: Callable[[Reply], Coroutine[Any, Any, None]]) -> type[BaseException] | None:
        async def attempt() -> type[BaseException] | None:
            try:
                await action(self.ret)
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
        assert self.step(lambda ret: ret.set({"a": 1})) is self.allowed("set", self.state)

    @rule()
    def send_log(self) -> None:
        assert self.step(lambda ret: ret.log(b"line")) is self.allowed("log", self.state)

    @rule()
    def send_ack(self) -> None:
        wanted = self.allowed("ack", "answered") if self.state != "answered" else ContractError
        assert self.step(lambda ret: ret.ack()) is wanted

    @rule()
    def send_error(self) -> None:
        assert self.step(lambda ret: ret.error(Conflict("taken"))) is self.allowed("error", "failed")

    @rule()
    def send_what_is_no_reply(self) -> None:
        wanted = trio.ClosedResourceError if self.state == "closed" else ContractError
        assert self.step(lambda ret: ret.send(Message(Verb.LS))) is wanted

    @rule()
    def close(self) -> None:
        assert self.step(lambda ret: ret.aclose()) is None
        if self.state == "waiting" and not self.gone:
            self.expected.append("error")
        self.state = "closed"

    @precondition(lambda self: not self.gone)
    @rule()
    def the_caller_goes_away(self) -> None:
        seen: list[bool] = []
        self.ret.on_gone(lambda: seen.append(True))
        self.check_what_came()
        run(self.replies.aclose)
        self.gone = True
        assert seen == [True]
        assert self.ret.gone

    @precondition(lambda self: self.taps < 3 and not self.ret.answered)
    @rule()
    def put_a_tap_around(self) -> None:
        if self.state == "waiting":
            self.ret = Tap(self.ret, lambda reply: reply)
            self.taps += 1

    def check_what_came(self) -> None:
        async def receive(count: int) -> list[str]:
            return [(await self.replies.receive()).verb.value for _ in range(count)]

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
        run(self.ret.aclose)
        if self.state == "waiting":
            self.expected.append("error")
        self.state = "closed"

        async def the_rest() -> list[str]:
            return [reply.verb.value async for reply in self.replies]

        came = run(the_rest)
        assert came == self.expected
        self.check_the_finals(came)


ReplyContract.TestCase.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
TestReplyContract = ReplyContract.TestCase


async def test_a_set_waits_while_the_caller_is_behind_and_the_answer_never_does() -> None:
    ret, replies = open_reply()
    for number in range(REPLY_CAPACITY):
        await ret.set(number)
    sent: list[str] = []

    async def one_more() -> None:
        await ret.set("more")
        sent.append("more")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one_more)
        await wait_all_tasks_blocked()
        assert sent == []
        await replies.receive()
        await wait_all_tasks_blocked()
        assert sent == ["more"]
    with trio.fail_after(0.1):
        await ret.ack()
        await ret.aclose()
    async with replies:
        assert [reply.verb async for reply in replies][-1] is Verb.ACK


async def test_a_sender_that_waits_is_told_when_the_caller_goes_away() -> None:
    ret, replies = open_reply(capacity=1)
    await ret.set(1)

    async def two() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await ret.set(2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(two)
        await wait_all_tasks_blocked()
        await replies.aclose()


async def test_a_reply_end_that_is_dropped_is_an_error_to_the_caller() -> None:
    ret, replies = open_reply()
    del ret
    async with replies:
        error = (await replies.receive()).error
        assert isinstance(error, Unavailable)
        with pytest.raises(trio.EndOfChannel):
            await replies.receive()


async def test_a_stream_that_nobody_took_is_closed() -> None:
    stream = MemoryReceiveStream()
    ret, replies = open_reply()
    await ret.ack(att=stream)
    await replies.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_a_tap_changes_and_holds_back_replies() -> None:
    ret, replies = open_reply()
    tap = Tap(ret, lambda reply: None if reply.verb is Verb.LOG else reply.but(args={"seen": True}))
    await tap.log(b"held back")
    await tap.ack()
    await tap.aclose()
    async with replies:
        assert [(reply.verb, reply.args) async for reply in replies] == [(Verb.ACK, {"seen": True})]


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


def test_an_error_travels_as_it_is() -> None:
    error: SwarmError = Invalid("wrong", backend="x", path=("a",))
    assert Message(Verb.ERROR, value=error).error is error
    with pytest.raises(TypeError, match="holds no error"):
        _ = Message(Verb.ACK).error
