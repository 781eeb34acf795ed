"""The conformance kit itself: for each of its rules a backend that breaks that one, and no other."""

import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MemoryReceiveStream, MockClock

from swarmlib import (
    Ack,
    Backend,
    Client,
    Conflict,
    ContractError,
    Error,
    Filter,
    Internal,
    Log,
    NotFound,
    Reply,
    ReplySender,
    Request,
    Sender,
    Server,
    Set,
    Source,
    Tap,
    Unavailable,
    Verb,
    discard,
    open_reply,
)
from swarmlib.reply_pair import ReplyReceiver
from swarmlib.testing import REFERENCE, RULES, ConformanceError, Leaf, Reference, check_backend
from swarmlib.testing.bench import NOSUCH
from swarmlib.testing.rules import streams

Wrong = Callable[[], Backend]
WRONG: dict[str, tuple[Wrong, dict[str, Any]]] = {}
"""The wrong backend for each rule, and how it is checked."""


def breaks(rule: str, **how: Any) -> Callable[[Any], Any]:
    """Note a class, or what makes one, as the backend that breaks `rule`."""

    def noted(make: Any) -> Any:
        WRONG[rule] = (make, how)
        return make

    return noted


@dataclass(eq=False)
class Working(Filter):
    """A filter with a nursery; what it keeps is kept as long as the backend itself."""

    kept: list[Any] = field(default_factory=list[Any])

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        async with trio.open_nursery() as self.nursery:
            self.is_open = True
            yield
            self.is_open = False
            self.nursery.cancel_scope.cancel()

    def later(self, action: Callable[..., Any], *args: Any) -> None:
        if self.is_open:
            self.nursery.start_soon(action, *args)


async def pump(ret: ReplySender, replies: ReplyReceiver, scope: trio.CancelScope | None = None) -> None:
    """Relay replies; when the caller is gone, `scope` is cancelled."""
    with scope or trio.CancelScope():
        async with replies:
            async for reply in replies:
                with suppress(trio.BrokenResourceError):
                    await ret.send(reply)
        await ret.aclose()


async def relay(to: ReplySender, replies: ReplyReceiver, *, hide: str | None = None) -> None:
    """Relay replies to their end, also when the stage closes, unless an error says `hide`: then nobody is told."""
    try:
        async with replies:
            async for reply in replies:
                if hide is not None and isinstance(reply, Error) and hide in reply.error.message:
                    return
                with suppress(trio.BrokenResourceError):
                    await to.send(reply)
        await to.aclose()
    except trio.ClosedResourceError:  # the caller went away
        return
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            await to.aclose()
        raise


def replies_through(request: Request, see: Callable[[Reply], Reply | None]) -> Request:
    return request.replace(reply=Tap(request.reply, see))


# Opening and closing.


@breaks("leaves_nothing_behind")
class Starts(Filter):
    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
        yield


@breaks("closes_in_time")
class Lingers(Filter):
    """It takes for ever to close once something that was asked for wasn't there."""

    lingers = False

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        yield
        if self.lingers:
            await trio.sleep_forever()

    async def send(self, request: Request) -> None:
        await self.next.send(replies_through(request, self.see))

    def see(self, reply: Reply) -> Reply:
        self.lingers = self.lingers or (isinstance(reply, Error) and isinstance(reply.error, NotFound))
        return reply


@breaks("opens_any_number_of_times")
@dataclass(eq=False)
class Shares(Filter):
    shared: dict[str, Any] = field(default_factory=lambda: {"closed": False})

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        yield
        self.shared["closed"] = True

    async def send(self, request: Request) -> None:
        if self.shared["closed"]:
            raise Unavailable("it is closed")
        await self.next.send(request)


@breaks("answers_unavailable_when_closed")
class Transparent(Backend):
    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        yield next


@dataclass(eq=False)
class Keeps(Working):
    """It relays the replies to one verb, and when it closes it keeps their channels, so that nobody is told."""

    verb: Verb = Verb.WATCH

    async def send(self, request: Request) -> None:
        if request.verb is self.verb:
            scope = trio.CancelScope()
            request.reply.on_gone(scope.cancel)
            self.kept.append(request.reply)
            reply, replies = open_reply()
            request.keep()
            self.later(pump, request.reply, replies, scope)
            request = request.replace(reply=reply)
        await self.next.send(request)


breaks("answers_what_is_under_way_when_it_closes")(lambda: Keeps(verb=Verb.GET))
breaks("ends_conversations_when_it_closes")(lambda: Keeps(verb=Verb.ATTACH))


