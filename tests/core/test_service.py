"""The helper bases' contracts, one by one: who answers, what is handed on, and what a late or early end does."""

import logging
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import (
    Ack,
    Chain,
    Client,
    Conflict,
    ContractError,
    Error,
    Filter,
    Handler,
    Internal,
    Reply,
    ReplyReceiver,
    ReplySender,
    Request,
    Sender,
    Server,
    Set,
    Source,
    SwarmError,
    Tap,
    TimedOut,
    Unavailable,
    Unhandled,
    Verb,
    ask,
    dispatch,
    open_reply,
)
from swarmlib.asking import answer


async def kinds(sender: Sender, request: Request) -> list[str]:
    """The kinds of all replies to a request."""
    async with await ask(sender, request) as replies:
        return [reply.kind async for reply in replies]


async def error_in(replies: ReplyReceiver) -> SwarmError:
    """The error that is the next reply."""
    reply = await replies.receive()
    assert isinstance(reply, Error)
    return reply.error


class Forms(Server):
    """Answers in each form that a method may."""

    async def get(self, _: Request) -> str:
        return "a value"

    async def spawn(self, _: Request) -> dict[str, str]:
        return {"Id": "new"}

    async def start(self, _: Request) -> None:
        return None

    async def ls(self, request: Request) -> list[str]:
        await request.reply.ack(["its own"])
        return ["ignored"]

    async def rm(self, request: Request) -> None:
        await request.reply.aclose()


@pytest.mark.parametrize(
    ("verb", "replies"),
    [
        (Verb.GET, [Verb.SET, Ack.kind]),
        (Verb.SPAWN, [Ack.kind]),
        (Verb.START, [Ack.kind]),
        (Verb.LS, [Ack.kind]),
        (Verb.RM, [Error.kind]),
    ],
)
async def test_what_a_method_returns_decides_the_replies(verb: Verb, replies: list[Verb]) -> None:
    async with Chain(Forms()).open() as sender:
        assert await kinds(sender, Request(verb)) == replies


async def test_a_spawned_value_is_in_the_ack_and_another_in_a_set() -> None:
    async with Chain(Forms()).open() as sender:
        client = Client(sender)
        assert (await client.call(Verb.SPAWN)).ack.json == {"Id": "new"}
        answer = await client.call(Verb.GET)
        assert ([each.json for each in answer.before if isinstance(each, Set)], answer.ack.json) == (["a value"], None)


@dataclass(eq=False)
class Everything(Server):
    """Notes what comes to it."""

    came: list[Request] = field(default_factory=list[Request])

    async def _note(self, request: Request) -> None:
        self.came.append(request)

    get = start = set = _note


async def test_a_verb_without_a_method_goes_to_the_next_stage() -> None:
    last = Everything()
    async with Chain(Forms(), last).open() as sender:
        await Client(sender).call(Verb.GET, ("a",))
        await Client(sender).call(Verb.SET, ("b",))
    assert [(m.verb, m.path) for m in last.came] == [(Verb.SET, ("b",))]


async def test_a_server_may_choose_as_a_message_arrives_in_the_order_of_arrival() -> None:
    class Odd(Server):
        chosen: list[str] = []  # noqa: RUF012 - shared by the opened copies

        def choose(self, request: Request) -> Handler | None:
            self.chosen.append(request.path[0])
            return self.answer if int(request.path[0]) % 2 else None

        async def answer(self, request: Request) -> str:
            return "odd"

    class Even(Server):
        async def get(self, request: Request) -> str:
            return "even"

    async with Chain(Odd(), Even()).open() as sender:
        assert [await Client(sender).get(str(number)) for number in range(3)] == ["even", "odd", "even"]
        for number in range(3, 50):
            await sender.send(Request(Verb.GET, (str(number),)))
    assert Odd.chosen == list(map(str, range(50)))


async def test_what_is_handed_on_is_answered_by_whoever_gets_it() -> None:
    class Chooser(Server):
        async def get(self, request: Request) -> Any:
            return await self.forward(request.replace(path=("other", *request.path)), self.next)

    last = Everything()
    async with Chain(Chooser(), last).open() as sender:
        assert await kinds(sender, Request(Verb.GET, ("a",))) == [Ack.kind]
    assert [m.path for m in last.came] == [("other", "a")]


async def test_a_server_can_ask_itself() -> None:
    class Recursive(Server):
        async def get(self, request: Request) -> int:
            depth = int(request.path[0])
            return 1 + await Client(self.inlet).get(str(depth - 1)) if depth else 0

    async with Chain(Recursive()).open() as sender:
        assert await Client(sender).get("5") == 5


class Strict(Filter):
    """Fails in its `send`: as it expects to, or by a bug."""

    async def send(self, request: Request) -> None:
        if request.verb is Verb.RM:
            raise Conflict("not that one")
        raise KeyError("a bug")


