"""A cluster, or what stands in for one, that misuses lists and watches: it is asked ever more slowly; nothing grows."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio
from trio.testing import MockClock

from swarmlib import BadAnswer, TooLarge
from swarmlib_backends.kubernetes.api import lists, sparing
from swarmlib_backends.kubernetes.api import watch as watching
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.lists import listed
from swarmlib_backends.kubernetes.api.resources import CONFIG_MAPS
from swarmlib_backends.kubernetes.api.watch import watch
from swarmlib_backends.kubernetes.following import Body, Following
from tests.backends.kubernetes.api.test_watch import EXPIRED, config_map
from tests.support.scripted_http import Answer, Asked, Served, served

PATH = CONFIG_MAPS.path("ci")
LISTED = {"metadata": {"resourceVersion": "5"}, "items": [config_map("known", "u", "5")]}
SECONDS = 100
"""How long a reader stands what a cluster does, by the clock of the test."""
SEVERAL = 30
"""More requests than a reader may make in that time."""

Events = Callable[[Answer, int], Awaitable[None]]
"""Answers a watch; it is told how many there were before."""


@pytest.fixture
def autojump_clock(autojump_clock: MockClock) -> MockClock:
    """Skips the waiting, but not while the loopback carries something."""
    autojump_clock.autojump_threshold = 0.02
    return autojump_clock


@asynccontextmanager
async def listing(script: Callable[[Asked, Answer], Awaitable[None]]) -> AsyncGenerator[tuple[Api, Served]]:
    async with served(script) as server, Api.open(Access(server.url)) as api:
        yield api, server


async def suffered(events: Events, found: Any = LISTED) -> tuple[list[Asked], list[str]]:
    """What a reader asks of a cluster in `SECONDS`, which answers watches so; and what the reader is told."""
    told: list[str] = []

    async def script(asked: Asked, answer: Answer) -> None:
        if "watch" in dict(asked.params):
            await events(answer, sum("watch" in dict(each.params) for each in server.asked) - 1)
        else:
            await answer.json(found)

    async with listing(script) as (api, server):
        with trio.move_on_after(SECONDS):
            async with watch(api, CONFIG_MAPS, "ci") as changes:
                async for change in changes:
                    told.append(f"{change.kind.value} {change.object.get('metadata', {}).get('resourceVersion', '')}")
        return list(server.asked), told


def jsonl(*events: Any) -> bytes:
    return b"".join(orjson.dumps(event) + b"\n" for event in events)


def bookmark(version: int) -> dict[str, Any]:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}


def modified(version: int, **more: Any) -> dict[str, Any]:
    return {"type": "MODIFIED", "object": {**config_map("known", "u", str(version)), **more}}


async def test_endless_bookmarks_are_not_read_for_ever(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    sent = 0

    async def events(answer: Answer, before: int) -> None:
        nonlocal sent
        await answer.begin(200)
        for number in range(6, 10_000_000, 500):
            await answer.send(jsonl(*map(bookmark, range(number, number + 500))))
            sent += 500

    asked, told = await suffered(events)
    assert (len(asked) < SEVERAL, told) == (True, ["ADDED 5", "SYNCED "])
    assert sent < len(asked) * 50_000, "what the sockets hold is all that can be sent unread"
    assert "more than 1000 events in a row that say nothing new" in caplog.text


@pytest.mark.parametrize("repeated", [[modified(5)], [modified(3), bookmark(2), modified(1)], [modified(6)]])
async def test_a_version_that_repeats_or_goes_back_tells_nothing(
    repeated: list[Any], autojump_clock: MockClock
) -> None:
    async def events(answer: Answer, before: int) -> None:
        await answer.begin(200)
        await answer.send(jsonl(*repeated * 2000))

    asked, told = await suffered(events)
    assert len(asked) < SEVERAL
    assert told[:2] == ["ADDED 5", "SYNCED "]
    assert len(told) <= 2 + len(asked), "each list and each watch may tell one change"
    assert {*told[2:]} <= {"MODIFIED 5", "MODIFIED 6"}


async def test_a_watch_is_resumed_from_where_it_was_whatever_its_bookmarks_say(autojump_clock: MockClock) -> None:
    async def events(answer: Answer, before: int) -> None:
        await answer.begin(200)
        await answer.lines(bookmark(9), bookmark(2))
        await answer.end()

    asked, _ = await suffered(events)
    assert [dict(each.params).get("resourceVersion") for each in asked[:3]] == [None, "5", "9"]


@pytest.mark.parametrize("last", [[], [bookmark(10**6)], [{"type": "ERROR", "object": EXPIRED}]], ids=str)
async def test_a_watch_that_ends_at_once_each_time_is_asked_for_ever_more_slowly(
    last: list[Any], autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if it tells something each time before it ends."""

    async def events(answer: Answer, before: int) -> None:
        await answer.begin(200)
        await answer.lines(bookmark(10 + before), modified(20 + before), *last)
        await answer.end()

    asked, _ = await suffered(events)
    assert 4 < len(asked) < SEVERAL
    assert len(caplog.records) <= 1