@breaks("a_source_takes_no_requests")
class TakesRequests(Source):
    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            await Client(self.next).ls()
            await trio.sleep(1)

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        async with super().open(next):
            yield next


@breaks("a_source_speaks_and_closes_under_load")
class Mute(Source):
    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()


# Answering.


@breaks("answers_everything")
class Silent(Working):
    async def send(self, request: Request) -> None:
        if request.path == (NOSUCH,) and request.verb is Verb.FILE:
            request.keep()
        else:
            await self.next.send(request)


@breaks("gives_the_answer_itself")
class Drops(Filter):
    async def send(self, request: Request) -> None:
        if request.path != (NOSUCH,):
            await self.next.send(request)


@breaks("answers_once")
class Twice(Filter):
    async def send(self, request: Request) -> None:
        if request.path == (NOSUCH,):
            await request.reply.error(NotFound("no such place"))
            with pytest.raises(ContractError):
                await request.reply.ack()
        else:
            await self.next.send(request)


@breaks("has_no_bugs")
class Buggy(Filter):
    async def send(self, request: Request) -> None:
        if request.path == (NOSUCH,):
            raise KeyError("a bug")
        await self.next.send(request)


@breaks("says_not_found")
class Forgiving(Filter):
    """To remove what isn't there is no error to it."""

    async def send(self, request: Request) -> None:
        if request.verb is Verb.RM and request.path[-1] == NOSUCH:
            await request.reply.ack()
        else:
            await self.next.send(request)


@breaks("refuses_unknown_places")
class Agrees(Filter):
    async def send(self, request: Request) -> None:
        if request.path == (NOSUCH, "x") and request.verb is Verb.SET:
            await request.reply.ack()
        else:
            await self.next.send(request)


@breaks("refuses_what_makes_no_sense")
class Careless(Filter):
    async def send(self, request: Request) -> None:
        if request.verb is Verb.SPAWN and request.body is not None:
            request.json.get("Image")
        await self.next.send(request)


@breaks("answers_what_comes_too_late")
class TooLate(Working):
    async def send(self, request: Request) -> None:
        if request.deadline < trio.current_time():
            request.keep()
        else:
            await self.next.send(request)


breaks("does_no_more_than_declared", verbs=set(Verb) - {Verb.STOP})(Filter)


@breaks("passes_errors_on")
class Blurs(Filter):
    async def send(self, request: Request) -> None:
        await self.next.send(replies_through(request, self.blur))

    def blur(self, reply: Reply) -> Reply:
        conflict = isinstance(reply, Error) and isinstance(reply.error, Conflict)
        return Error(Internal("it failed")) if conflict else reply


@breaks("lets_a_dropped_request_be_noticed")
class Hides(Working):
    async def send(self, request: Request) -> None:
        if request.verb is Verb.GET:
            reply, replies = open_reply()
            request.keep()
            request.reply.on_gone(replies.leave)
            self.later(partial(relay, request.reply, replies, hide="dropped"))
            request = request.replace(reply=reply)
        await self.next.send(request)


# Objects.


@breaks("keeps_what_is_spawned")
class RemovesNothing(Filter):
    async def send(self, request: Request) -> None:
        by_id = len(request.path) == 2 and len(request.path[1]) == 16 and request.path[1].isalnum()
        if request.verb is Verb.RM and by_id:
            await request.reply.ack()
        else:
            await self.next.send(request)


@breaks("starts_and_stops")
class Unstoppable(Filter):
    async def send(self, request: Request) -> None:
        if request.verb is Verb.STOP and NOSUCH not in request.path:
            raise Conflict("it can't be stopped")
        await self.next.send(request)


@breaks("lists_what_there_is")
class RunningOnly(Filter):
    async def send(self, request: Request) -> None:
        asked = {name: value for name, value in request.params.items() if name != "all"}
        await self.next.send(request.replace(params=asked) if request.verb is Verb.LS else request)


@breaks("tells_of_changes")
class HidesEvents(Filter):
    async def send(self, request: Request) -> None:
        hides = request.verb is Verb.WATCH and request.path == ()
        await self.next.send(replies_through(request, self.hide) if hides else request)

    def hide(self, reply: Reply) -> Reply | None:
        return None if isinstance(reply, Set) else reply


@breaks("keeps_odd_names_apart")
class SplitsNames(Filter):
    async def send(self, request: Request) -> None:
        await self.next.send(request.replace(path=tuple("/".join(request.path).split("/")) if request.path else ()))


