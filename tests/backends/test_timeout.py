"""timeout: who waits too long is told so, and what worked for it is cancelled."""

from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock, memory_stream_one_way_pair, wait_all_tasks_blocked

from swarmlib import Ack, Chain, Client, Invalid, Request, Server, TimedOut, Verb, next_reply
from swarmlib_backends.timeout import Timeout


@dataclass(eq=False)
class Slow(Server):
    """Takes as many seconds as its path says over each step."""

    cancelled: list[str] = field(default_factory=list[str])

    async def get(self, request: Request) -> str:
        try:
            await trio.sleep(float(request.path[0]))
        except trio.Cancelled:
            self.cancelled.append(request.path[0])
            raise
        return "done"

    async def start(self, request: Request) -> None:
        await trio.sleep(float(request.path[1]))

    async def spawn(self, request: Request) -> None:
        for number in range(5):
            await request.reply.set(number)
            await trio.sleep(float(request.path[0]))

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        await trio.sleep(float(request.path[0]))
        await request.reply.set("event")

    async def file(self, request: Request) -> None:
        assert request.upload is not None
        while await request.upload.receive_some():
            pass
        await trio.sleep(float(request.path[0]))


async def test_what_takes_too_long_is_answered_and_cancelled(autojump_clock: MockClock) -> None:
    stage = Slow()
    async with Chain(Timeout(after=5), stage).open() as sender:
        assert await Client(sender).get("4") == "done"
        began = trio.current_time()
        with pytest.raises(TimedOut, match=r"get 6: timed out: nothing came within 5 s") as caught:
            await Client(sender).get("6")
        assert trio.current_time() - began == pytest.approx(5)
        await wait_all_tasks_blocked()
        assert (caught.value.backend, stage.cancelled) == ("timeout", ["6"])


async def test_each_kind_of_call_may_have_a_time_of_its_own(autojump_clock: MockClock) -> None:
    async with Chain(
        Chain.read("timeout --after 5 --rule 'start */6*=7' --rule start=9").backends[0], Slow()
    ).open() as to:
        await Client(to).start("6")
        with pytest.raises(TimedOut):
            await Client(to).start("7")


async def test_progress_is_a_sign_of_life(autojump_clock: MockClock) -> None:
    async with Chain(Timeout(after=5), Slow()).open() as sender:
        await Client(sender).spawn(None, "4")
        with pytest.raises(TimedOut):
            await Client(sender).spawn(None, "6")


async def test_a_watch_that_has_begun_may_be_silent(autojump_clock: MockClock) -> None:
    async with Chain(Timeout(after=5), Slow()).open() as sender, Client(sender).watch("1000") as events:
        assert [event async for event in events] == ["event"]


async def test_time_does_not_run_while_the_caller_is_behind(autojump_clock: MockClock) -> None:
    class Many(Server):
        async def spawn(self, request: Request) -> None:
            for number in range(100):
                await request.reply.set(number)

    async with Chain(Timeout(after=5), Many()).open() as sender, Client(sender).request(Verb.SPAWN) as replies:
        await trio.sleep(1000)
        verbs = [(await next_reply(replies)).kind for _ in range(101)]
    assert verbs == [Verb.SET] * 100 + [Ack.kind]


async def test_an_upload_may_take_as_long_as_its_sender_wants(autojump_clock: MockClock) -> None:
    async with Chain(Timeout(after=5), Slow()).open() as sender:
        for seconds, answered in (("4", True), ("6", False)):
            body, upload = memory_stream_one_way_pair()

            async def slowly(body: trio.abc.SendStream = body) -> None:
                for _ in range(3):
                    await trio.sleep(100)
                    await body.send_all(b"piece")
                await body.aclose()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(slowly)
                with nullcontext() if answered else pytest.raises(TimedOut):
                    await Client(sender).file(seconds, upload=upload)


async def test_the_callers_own_deadline_counts_too(autojump_clock: MockClock) -> None:
    async with Chain(Timeout(after=50), Slow()).open() as sender:
        with pytest.raises(trio.TooSlowError), trio.fail_after(1):
            await Client(sender).get("6")


@pytest.mark.parametrize(
    "text", ["timeout --after 0", "timeout --rule ls=soon", "timeout --rule ls", "timeout --rule ls=-1"]
)
def test_times_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"expected a number with a unit|must be more than 0|PATTERN=VALUE"):
        Chain.read(text)
