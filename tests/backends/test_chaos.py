"""chaos: faults by chance, the same ones for the same seed."""

import logging
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from swarmlib import (
    Chain,
    Client,
    Conflict,
    Error,
    Filter,
    Internal,
    Invalid,
    ReplyReceiver,
    Request,
    Server,
    SwarmError,
    Unavailable,
    Verb,
    connect,
)
from swarmlib.asking import ask
from swarmlib_backends.chaos import Chaos, Latency
from swarmlib_backends.retry import Retry


@dataclass(eq=False)
class Service(Server):
    """Answers, and notes what happened."""

    happened: list[str] = field(default_factory=list[str])

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        async with trio.open_nursery() as self.nursery:
            yield
            self.nursery.cancel_scope.cancel()

    async def get(self, request: Request) -> str:
        self.happened.append(request.path[0])
        return "fine"

    ls = spawn = stop = get

    async def connect(self, request: Request) -> None:
        mine, theirs = memory_stream_pair()
        self.nursery.start_soon(echo, mine)
        await request.reply.ack(stream=theirs)

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        for number in range(1000):
            await request.reply.set(number)


async def echo(stream: trio.abc.HalfCloseableStream) -> None:
    with suppress(trio.BrokenResourceError):  # cut by chaos
        while data := await stream.receive_some():
            await stream.send_all(data)
        await stream.send_eof()


async def until_cut(stream: trio.abc.HalfCloseableStream) -> None:
    while True:
        await stream.send_all(bytes(1000))
        assert await stream.receive_some()


def chaos(options: str, **more: Any) -> Chaos:
    (stage,) = Chain.read(f"chaos --seed 7 {options}").backends
    assert isinstance(stage, Chaos)
    return stage


async def outcomes(stage: Chaos, calls: int = 200, pause: float = 0, verb: Verb = Verb.GET) -> list[str]:
    """What becomes of calls, one after another: fine, or an error's code, or lost."""
    found: list[str] = []
    async with Chain(stage, Service()).open() as sender:
        for number in range(calls):
            await trio.sleep(pause * random.random())
            with trio.move_on_after(60) as patience:
                try:
                    await Client(sender).call(verb, (str(number),))
                    found.append("fine")
                except SwarmError as exc:
                    found.append(exc.code)
            if patience.cancelled_caught:
                found.append("lost")
    return found


async def test_the_same_seed_gives_the_same_faults_whatever_the_time_they_take(autojump_clock: MockClock) -> None:
    options = "--errors '*=0.2' --drop 0.1 --latency 'lognormal(50ms,1)'"
    once = await outcomes(chaos(options))
    assert once == await outcomes(chaos(options), pause=1)
    assert set(once) == {"fine", "unavailable", "lost"}
    assert once.count("unavailable") == pytest.approx(40, abs=15)
    assert once.count("lost") == pytest.approx(16, abs=10)


async def test_another_seed_gives_others_and_one_option_leaves_the_others_faults_alone(
    autojump_clock: MockClock,
) -> None:
    only_errors = await outcomes(chaos("--errors '*=0.2'"))
    (other,) = Chain.read("chaos --seed 8 --errors '*=0.2'").backends
    assert isinstance(other, Chaos)
    assert only_errors != await outcomes(other)
    with_drops = await outcomes(chaos("--errors '*=0.2' --drop 0.3"))
    assert [code == "unavailable" for code in only_errors] == [code == "unavailable" for code in with_drops]


async def test_calls_sent_at_once_meet_the_faults_of_their_order() -> None:
    sequential = await outcomes(chaos("--errors '*=0.5'"), calls=50)
    found: dict[int, str] = {}
    async with Chain(chaos("--errors '*=0.5'"), Service()).open() as sender, trio.open_nursery() as nursery:

        async def read(number: int, replies: ReplyReceiver) -> None:
            async with replies:
                async for reply in replies:
                    found.setdefault(number, reply.error.code if isinstance(reply, Error) else "fine")

        for number in range(50):
            nursery.start_soon(read, number, await ask(sender, Request(Verb.GET, (str(number),))))
    assert [found[number] for number in range(50)] == sequential


async def test_errors_are_by_verb_and_path_with_the_code_that_was_told() -> None:
    service = Service()
    stage = chaos("--errors 'ls containers=1:conflict' --errors 'stop *=1' --errors 'get web=0'")
    async with Chain(stage, service).open() as sender:
        with pytest.raises(Conflict, match="chaos"):
            await Client(sender).ls()
        with pytest.raises(Unavailable, match="chaos"):
            await Client(sender).stop("a")
        assert (await Client(sender).call(Verb.LS, ("images",))).value == "fine"
        assert await Client(sender).get("web") == "fine"
    assert service.happened == ["images", "web"]


async def test_a_dropped_call_has_happened_and_only_the_callers_deadline_ends_it(autojump_clock: MockClock) -> None:
    service = Service()
    async with Chain(chaos("--drop 1"), service).open() as sender:
        with pytest.raises(trio.TooSlowError), trio.fail_after(3600):
            await Client(sender).spawn()
    assert service.happened == ["containers"]