@breaks("takes_no_name_for_another")
class Respells(Filter):
    async def send(self, request: Request) -> None:
        *place, name = request.path or ("",)
        respelt = request.verb is Verb.GET and name.startswith("./") and name != "./x"
        await self.next.send(request.replace(path=(*place, name[2:])) if respelt else request)


@breaks("keeps_the_name_that_it_is_given")
class Nameless(Filter):
    async def send(self, request: Request) -> None:
        proper = request.verb is Verb.SPAWN and str(request.params.get("name")).startswith("swarmlib-")
        await self.next.send(request.replace(params={}) if proper else request)


@breaks("spawns_nothing_without_a_proper_name")
class Renames(Filter):
    async def send(self, request: Request) -> None:
        up = request.verb is Verb.SPAWN and request.params.get("name") == "../canary"
        await self.next.send(request.replace(params={"name": "canary"}) if up else request)


@breaks("claims_no_field_that_it_drops", leaf=REFERENCE)
class Echoes(Reference):
    """It shows whatever it was sent."""

    async def get(self, request: Request) -> Any:
        found = await super().get(request)
        for each in self.workloads.values():
            if each.id == found.get("Id"):
                found["Config"] |= each.body
        return found


@breaks("honours_what_it_claims", leaf=REFERENCE)
class Forgets(Reference):
    """It has no labels in lists."""

    async def ls(self, request: Request) -> list[Any]:
        return [{**each, "Labels": {}} for each in await super().ls(request)]


@breaks("answers_concurrent_calls_each_with_its_own")
class Mixes(Filter):
    async def send(self, request: Request) -> None:
        self.last = request.path
        await trio.lowlevel.checkpoint()
        await self.next.send(request.replace(path=self.last))


# Calls.


@breaks("survives_a_caller_that_has_gone_before")
class Offended(Filter):
    offended = False

    async def send(self, request: Request) -> None:
        self.offended = self.offended or request.reply.gone
        if self.offended:
            raise Unavailable("not any more")
        await self.next.send(request)


@breaks("cancels_the_work_when_the_caller_goes")
class GoesOn(Working):
    async def send(self, request: Request) -> None:
        if request.verb is Verb.GET:
            reply, replies = open_reply()
            request.keep()
            caller, request = request.reply, request.replace(reply=reply)
            self.later(relay, caller, replies)
        await self.next.send(request)


@breaks("leaves_the_object_alone_when_a_conversation_ends")
class StopsWhatIsLeft(Working):
    async def send(self, request: Request) -> None:
        if request.verb is Verb.ATTACH:
            stop = Request(Verb.STOP, request.path)
            request.reply.on_gone(lambda: self.later(self.next.send, stop))
        await self.next.send(request)


@breaks("ends_what_worked_for_a_conversation")
class Leaks(Working):
    async def send(self, request: Request) -> None:
        if request.verb is Verb.ATTACH:
            self.later(trio.sleep_forever)
        await self.next.send(request)


@breaks("keeps_deadlines")
class Patient(Filter):
    async def send(self, request: Request) -> None:
        await self.next.send(request.replace(deadline=float("inf")))


@breaks("lets_no_conversation_hold_up_a_call")
class OneConversation(Filter):
    free: trio.Event | None = None

    async def send(self, request: Request) -> None:
        if request.verb is Verb.ATTACH:
            self.free = trio.Event()
            request.reply.on_gone(self.free.set)
        elif self.free is not None:
            await self.free.wait()
        await self.next.send(request)


@breaks("lets_no_call_hold_up_another")
class OneObject(Filter):
    """While one object is asked for, others have to wait."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.path: Any = None
        self.calls = 0
        self.changed = trio.Event()
        yield

    async def send(self, request: Request) -> None:
        if request.verb is Verb.GET:
            while self.calls and self.path != request.path:
                await self.changed.wait()
            self.path, self.calls = request.path, self.calls + 1
            request.reply.on_gone(self.done)
        await self.next.send(request)

    def done(self) -> None:
        self.calls -= 1
        self.changed.set()
        self.changed = trio.Event()


@breaks("holds_back_replies_that_nobody_reads")
class Gathers(Working):
    async def send(self, request: Request) -> None:
        if request.verb is Verb.WATCH and request.path:
            scope = trio.CancelScope()
            request.reply.on_gone(scope.cancel)
            reply, replies = open_reply(capacity=1_000_000)
            request.keep()
            self.later(pump, request.reply, replies, scope)
            request = request.replace(reply=reply)
        await self.next.send(request)


# Streams.


@breaks("gives_every_line")
class SkipsBlankLines(Filter):
    async def send(self, request: Request) -> None:
        await self.next.send(replies_through(request, self.skip))

    def skip(self, reply: Reply) -> Reply | None:
        return None if isinstance(reply, Log) and not reply.line else reply


class Through(trio.abc.HalfCloseableStream):
    """A stream around another."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.inner.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class Wraps(Filter):
    """It puts a stream of its own around each that `verb` gives."""

    stream: Callable[[Any], Any]
    verb: Verb = Verb.CONNECT

    async def send(self, request: Request) -> None:
        taken = request.verb is self.verb and request.upload is None
        await self.next.send(replies_through(request, self.wrap) if taken else request)

    def wrap(self, reply: Reply) -> Reply:
        gives = isinstance(reply, Ack) and reply.stream is not None
        return reply.replace(stream=self.stream(reply.stream)) if gives else reply