async def test_an_error_names_the_stage_and_the_path_that_it_came_from() -> None:
    async with Chain(Filter(), Strict(), Filter()).open() as sender:
        with pytest.raises(Conflict, match="not that one") as raised:
            await Client(sender).rm("containers", "web")
    assert (raised.value.backend, raised.value.path) == ("strict", ("containers", "web"))


async def test_a_filters_bug_is_internal_to_the_caller_and_a_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Chain(Strict()).open() as sender:
        with pytest.raises(Internal, match="a bug in strict: KeyError"):
            await Client(sender).get("x")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


async def test_a_bug_in_one_call_leaves_the_others_alone() -> None:
    class Mixed(Server):
        async def get(self, request: Request) -> str:
            await trio.lowlevel.checkpoint()
            if request.path == ("bad",):
                raise ValueError("a bug")
            return "fine"

    found: list[str] = []

    async def ask(client: Client, name: str) -> None:
        try:
            found.append(await client.get(name))
        except Internal:
            found.append("internal")

    async with Chain(Mixed()).open() as sender, trio.open_nursery() as nursery:
        for name in ("good", "bad", "good"):
            nursery.start_soon(ask, Client(sender), name)
    assert sorted(found) == ["fine", "fine", "internal"]


async def test_what_no_stage_answers_is_not_implemented() -> None:
    assert await kinds(Unhandled(), Request(Verb.GET)) == [Error.kind]


@dataclass(eq=False)
class Single(Server):
    """One call at a time, each until it is let go."""

    max_calls = 1

    begun: list[str] = field(default_factory=list[str])
    let_go: dict[str, Any] = field(default_factory=lambda: {name: trio.Event() for name in "abc"})

    async def get(self, request: Request) -> None:
        self.begun.append(request.path[0])
        await self.let_go[request.path[0]].wait()


async def test_a_call_over_the_bound_begins_when_one_ends() -> None:
    single = Single()
    async with Chain(single).open() as sender, trio.open_nursery() as nursery:
        for name, begun in (("a", "a"), ("b", "a"), ("c", "a")):
            nursery.start_soon(Client(sender).get, name)
            await wait_all_tasks_blocked()
            assert single.begun == [begun]
        for name, begun in (("a", "ab"), ("b", "abc"), ("c", "abc")):
            single.let_go[name].set()
            await wait_all_tasks_blocked()
            assert single.begun == list(begun)


async def test_a_call_that_waits_for_its_turn_is_answered_when_the_chain_closes() -> None:
    failures: list[str] = []

    async def ask(client: Client, name: str) -> None:
        with pytest.raises(Unavailable, match="single is closed"):
            await client.get(name)
        failures.append(name)

    single = Single()
    async with trio.open_nursery() as nursery, Chain(single).open() as sender:
        for name in "abc":
            nursery.start_soon(ask, Client(sender), name)
            await wait_all_tasks_blocked()
    assert sorted(failures) == ["a", "b", "c"]
    assert single.begun == ["a"]


@dataclass(eq=False)
class Stuck(Server):
    """Waits for ever; where `stubborn`, its cleanup takes a second more."""

    stubborn: bool = False
    waiting: list[Request] = field(default_factory=list[Request])

    async def get(self, request: Request) -> None:
        self.waiting.append(request)
        try:
            await trio.sleep_forever()
        finally:
            if self.stubborn:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    await trio.sleep_forever()
            self.waiting.remove(request)


@pytest.mark.parametrize(("stubborn", "seconds"), [(False, 7), (True, 8)])
async def test_a_late_answer_is_a_timeout_at_the_deadline(
    stubborn: bool, seconds: float, autojump_clock: MockClock
) -> None:
    stuck = Stuck(stubborn)
    reply, replies = open_reply()
    began = trio.current_time()
    async with Chain(Filter(), stuck).open() as sender:
        await sender.send(Request(Verb.GET, reply=reply, deadline=began + 7))
        error = await error_in(replies)
        assert trio.current_time() - began == pytest.approx(seconds)
        assert (type(error), error.backend, stuck.waiting) == (TimedOut, "stuck", [])
        with pytest.raises(trio.EndOfChannel):
            await replies.receive()


class Patient(Filter):
    """Takes the deadline off, so that only the caller's going away can end the work."""

    async def send(self, request: Request) -> None:
        await self.next.send(request.replace(deadline=math.inf))


async def test_a_caller_that_gives_up_leaves_no_work_behind(autojump_clock: MockClock) -> None:
    stuck = Stuck()
    async with Chain(Patient(), stuck).open() as sender:
        with pytest.raises(trio.TooSlowError), trio.fail_after(3):
            await Client(sender).get("x")
        await wait_all_tasks_blocked()
        assert stuck.waiting == []


