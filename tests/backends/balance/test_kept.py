"""Answers that are kept: until a topic is dropped, whatever overtakes what; and questions that callers share."""

from random import Random

import pytest
import trio
import trio.testing

from swarmlib import Ack, Json, Set, Unavailable
from swarmlib.asking import Answer
from swarmlib_backends.balance import kept as kept_module
from swarmlib_backends.balance.kept import Found, Kept
from swarmlib_backends.balance.made import Made, Part
from swarmlib_backends.balance.node import Node

ONE, OTHER = ("a", "one"), ("a", "other")


class Source:
    """Answers with the number of the question; `gate` holds the answers back."""

    def __init__(self, lasts: float = 100.0, *, exact: bool = True) -> None:
        self.asked = 0
        self.lasts = lasts
        self.exact = exact
        self.gate = trio.Event()
        self.gate.set()
        self.wrong: Unavailable | None = None

    async def ask(self, last: Found | None) -> Found:
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        if self.wrong is not None:
            raise self.wrong
        return Found([Set(Json(str(number).encode())), Ack()], self.lasts, self.exact)


async def read(kept: Kept, source: Source, key: bytes = b"key") -> int:
    answer = await kept.answer(key, [ONE], source.ask)
    first = answer.replies()[0]
    assert isinstance(first, Set)
    return int(first.json)


async def collect(found: list[int], kept: Kept, source: Source, scope: trio.CancelScope | None = None) -> None:
    """Add what is read to what other callers found, unless the caller leaves before."""
    with scope or trio.CancelScope():
        found.append(await read(kept, source))


@pytest.fixture
async def settled(autojump_clock: trio.testing.MockClock) -> Kept:
    return Kept()


async def test_an_answer_is_kept_until_its_topic_is_dropped_and_again_when_that_has_settled(settled: Kept) -> None:
    source = Source()
    assert [await read(settled, source) for _ in range(3)] == [1, 1, 1]
    settled.drop(OTHER)
    assert await read(settled, source) == 1
    settled.drop(ONE)
    assert [await read(settled, source) for _ in range(2)] == [2, 3]
    await trio.sleep(1.1)
    assert [await read(settled, source) for _ in range(2)] == [4, 4]
    settled.clear()
    assert await read(settled, source) == 5


async def test_an_answer_that_was_asked_for_before_a_change_is_not_kept(settled: Kept) -> None:
    source = Source()
    source.gate, found = trio.Event(), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, found, settled, source)
        await trio.testing.wait_all_tasks_blocked()
        settled.drop(ONE)
        await trio.sleep(5)
        source.gate.set()
    assert found == [1]
    assert await read(settled, source) == 2


async def test_an_answer_lasts_as_long_as_it_says_and_tells_its_age_if_it_is_not_exact(settled: Kept) -> None:
    source = Source(10.0, exact=False)
    assert await read(settled, source) == 1
    await trio.sleep(9)
    assert (await settled.answer(b"key", [ONE], source.ask)).age == pytest.approx(9, abs=0.5)
    await trio.sleep(1.1)
    assert await read(settled, source) == 2
    exact = await settled.answer(b"other", [ONE], Source().ask)
    assert exact.age is None


@pytest.mark.parametrize("lasts", [0.0, 100.0])
async def test_callers_share_a_question_that_is_sent_after_they_came(settled: Kept, lasts: float) -> None:
    source = Source(lasts)
    source.gate, found = trio.Event(), list[int]()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(collect, found, settled, source)
            await trio.testing.wait_all_tasks_blocked()
        source.gate.set()
    assert found == ([1, 2, 2, 2, 2] if lasts == 0 else [1, 1, 1, 1, 1])
    assert source.asked == max(found)


async def test_callers_that_wait_are_served_at_once_however_many_they_are(settled: Kept) -> None:
    source = Source(0.0)
    source.gate, found = trio.Event(), list[int]()
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(collect, found, settled, source)
        await trio.testing.wait_all_tasks_blocked()
        source.gate.set()
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        assert found == [1] * 50