class Delays(Through):
    """It sends the first piece at once, and holds a small one after it back for the next; at the end it is lost."""

    sent = 0
    waiting = b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += 1
        piece, self.waiting = (b"", bytes(data)) if self.sent > 1 and len(data) < 1024 else (data, b"")
        if piece:
            await self.inner.send_all(piece)


class Hoards(Through):
    """It remembers all that passes."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.hoard: list[bytearray] = []

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.hoard.append(bytearray(data))
        await self.inner.send_all(data)


class Spools(Through):
    """It takes all at once, into a file."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the stream
        self.taken, self.given, self.ended = 0, 0, False
        self.more = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self.file.seek(self.taken)
        self.taken += self.file.write(data)
        self.more.set()

    async def send_eof(self) -> None:
        self.ended = True
        self.more.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while self.given == self.taken and not self.ended:
            await self.more.wait()
            self.more = trio.Event()
        await trio.lowlevel.checkpoint()
        self.file.seek(self.given)
        data = self.file.read(65536)
        self.given += len(data)
        return data

    async def aclose(self) -> None:
        self.file.close()
        await super().aclose()


class Beheads(Through):
    """It loses the first block."""

    lost = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await super().receive_some(max_bytes)
        if not self.lost:
            self.lost, data = True, data[512:]
        return data


breaks("half_closes_streams")(lambda: Wraps(Delays))
breaks("passes_big_streams_in_flat_memory")(lambda: Wraps(Hoards))
breaks("holds_back_a_stream_that_nobody_reads")(lambda: Wraps(Spools))
breaks("gives_back_files")(lambda: Wraps(Beheads, Verb.FILE))


@breaks("keeps_a_stream_whose_call_has_ended")
class ClosesStreams(Working):
    async def send(self, request: Request) -> None:
        if request.verb is Verb.CONNECT:
            to = request.reply

            def see(reply: Reply) -> Reply:
                to.on_gone(lambda: self.later(discard, reply))
                return reply

            request = replies_through(request, see)
        await self.next.send(request)


@breaks("passes_big_files_in_flat_memory")
class ReadsFirst(Filter):
    async def send(self, request: Request) -> None:
        if request.upload is not None:
            async with request.upload as given:
                whole = b"".join([bytes(piece) async for piece in given])
            stream = MemoryReceiveStream()
            stream.put_data(whole)
            stream.put_eof()
            request = request.replace(upload=stream)
        await self.next.send(request)


async def broken(make: Wrong, **how: Any) -> dict[str, ConformanceError]:
    """Every rule that a backend breaks."""
    found: dict[str, ConformanceError] = {}
    for rule in RULES:
        try:
            await check_backend(make, rules=[rule], **how)
        except ConformanceError as exc:
            found[rule.name] = exc
    return found