async def test_an_expiry_at_each_list_is_not_asked_for_in_a_loop(autojump_clock: MockClock) -> None:
    expired = False

    async def script(asked: Asked, answer: Answer) -> None:
        nonlocal expired
        if "watch" not in dict(asked.params) and not expired:
            await answer.json(LISTED)
        else:
            expired = True
            await answer.json(EXPIRED, 410)

    async with listing(script) as (api, server):
        with trio.move_on_after(SECONDS):
            async with watch(api, CONFIG_MAPS, "ci") as changes:
                async for _ in changes:
                    pass
        assert 4 < len(server.asked) < SEVERAL


class Maps(Following):
    """Follows ConfigMaps, as the mirror of a gateway does."""

    def note(self, body: Body, *, gone: bool) -> None:
        pass


@pytest.mark.parametrize(
    ("answered", "wrong"),
    [
        ({"metadata": {"resourceVersion": "1", "continue": "again"}, "items": []}, "goes on where it was before"),
        ({"metadata": {"resourceVersion": "1"}, "items": ["x" * 9_000_000]}, "an object of more than 8388608 bytes"),
        ({"metadata": {}, "items": []}, "malformed list of /api/v1/namespaces/ci/configmaps"),
        ({"metadata": {"resourceVersion": "1"}, "items": {}}, "malformed list"),
        ([], "malformed list"),
        (EXPIRED, "malformed list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_list_that_can_t_be_read_is_tried_again_ever_more_slowly(
    answered: Any, wrong: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json(answered)

    async with listing(script) as (api, server), trio.open_nursery() as nursery:
        followed = Maps(api, "ci", [CONFIG_MAPS])
        nursery.start_soon(followed.run)
        with pytest.raises(Exception, match=wrong):
            await followed.ready()
        with trio.move_on_after(SECONDS):
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()
        assert 4 < len(server.asked) < SEVERAL
    assert len([each for each in caplog.records if wrong in each.message]) == 1


async def test_a_list_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_PAGES", 5)

    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({"metadata": {"resourceVersion": "1", "continue": str(len(server.asked))}, "items": []})

    async with listing(script) as (api, server):
        with pytest.raises(TooLarge, match="5 pages"):
            await listed(api, PATH)
    assert len(server.asked) == 5


async def test_pages_that_go_round_in_a_circle_are_noticed() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        following = {"": "a", "a": "b", "b": "c", "c": "a"}[dict(asked.params).get("continue", "")]
        await answer.json({"metadata": {"resourceVersion": "1", "continue": following}, "items": []})

    async with listing(script) as (api, server):
        with pytest.raises(BadAnswer, match=f"the list of {PATH} goes on where it was before"):
            await listed(api, PATH)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("bound", "value", "wrong"), [("MAX_OBJECTS", 10, "10 objects"), ("MAX_LIST", 1000, "1000 bytes")]
)
async def test_an_endless_list_is_cut_off(bound: str, value: int, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, bound, value)
    items = [config_map("x", "u", "5")] * 4

    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({"metadata": {"resourceVersion": "1", "continue": str(len(server.asked))}, "items": items})

    async with listing(script) as (api, server):
        with pytest.raises(TooLarge, match=f"more than {wrong}"):
            await listed(api, PATH)
    assert len(server.asked) == 3


async def test_an_object_of_a_hundred_mebibytes_is_not_kept(autojump_clock: MockClock) -> None:
    piece = b"x" * (1 << 20)

    async def events(answer: Answer, before: int) -> None:
        await answer.begin(200)
        await answer.send(b'{"type": "ADDED", "object": {"data": {"a": "')
        for _ in range(100):
            await answer.send(piece)

    tracemalloc.start()
    try:
        asked, told = await suffered(events)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(asked) < SEVERAL, told) == (True, ["ADDED 5", "SYNCED "])
    assert peak < 40 << 20


async def test_warnings_of_malformed_objects_are_no_flood(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def events(answer: Answer, before: int) -> None:
        await answer.begin(200)
        begin = 10 + before * 1000
        await answer.send(jsonl(*(modified(begin + number, data=1) for number in range(500))))
        await trio.sleep(70)

    caplog.set_level(logging.WARNING)
    asked, told = await suffered(events)
    assert told == ["ADDED 5", "SYNCED "]
    assert len(caplog.records) <= (sparing.MOST + 2) * len(asked)
    assert f"{500 - sparing.MOST} more warnings like the last ones were not logged" in caplog.text


async def test_lines_without_anything_end_the_request(autojump_clock: MockClock) -> None:
    async def events(answer: Answer, before: int) -> None:
        await answer.begin(200)
        for _ in range(200):
            await answer.send(b"\n" * (1 << 16))

    asked, _ = await suffered(events)
    assert len(asked) < SEVERAL


def test_the_bounds_are_what_an_apiserver_keeps_to() -> None:
    assert lists.PAGE * 1_500_000 < 256 << 20
    assert watching.MAX_LINE == lists.MAX_OBJECT
    assert len(orjson.dumps(bookmark(1))) < 100
