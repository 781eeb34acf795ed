"""retry: what failed is asked again, where that can do no harm, and only there."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock, memory_stream_one_way_pair, wait_all_tasks_blocked

from swarmlib import (
    UNSENT,
    Chain,
    Client,
    Conflict,
    Invalid,
    Request,
    Server,
    Set,
    SwarmError,
    TimedOut,
    Unavailable,
    Verb,
)
from swarmlib_backends.retry import Retry

Failure = Callable[[], SwarmError]


def down() -> SwarmError:
    return Unavailable("it went away meanwhile")


def unsent() -> SwarmError:
    return Unavailable("connection refused", details={UNSENT: True})


@dataclass(eq=False)
class Flaky(Server):
    """Fails as often as told, then answers; notes when it was asked."""

    failures: list[Failure] = field(default_factory=list[Failure])
    before: int = 0
    read: bool = False
    asked: list[float] = field(default_factory=list[float])

    async def get(self, request: Request) -> None:
        self.asked.append(trio.current_time())
        for number in range(self.before):
            await request.reply.set(number)
        if self.read and request.upload is not None:
            assert await request.upload.receive_some() == b"body"
        if self.failures:
            raise self.failures.pop(0)()
        await request.reply.set("fine")
        await request.reply.ack()

    ls = spawn = stop = file = get


async def ask(stage: Server, verb: Verb, *path: str, retry: Retry | None = None, **fields: object) -> list[object]:
    """The values that a caller behind `retry` sees."""
    async with Chain(retry or Retry(), stage).open() as sender:
        answer = await Client(sender).call(verb, path, **fields)
        return [reply.json for reply in answer.before if isinstance(reply, Set)]


@pytest.mark.parametrize("failure", [down, unsent, lambda: TimedOut("late")])
async def test_a_look_that_failed_is_asked_again(failure: Failure, autojump_clock: MockClock) -> None:
    assert await ask(Flaky([failure, failure]), Verb.GET, "x") == ["fine"]


async def test_a_failure_of_the_request_itself_is_final(autojump_clock: MockClock) -> None:
    stage = Flaky([lambda: Conflict("taken")])
    with pytest.raises(Conflict):
        await ask(stage, Verb.GET, "x")
    assert len(stage.asked) == 1


async def test_what_changes_something_is_asked_again_only_if_it_did_not_happen(autojump_clock: MockClock) -> None:
    assert await ask(Flaky([unsent]), Verb.SPAWN, "containers") == ["fine"]
    stage = Flaky([down])
    with pytest.raises(Unavailable, match="meanwhile"):
        await ask(stage, Verb.SPAWN, "containers")
    assert len(stage.asked) == 1


async def test_what_is_named_may_happen_twice(autojump_clock: MockClock) -> None:
    assert await ask(Flaky([down]), Verb.STOP, "containers", "a", retry=Retry(also=["stop containers/*"])) == ["fine"]
    with pytest.raises(Unavailable):
        await ask(Flaky([down]), Verb.STOP, "exec", "a", retry=Retry(also=["stop containers/*"]))


async def test_the_pauses_double_and_the_last_failure_is_the_answer(autojump_clock: MockClock) -> None:
    stage = Flaky([down] * 9)
    with pytest.raises(Unavailable):
        await ask(stage, Verb.GET, "x", retry=Retry(max_attempts=5, backoff=1, max_backoff=3))
    pauses = [after - before for before, after in zip(stage.asked, stage.asked[1:], strict=False)]
    for pause, most in zip(pauses, (1, 2, 3, 3), strict=True):
        assert most / 2 <= pause <= most


async def test_a_pause_that_the_deadline_cuts_short_is_not_begun(autojump_clock: MockClock) -> None:
    stage = Flaky([down] * 9)
    with pytest.raises(Unavailable, match="meanwhile"), trio.fail_after(10):
        await ask(stage, Verb.GET, "x", retry=Retry(max_attempts=9, backoff=4, max_backoff=60))
    assert trio.current_time() - stage.asked[0] < 10


async def test_replies_of_a_failed_look_do_not_reach_the_caller(autojump_clock: MockClock) -> None:
    assert await ask(Flaky([down], before=2), Verb.LS, "x") == [0, 1, "fine"]


async def test_a_change_of_which_the_caller_has_seen_a_reply_has_had_its_chance(autojump_clock: MockClock) -> None:
    stage = Flaky([unsent], before=1)
    with pytest.raises(Unavailable):
        await ask(stage, Verb.SPAWN, "images")
    assert len(stage.asked) == 1


@pytest.mark.parametrize(("read", "asked"), [(True, 1), (False, 2)])
async def test_an_upload_is_sent_again_only_if_nothing_of_it_was_read(
    read: bool, asked: int, autojump_clock: MockClock
) -> None:
    stage = Flaky([unsent], read=read)
    body, upload = memory_stream_one_way_pair()
    await body.send_all(b"body")
    try:
        await ask(stage, Verb.FILE, "containers", "a", upload=upload)
    except Unavailable:
        assert asked == 1
    assert len(stage.asked) == asked


async def test_a_caller_that_goes_away_ends_it_all() -> None:
    class Slow(Server):
        ended = trio.Event()

        async def get(self, _: Request) -> None:
            try:
                await trio.sleep_forever()
            finally:
                self.ended.set()

    stage = Slow()
    async with Chain(Retry(), stage).open() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(Client(sender).get, "x")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert stage.ended.is_set()


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(Invalid, match="--max-attempts"):
        Chain.read("retry --max-attempts 0")
    assert Chain.read("retry --max-attempts 1").backends == (Retry(max_attempts=1),)