async def test_latency_holds_messages_up(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    assert await outcomes(chaos("--latency 2s"), calls=3) == ["fine"] * 3
    assert trio.current_time() - began == pytest.approx(6)


@pytest.mark.parametrize(
    ("text", "middle", "least", "most"),
    [
        ("50ms", 0.05, 0.05, 0.05),
        ("50ms±20ms", 0.05, 0.03, 0.07),
        ("50ms+-20ms", 0.05, 0.03, 0.07),
        ("uniform(10ms, 90ms)", 0.05, 0.01, 0.09),
        ("normal(50ms,10ms)", 0.05, 0, 0.11),
        ("lognormal(50ms,0.5)", 0.05, 0.005, 0.5),
        ("exponential(50ms)", 0.035, 0, 1),
    ],
)
def test_latencies_are_distributed_as_told(text: str, middle: float, least: float, most: float) -> None:
    latency, chance = Latency.read(text), random.Random(1)
    drawn = [latency.draw(chance) for _ in range(2000)]
    assert median(drawn) == pytest.approx(middle, rel=0.1)
    assert least <= min(drawn) <= mean(drawn) <= max(drawn) <= most


async def test_a_cut_stream_breaks_after_some_bytes_both_ways() -> None:
    async with Chain(chaos("--cut 1"), Service()).open() as sender:
        for _ in range(3):
            stream = await Client(sender).connect("x")
            with pytest.raises(trio.BrokenResourceError, match="chaos"):
                await until_cut(stream)
            await stream.aclose()


async def test_who_waits_to_receive_learns_of_a_cut_while_sending() -> None:
    class Silent(Server):
        async def connect(self, request: Request) -> None:
            await request.reply.ack(stream=Deaf())

    class Deaf(trio.abc.HalfCloseableStream):
        """It says nothing, and a close does not wake who waits for it."""

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.sleep_forever()
            raise AssertionError

        async def send_all(self, data: object) -> None:
            await trio.lowlevel.checkpoint()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

        wait_send_all_might_not_block = send_eof = aclose

    async def receive(stream: trio.abc.ReceiveStream) -> None:
        with pytest.raises(trio.BrokenResourceError, match="chaos"):
            await stream.receive_some()

    async with Chain(chaos("--cut 1"), Silent()).open() as sender, trio.open_nursery() as nursery:
        stream = await Client(sender).connect("x")
        nursery.start_soon(receive, stream)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BrokenResourceError, match="chaos"):
            await stream.send_all(bytes(1_000_000))


async def test_a_cut_watch_ends_early_and_an_answer_is_whole() -> None:
    async with Chain(chaos("--cut 1"), Service()).open() as sender:
        assert await Client(sender).get("x") == "fine"
        async with Client(sender).watch("x") as events:
            assert len([event async for event in events]) < 100


async def test_a_slow_stream_is_as_slow_as_told_and_whole(autojump_clock: MockClock) -> None:
    async with Chain(chaos("--slow 10KiB/s"), Service()).open() as sender:
        stream = await Client(sender).connect("x")
        began = trio.current_time()
        sent, received = random.Random(1).randbytes(20 * 1024), bytearray()
        async with stream, trio.open_nursery() as nursery:

            async def send() -> None:
                await stream.send_all(sent)
                await stream.send_eof()

            nursery.start_soon(send)
            while data := await stream.receive_some():
                received += data
        assert received == sent
        assert trio.current_time() - began == pytest.approx(2, rel=0.1)


async def test_retry_over_chaos_succeeds_where_one_try_fails(autojump_clock: MockClock) -> None:
    tried: list[Request] = []

    @dataclass
    class Notes(Filter):
        async def send(self, request: Request) -> None:
            tried.append(request)
            await self.next.send(request)

    async with Chain(Retry(max_attempts=9), Notes(), chaos("--errors '*=0.5'"), Service()).open() as sender:
        for _ in range(30):
            await Client(sender).spawn()
    assert len(tried) == pytest.approx(60, abs=20)


async def test_what_no_fault_meets_passes_as_if_there_were_no_chaos() -> None:
    async with Chain(chaos("--errors 'rm *=1' --filter 'rm *' --latency 1h"), Service()).open() as sender:
        with trio.fail_after(5):
            assert await Client(sender).get("x") == "fine"


async def test_the_seed_that_was_taken_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    async with connect("chaos --errors 'ls*=0.5'"):
        pass
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert int(record.message.rpartition(" ")[2]) >= 0


async def test_a_caller_that_goes_away_ends_the_wait() -> None:
    service = Service()
    async with Chain(chaos("--latency 1h"), service).open() as sender:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Client(sender).get, "x")
            await wait_all_tasks_blocked()
            assert nursery.child_tasks, "the call waits"
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
    assert service.happened == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--latency soon", "lognormal"),
        ("--latency 'uniform(1ms)'", "lognormal"),
        ("--latency 'exponential(0)'", "lognormal"),
        ("--latency 'lognormal(0ms,1)'", "lognormal"),
        ("--errors ls", "PATTERN=VALUE"),
        ("--errors ls=2", "from 0 to 1"),
        ("--errors ls=0.1:unavailabel", "unavailable"),
        ("--drop 1.5", "from 0 to 1"),
        ("--cut nan", "from 0 to 1"),
        ("--slow 5/s/s", "64KiB/s"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        Chain.read(f"chaos {options}")


def test_an_error_that_is_none_of_ours_is_internal() -> None:
    assert chaos("--errors 'ls=1:internal'").errors[0].value == "1:" + Internal.code