async def test_a_failure_of_sending_itself_is_the_callers_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(trio.abc.SendChannel[Request]):
        async def send(self, value: Request) -> None:
            raise OSError("no way through")

        async def aclose(self) -> None: ...

    reply, replies = open_reply()
    async with replies:
        await dispatch(Broken(), Request(Verb.GET, ("x",), reply=reply))
        error = await error_in(replies)
    assert isinstance(error, Internal)
    assert "OSError: no way through" in error.message


async def test_a_tap_that_fails_still_gives_the_caller_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    def see(reply: Reply) -> Reply:
        raise ValueError("a bug")

    class Watching(Filter):
        async def send(self, request: Request) -> None:
            await self.next.send(request.replace(reply=Tap(request.reply, see)))

    async with Chain(Watching(), Forms()).open() as sender:
        assert await kinds(sender, Request(Verb.START)) == [Error.kind]
    assert caplog.records[0].exc_info is not None


async def test_a_tap_that_holds_back_the_final_reply_does_not_keep_the_caller_waiting() -> None:
    reply, replies = open_reply()
    tap = Tap(reply, lambda _: None)
    await tap.ack()
    await tap.aclose()
    async with replies:
        assert isinstance(await error_in(replies), Unavailable)


@pytest.mark.parametrize(
    ("then", "refused"),
    [
        (lambda ret: ret.error(Conflict("taken")), ContractError),
        (lambda ret: ret.aclose(), trio.ClosedResourceError),
    ],
    ids=["error", "close"],
)
async def test_a_set_that_waits_when_the_call_ends_is_refused_and_never_seen(
    then: Any, refused: type[Exception]
) -> None:
    ret, replies = open_reply(capacity=1)
    await ret.set(1)
    outcomes: list[type[Exception]] = []

    async def set_late(reply: ReplySender) -> None:
        with pytest.raises(refused):
            await reply.set(2)
        outcomes.append(refused)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_late, ret)
        await wait_all_tasks_blocked()
        await then(ret)
    assert outcomes == [refused]
    await ret.aclose()
    async with replies:
        assert [reply.kind async for reply in replies] == [Verb.SET, Error.kind]


@dataclass(eq=False)
class Head(Source):
    """Asks `next` once, and says what it heard; then waits, or ends, or fails."""

    fails_before: SwarmError | None = None
    fails_after: SwarmError | None = None
    heard: list[Any] = field(default_factory=list[Any])

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        if self.fails_before:
            raise self.fails_before
        task_status.started()
        self.heard.append(await Client(self.next).get("x"))
        if self.fails_after:
            raise self.fails_after
        await trio.sleep_forever()


async def test_a_source_speaks_to_the_stage_after_it_and_ends_with_the_chain() -> None:
    head = Head()
    async with Chain(head, Filter(), Forms()).open():
        await wait_all_tasks_blocked()
        assert head.heard == ["a value"]


async def test_a_source_that_cannot_begin_fails_the_opening_with_its_name() -> None:
    with pytest.raises(Unavailable, match="port in use") as raised:
        async with Chain(Head(fails_before=Unavailable("port in use")), Forms()).open():
            raise AssertionError("it should not have opened")
    assert raised.value.backend == "head"


async def test_a_source_that_fails_ends_its_chain_with_that_error() -> None:
    with pytest.raises(Unavailable, match="the socket is gone") as raised:
        async with Chain(Head(fails_after=Unavailable("the socket is gone")), Forms()).open():
            await trio.sleep_forever()
    assert raised.value.backend == "head"


async def test_a_server_that_is_closed_answers_also_what_it_has_no_method_for() -> None:
    async with Forms().open(Unhandled()) as sender:
        pass
    for verb in (Verb.GET, Verb.WATCH):  # it has a method for the first alone
        with pytest.raises(Unavailable, match="forms is closed"):
            await Client(sender).call(verb, ("x",))


async def test_a_filter_that_changes_nothing_adds_nothing_to_a_call() -> None:
    last = Unhandled()
    async with Chain(Filter(), Filter()).open(last) as sender:
        assert sender.send == last.send
    with pytest.raises(Unavailable, match="filter is closed"):
        await Client(sender).get()


class FailsInPart(Server):
    """Handles a request in two tasks: when it is cancelled, the one is, and the other fails."""

    async def get(self, request: Request) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fail_at_the_end)
            await trio.sleep_forever()

    async def _fail_at_the_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise trio.BrokenResourceError("the caller disconnected")


async def test_a_call_that_fails_in_part_when_its_stage_closes_ends_nothing_else() -> None:
    async with trio.open_nursery() as nursery:
        async with Chain(FailsInPart()).open() as sender:
            reply, replies = open_reply()
            nursery.start_soon(dispatch, sender, Request(Verb.GET, ("box",), reply=reply))
            await wait_all_tasks_blocked()
        with pytest.raises(SwarmError):
            await answer(replies)