@pytest.fixture
def _tiny_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the big streams be of 2 MiB: each wrong backend is held against every rule."""
    monkeypatch.setattr(streams, "BIG", 2 << 20)
    monkeypatch.setattr(streams, "FLAT", 1 << 19)


def test_every_rule_has_a_backend_that_breaks_it() -> None:
    assert set(WRONG) == {rule.name for rule in RULES}
    assert len(RULES) == len(WRONG)


@pytest.mark.usefixtures("_tiny_streams")
@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
async def test_a_backend_that_breaks_one_rule_fails_by_that_one_and_no_other(
    rule: str, autojump_clock: MockClock
) -> None:
    make, how = WRONG[rule]
    found = await broken(make, **how)
    assert list(found) == [rule]
    assert found[rule].rule == rule


@pytest.mark.usefixtures("_tiny_streams")
async def test_a_filter_that_does_nothing_breaks_none(autojump_clock: MockClock) -> None:
    assert await broken(Filter) == {}


async def test_a_broken_rule_is_named_and_shown_by_the_messages(autojump_clock: MockClock) -> None:
    with pytest.raises(ConformanceError) as raised:
        await check_backend(Forgiving)
    assert str(raised.value).splitlines() == [
        "forgiving breaks the rule says_not_found: A call to an object that doesn't exist gets `not_found`.",
        "  Seen: rm of an object that doesn't exist gave an ack.",
        "  Messages:",
        "    #1 > get containers/swarmlib-nosuch",
        "      #1 > get containers/swarmlib-nosuch",
        "      #1 < error not_found: no such workload: swarmlib-nosuch",
        "    #1 < error not_found: no such workload: swarmlib-nosuch",
        "    #2 > rm containers/swarmlib-nosuch",
        "    #2 < ack",
    ]


async def test_a_backend_that_never_answers_is_not_waited_for(autojump_clock: MockClock) -> None:
    class Hangs(Filter):
        async def send(self, request: Request) -> None:
            await trio.sleep_forever()

    with pytest.raises(ConformanceError, match=r"after opening, it does not answer within 5 s"):
        await check_backend(Hangs)


async def test_one_that_cannot_be_opened_says_why(autojump_clock: MockClock) -> None:
    class Fails(Filter):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            raise Unavailable("the disk is full")
            yield

    with pytest.raises(ConformanceError, match="Seen: Unavailable: the disk is full"):
        await check_backend(Fails)


class Empty(Server):
    """A leaf that has nothing, and says so."""

    async def ls(self, request: Request) -> list[Any]:
        if request.path != ("containers",):
            raise NotFound("no such place")
        return []


async def test_what_a_leaf_has_not_is_told_as_not_applicable_with_the_reason(autojump_clock: MockClock) -> None:
    report = await check_backend(Empty, leaf=Leaf())
    assert "answers_everything" in report.passed
    reasons = report.not_applicable
    assert set(report.passed) | set(reasons) == {rule.name for rule in RULES}
    assert reasons["lists_what_there_is"] == "its maker describes none (Leaf.idle)"
    assert reasons["says_not_found"] == "it does no get"
    assert "not applicable says_not_found (it does no get)" in str(report)


async def test_what_its_maker_says_it_has_must_be_there(autojump_clock: MockClock) -> None:
    with pytest.raises(ConformanceError, match="is not supported by any backend of this chain"):
        await check_backend(Empty, leaf=Leaf(idle={"Image": "idle"}), verbs=["ls", "get", "spawn"])


async def test_the_reference_is_a_leaf_like_any_other(autojump_clock: MockClock) -> None:
    report = await check_backend(Reference, leaf=REFERENCE)
    assert "passes_big_files_in_flat_memory" in report.passed


async def test_a_source_without_a_client_is_told_what_it_needs(autojump_clock: MockClock) -> None:
    with pytest.raises(ConformanceError, match="does it need a `client`"):
        await check_backend(Mute)


async def test_a_leaf_that_is_taken_for_a_filter_is_told_so(autojump_clock: MockClock) -> None:
    with pytest.raises(ConformanceError, match="check a backend that answers itself with `leaf`"):
        await check_backend(Reference)


@pytest.mark.parametrize(
    ("make", "how", "problem"),
    [
        (Filter, {"client": Filter}, "filter is not one"),
        (Empty, {"leaf": Leaf(), "over": Reference()}, "only for a backend that has the workloads itself"),
        (Mute, {"leaf": Leaf()}, "only for a backend that has the workloads itself"),
        (Filter, {"verbs": ["list"]}, "'list' is not a valid Verb"),
        (Filter, {"verbs": []}, "at least one verb"),
        (lambda: "filter", {}, "make must return a swarmlib.Backend, not 'filter'"),
    ],
)
async def test_what_does_not_go_together_is_refused(make: Wrong, how: dict[str, Any], problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=problem):
        await check_backend(make, **how)


@pytest.mark.usefixtures("small_streams")
async def test_what_a_rule_spawned_is_removed_also_from_a_leaf_that_the_rule_has_closed() -> None:
    engine = Reference()
    await check_backend(lambda: engine, leaf=REFERENCE)
    assert engine.workloads == {}


def test_the_kit_needs_no_pytest_and_the_core_needs_no_kit() -> None:
    program = "import sys; sys.modules['pytest'] = None; import swarmlib; before = {*sys.modules}; "
    program += "import swarmlib.testing.script; print('swarmlib.testing' in before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