async def test_an_error_is_shared_and_not_kept(settled: Kept) -> None:
    source = Source()
    source.gate, source.wrong = trio.Event(), Unavailable("down")
    raised: list[str] = []

    async def ask() -> None:
        with pytest.raises(Unavailable, match="down"):
            await read(settled, source)
        raised.append("down")

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
        source.gate.set()
    assert (len(raised), source.asked) == (5, 2)
    source.wrong = None
    assert await read(settled, source) == 3


async def test_when_the_caller_that_asks_leaves_another_one_asks(settled: Kept) -> None:
    source = Source()
    source.gate, found = trio.Event(), list[int]()
    async with trio.open_nursery() as nursery:
        leaves = trio.CancelScope()
        for scope in (leaves, trio.CancelScope()):
            nursery.start_soon(collect, found, settled, source, scope)
            await trio.testing.wait_all_tasks_blocked()
        leaves.cancel()
        await trio.testing.wait_all_tasks_blocked()
        source.gate.set()
    assert found == [2]


async def test_when_the_caller_that_would_ask_next_leaves_one_that_waits_with_it_asks(settled: Kept) -> None:
    source = Source(0.0)
    source.gate, found = trio.Event(), list[int]()
    async with trio.open_nursery() as nursery:
        leaves = trio.CancelScope()
        for scope in (trio.CancelScope(), leaves, trio.CancelScope(), trio.CancelScope()):
            nursery.start_soon(collect, found, settled, source, scope)
            await trio.testing.wait_all_tasks_blocked()
        leaves.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert source.asked == 1
        source.gate.set()
    assert found == [1, 2, 2]


@pytest.mark.parametrize("seed", range(5))
async def test_whoever_comes_and_leaves_no_answer_is_older_than_its_caller_and_one_question_is_under_way(
    settled: Kept, seed: int
) -> None:
    chance, now, under_way, served = Random(seed), trio.current_time, 0, 0

    async def ask(last: Found | None) -> Found:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        try:
            sent = now()
            await trio.sleep(chance.random())
            return Found([Set(Json.from_data(sent)), Ack()])
        finally:
            under_way -= 1

    async def call() -> None:
        nonlocal served
        await trio.sleep(5 * chance.random())
        came, patience = now(), chance.choice([0.2, 1, 100])
        with trio.move_on_after(patience) as scope:
            answer = await settled.answer(b"key", [ONE], ask)
            assert answer.asked >= came
        assert not scope.cancelled_caught or patience < 100
        served += not scope.cancelled_caught

    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(call)
    assert served > 10


async def test_what_is_kept_is_bounded(settled: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "_MOST_BYTES", 3500)
    source = Source()
    for key in (b"1", b"2", b"3"):
        await read(settled, source, key)
    assert await read(settled, source, b"1") == 1  # now "2" was not used for the longest time
    await read(settled, source, b"4")
    assert [await read(settled, source, key) for key in (b"1", b"3", b"4", b"2")] == [1, 3, 4, 5]


async def test_the_next_question_is_given_what_the_last_one_was_made_of_until_its_topic_is_dropped(
    settled: Kept,
) -> None:
    given: list[bytes | None] = []

    async def ask(last: Found | None) -> Found:
        given.append(last.made.parts[0].raw if last is not None and last.made is not None else None)
        made = Made(Answer(Ack(), []), (Part(Node("a"), {}, str(len(given)).encode()),))
        return Found([Ack()], made=made)

    for _ in range(2):
        await settled.answer(b"key", [ONE], ask)
    settled.drop(ONE)
    for _ in range(2):
        await settled.answer(b"key", [ONE], ask)
    assert given == [None, b"1", None, b"3"]


async def test_what_answers_were_made_of_is_bounded_with_what_is_kept(
    settled: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "_MOST_BYTES", 10_000)
    seen: list[bool] = []

    async def ask(last: Found | None) -> Found:
        seen.append(last is not None)
        return Found([Ack()], made=Made(Answer(Ack(), []), (Part(Node("a"), {}, bytes(4500)),)))

    for key in (b"1", b"1", b"2", b"1"):  # two take 11,000 bytes
        await settled.answer(key, [ONE], ask)
    assert seen == [False, True, False, False]
