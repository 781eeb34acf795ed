"""Watches: a reader sees everything that there is, and an unbroken row of changes, whatever happens to connections."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from swarmlib import Denied, SwarmError
from swarmlib_backends.kubernetes.api import client
from swarmlib_backends.kubernetes.api import watch as watching
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.resources import CONFIG_MAPS
from swarmlib_backends.kubernetes.api.watch import Change, Kind, watch
from tests.support.paths import DATA
from tests.support.scripted_http import Answer, Asked, Served, served

EXPIRED = {"kind": "Status", "reason": "Expired", "message": "too old resource version: 1 (9)", "code": 410}
FORBIDDEN = {"kind": "Status", "reason": "Forbidden", "message": "no", "code": 403}


@pytest.fixture
def autojump_clock(autojump_clock: MockClock) -> MockClock:
    """Skips the waiting, but not while the loopback carries something."""
    autojump_clock.autojump_threshold = 0.02
    return autojump_clock


def config_map(name: str, uid: str, version: str, namespace: str = "ci") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "uid": uid, "labels": {}, "resourceVersion": version}
    return {"metadata": metadata}


class Store:
    """The objects of one kind in a cluster, with their history since the last compaction."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.history: list[tuple[int, dict[str, Any]]] = []
        self.compacted = 0
        self.changed = trio.Event()
        self.page = 1000
        self.gone_as_status = False
        self.refuse: Callable[[Asked, Answer], Any] | None = None
        """Answers the next requests in place of the store, until it returns something false."""

    def put(self, name: str) -> None:
        before = self.objects.get(name)
        uid = before["metadata"]["uid"] if before else f"uid-{self.version}"
        self._happens("MODIFIED" if before else "ADDED", name, uid)

    def delete(self, name: str) -> None:
        if name in self.objects:
            self._happens("DELETED", name, self.objects[name]["metadata"]["uid"])
            del self.objects[name]

    def _happens(self, kind: str, name: str, uid: str) -> None:
        self.version += 1
        self.objects[name] = config_map(name, uid, str(self.version))
        self.history.append((self.version, {"type": kind, "object": self.objects[name]}))
        self._wake()

    def bookmark(self) -> None:
        self.version += 1
        event = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.version)}}}
        self.history.append((self.version, event))
        self._wake()

    def compact(self) -> None:
        self.version += 1
        self.compacted = self.version
        self.history.clear()
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def answer(self, asked: Asked, answer: Answer) -> None:
        if self.refuse and await self.refuse(asked, answer):
            return
        params = dict(asked.params)
        if "watch" in params:
            await self._tell(int(params["resourceVersion"]), answer)
        else:
            await self._list(params, answer)

    async def _list(self, params: dict[str, str], answer: Answer) -> None:
        begin = int(params.get("continue", 0))
        items = list(self.objects.values())
        metadata = {"resourceVersion": str(self.version)}
        if begin + self.page < len(items):
            metadata["continue"] = str(begin + self.page)
        await answer.json({"metadata": metadata, "items": items[begin : begin + self.page] or None})

    async def _tell(self, version: int, answer: Answer) -> None:
        if version < self.compacted and self.gone_as_status:
            await answer.json(EXPIRED, 410)
            return
        await answer.begin(200)
        while True:
            changed = self.changed
            if version < self.compacted:
                await answer.lines({"type": "ERROR", "object": EXPIRED})
                await answer.end()
                return
            await answer.lines(*(event for at, event in self.history if at > version))
            version = self.version
            await changed.wait()


class View:
    """What a reader knows by the changes that it was told, held to their meaning."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], str] = {}
        self.told: list[str] = []
        self.synced = False
        self._stirred = trio.Event()

    def stir(self) -> None:
        """Have those look again who wait."""
        self._stirred.set()
        self._stirred = trio.Event()

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until something is so that depends on what was told, or on what the server was asked."""
        with trio.fail_after(1000):
            while not ready():
                await self._stirred.wait()

    def take(self, change: Change) -> None:
        self.stir()
        if change.kind is Kind.SYNCED:
            assert not self.synced
            self.synced = True
            return
        metadata = change.object["metadata"]
        key, version = (metadata["name"], metadata["uid"]), metadata["resourceVersion"]
        self.told.append(f"{change.kind.value} {metadata['name']}")
        if change.kind is Kind.ADDED:
            assert key not in self.known
        else:
            assert key in self.known
        if change.kind is Kind.DELETED:
            del self.known[key]
        else:
            assert self.known.get(key) != version
            self.known[key] = version

    def agrees(self, store: Store) -> bool:
        there = {
            (each["metadata"]["name"], each["metadata"]["uid"]): each["metadata"]["resourceVersion"]
            for each in store.objects.values()
        }
        return self.synced and self.known == there


@asynccontextmanager
async def watched(store: Store) -> AsyncIterator[tuple[View, Served]]:
    """A reader's view of a store, kept up to date."""
    view = View()

    async def script(asked: Asked, answer: Answer) -> None:
        view.stir()
        await store.answer(asked, answer)

    async with served(script) as server, Api.open(Access(server.url)) as api, trio.open_nursery() as nursery:

        async def read() -> None:
            async with watch(api, CONFIG_MAPS, "ci", "a=b") as changes:
                async for change in changes:
                    view.take(change)

        nursery.start_soon(read)
        yield view, server
        nursery.cancel_scope.cancel()


async def test_first_everything_then_every_change(autojump_clock: MockClock) -> None:
    store = Store()
    store.put("a")
    store.put("b")
    async with watched(store) as (view, server):
        await view.until(lambda: view.synced)
        assert view.told == ["ADDED a", "ADDED b"]
        store.put("b")
        store.put("c")
        store.delete("a")
        await view.until(lambda: view.agrees(store))
        assert view.told[2:] == ["MODIFIED b", "ADDED c", "DELETED a"]
    listing, watching = server.asked
    assert listing.path == watching.path == "/api/v1/namespaces/ci/configmaps"
    assert dict(listing.params) == {"labelSelector": "a=b", "limit": "100"}
    assert dict(watching.params) == {
        "labelSelector": "a=b",
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": "3",
        "timeoutSeconds": "240",
    }


async def test_a_list_is_asked_for_in_pages(autojump_clock: MockClock) -> None:
    store = Store()
    store.page = 2
    for name in "abcde":
        store.put(name)
    async with watched(store) as (view, server):
        await view.until(lambda: view.agrees(store))
    assert [dict(asked.params).get("continue") for asked in server.asked[:3]] == [None, "2", "4"]


async def test_a_list_whose_pages_expire_is_begun_again(autojump_clock: MockClock) -> None:
    store = Store()
    store.page = 2
    for name in "abc":
        store.put(name)

    async def refuse(asked: Asked, answer: Answer) -> bool:
        if "continue" not in dict(asked.params):
            return False
        store.refuse = None
        store.put("d")
        await answer.json(EXPIRED, 410)
        return True

    store.refuse = refuse
    async with watched(store) as (view, _):
        await view.until(lambda: view.agrees(store))
    assert view.told == ["ADDED a", "ADDED b", "ADDED c", "ADDED d"]


async def test_a_broken_connection_is_resumed_where_it_broke(autojump_clock: MockClock) -> None:
    store = Store()
    async with watched(store) as (view, server):
        store.put("a")
        await view.until(lambda: view.agrees(store))
        server.cut()
        store.put("b")
        await view.until(lambda: view.agrees(store))
    assert view.told == ["ADDED a", "ADDED b"]
    assert dict(server.asked[-1].params)["resourceVersion"] == "2"


async def test_a_bookmark_moves_the_version(autojump_clock: MockClock) -> None:
    store = Store()
    async with watched(store) as (view, server):
        await view.until(lambda: view.synced)
        store.bookmark()
        store.bookmark()
        await trio.testing.wait_all_tasks_blocked(0.05)
        server.cut()
        await view.until(lambda: len(server.asked) > 2)
    assert [dict(asked.params).get("resourceVersion") for asked in server.asked] == [None, "1", "3"]


@pytest.mark.parametrize("gone_as_status", [False, True])
async def test_after_a_compaction_the_differences_are_told(
    gone_as_status: bool, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    store.gone_as_status = gone_as_status
    for name in ("same", "other", "gone", "again"):
        store.put(name)
    async with watched(store) as (view, server):
        await view.until(lambda: view.agrees(store))
        server.cut()
        store.put("other")
        store.delete("gone")
        store.delete("again")
        store.put("again")
        store.put("new")
        store.compact()
        await view.until(lambda: view.agrees(store))
        assert sorted(view.told[4:]) == ["ADDED again", "ADDED new", "DELETED again", "DELETED gone", "MODIFIED other"]
        assert view.told.index("DELETED again") < view.told.index("ADDED again", 4)
        store.put("later")
        await view.until(lambda: view.agrees(store))


async def test_the_error_of_the_first_list_is_raised() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json(FORBIDDEN, 403)

    async with served(script) as server, Api.open(Access(server.url)) as api:
        with pytest.raises(Denied, match="no"):
            async with watch(api, CONFIG_MAPS, "ci") as changes:
                await anext(aiter(changes))


async def test_a_later_error_is_logged_once_and_tried_again_ever_more_slowly(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    times: list[float] = []

    async def refuse(asked: Asked, answer: Answer) -> bool:
        times.append(trio.current_time())
        await answer.json(FORBIDDEN, 403)
        return True

    async with watched(store) as (view, server):
        await view.until(lambda: view.synced)
        store.refuse = refuse
        server.cut()
        with trio.move_on_after(300):
            await trio.sleep_forever()
        assert 10 < len(times) < 40
        store.refuse = None
        store.put("a")
        await view.until(lambda: view.agrees(store))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "the watch of /api/v1/namespaces/ci/configmaps broke" in caplog.text


async def test_a_cluster_can_t_put_a_watch_off_for_long(autojump_clock: MockClock) -> None:
    store = Store()

    async def refuse(asked: Asked, answer: Answer) -> bool:
        store.refuse = None
        busy = {"kind": "Status", "reason": "TooManyRequests", "message": "busy", "code": 429}
        await answer.json(busy, 429, {"Retry-After": "99999"})
        return True

    async with watched(store) as (view, server):
        await view.until(lambda: view.synced)
        store.refuse = refuse
        store.put("a")
        server.cut()
        began = trio.current_time()
        await view.until(lambda: view.agrees(store))
        assert trio.current_time() - began < 40


async def test_a_silent_connection_is_given_up(autojump_clock: MockClock) -> None:
    """Its other side is gone, but nobody said so."""
    store = Store()

    async def refuse(asked: Asked, answer: Answer) -> bool:
        if "watch" not in dict(asked.params):
            return False
        store.refuse = None
        await answer.begin(200)
        await trio.sleep_forever()
        return True

    store.refuse = refuse
    async with watched(store) as (view, server):
        await view.until(lambda: len(server.asked) == 2)
        store.put("a")
        began = trio.current_time()
        await view.until(lambda: view.agrees(store))
        assert trio.current_time() - began == pytest.approx(270, abs=5)


async def test_a_cluster_that_ends_each_request_at_once_is_not_asked_in_a_loop(autojump_clock: MockClock) -> None:
    store = Store()

    async def refuse(asked: Asked, answer: Answer) -> bool:
        if "watch" not in dict(asked.params):
            return False
        await answer.whole(b"")
        return True

    store.refuse = refuse
    async with watched(store) as (_, server):
        with trio.move_on_after(300):
            await trio.sleep_forever()
        assert len(server.asked) < 40


OBJECT = config_map("x", "u", "5")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'"ADDED"',
        b"\xff\xfe",
        orjson.dumps({"type": "SURPRISE", "object": OBJECT}),
        orjson.dumps({"type": ["ADDED"], "object": OBJECT}),
        orjson.dumps({"object": OBJECT}),
        orjson.dumps({"type": "ADDED"}),
        orjson.dumps({"type": "ADDED", "object": [OBJECT]}),
        orjson.dumps({"type": "ADDED", "object": {}}),
        orjson.dumps({"type": "DELETED", "object": {"metadata": {"name": "x"}}}),
        orjson.dumps({"type": "ADDED", "object": {"metadata": {"name": 1, "resourceVersion": "5"}}}),
        orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": 5}}}),
        orjson.dumps({"type": "ERROR", "object": "no"}),
        orjson.dumps({"type": "ERROR", "object": {"code": "x"}}),
        b"x" * 2000,
    ],
)
async def test_a_malformed_event_ends_only_its_request(
    line: bytes, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MAX_LINE", 1000)
    store = Store()

    async def refuse(asked: Asked, answer: Answer) -> bool:
        if "watch" not in dict(asked.params):
            return False
        store.refuse = None
        await answer.begin(200)
        await answer.send(line + b"\n")
        await trio.sleep_forever()
        return True

    store.refuse = refuse
    async with watched(store) as (view, _):
        await view.until(lambda: view.synced)
        store.put("a")
        await view.until(lambda: view.agrees(store))
    assert view.told == ["ADDED a"]


@pytest.mark.parametrize("items", ["no", [1], {"a": 1}])
async def test_a_malformed_list_is_an_error(items: Any) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({"metadata": {"resourceVersion": "1"}, "items": items})

    async with served(script) as server, Api.open(Access(server.url)) as api:
        with pytest.raises(SwarmError, match=r"malformed|expected"):
            async with watch(api, CONFIG_MAPS, "ci") as changes:
                await anext(aiter(changes))


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"metadata": {"name": "x"}},
        {**OBJECT, "data": {"x": 1}},
        config_map("../x", "u", "5"),
        config_map("x", "u", "five"),
        config_map("x", "u", "5", namespace="other"),
    ],
)
async def test_a_malformed_object_of_a_list_is_left_out(item: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({"metadata": {"resourceVersion": "6"}, "items": [item, config_map("good", "g", "6")]})

    async with (
        served(script) as server,
        Api.open(Access(server.url)) as api,
        watch(api, CONFIG_MAPS, "ci") as changes,
    ):
        told = [await anext(changes), await anext(changes)]
    assert [each.kind for each in told] == [Kind.ADDED, Kind.SYNCED]
    assert told[0].object["metadata"]["name"] == "good"
    assert [each.message for each in caplog.records if "left out of" in each.message]


async def test_an_object_that_becomes_malformed_stays_what_it_was_until_it_is_deleted() -> None:
    events = [
        {"type": "MODIFIED", "object": {**config_map("x", "u", "6"), "data": 1}},
        {"type": "DELETED", "object": {**config_map("x", "u", "7"), "data": 1}},
    ]

    async def script(asked: Asked, answer: Answer) -> None:
        if "watch" not in dict(asked.params):
            await answer.json({"metadata": {"resourceVersion": "5"}, "items": [OBJECT]})
            return
        await answer.begin(200)
        await answer.lines(*events)
        await trio.sleep_forever()

    async with (
        served(script) as server,
        Api.open(Access(server.url)) as api,
        watch(api, CONFIG_MAPS, "ci") as changes,
    ):
        told = [await anext(changes) for _ in range(3)]
    assert told == [
        Change(Kind.ADDED, OBJECT),
        Change(Kind.SYNCED, {}),
        Change(Kind.DELETED, config_map("x", "u", "7")),
    ]


async def test_endless_objects_end_only_their_request(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watching, "MAX_OBJECTS", 3)
    store = Store()
    async with watched(store) as (view, _):
        await view.until(lambda: view.synced)
        for name in "abcd":
            store.put(name)
        await view.until(lambda: len(view.told) == 3)
        store.delete("a")
        await view.until(lambda: view.agrees(store))
    assert sorted(view.told[3:]) == ["ADDED d", "DELETED a"]
    assert "told of more than 3 objects" in caplog.text


async def test_what_a_real_cluster_told_of_pods_is_understood() -> None:
    events = orjson.loads((DATA / "kubernetes/watch-pods-1.20.2.json").read_bytes())

    async def script(asked: Asked, answer: Answer) -> None:
        if "watch" not in dict(asked.params):
            await answer.json({"metadata": {"resourceVersion": "1"}, "items": []})
            return
        await answer.begin(200)
        await answer.lines(*events)
        await trio.sleep_forever()

    view = View()
    async with (
        served(script) as server,
        Api.open(Access(server.url)) as api,
        watch(api, CONFIG_MAPS, "rec") as changes,
    ):
        async for change in changes:
            view.take(change)
            if len(view.told) == len(events):
                break
    assert [told.split()[0] for told in view.told] == [event["type"] for event in events]


STEPS = st.lists(
    st.sampled_from(["cut", "compact", "bookmark", "rest"])
    | st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abc")),
    max_size=12,
)


@given(STEPS, st.booleans())
async def test_whatever_happens_the_view_becomes_that_of_the_store(
    steps: list[str | tuple[str, str]], gone_as_status: bool
) -> None:
    store = Store()
    store.gone_as_status = gone_as_status
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(watching, "_FIRST_PAUSE", 0.0)
        patched.setattr(client, "_FIRST_PAUSE", 0.0)
        async with watched(store) as (view, server):
            await _play(steps, store, server)
            server.cut()
            with trio.fail_after(10):
                await view.until(lambda: view.agrees(store))


async def _play(steps: list[str | tuple[str, str]], store: Store, server: Served) -> None:
    for step in steps:
        match step:
            case "cut":
                server.cut()
            case "compact":
                store.compact()
            case "bookmark":
                store.bookmark()
            case "rest":
                await trio.testing.wait_all_tasks_blocked(0.001)
            case (action, name):
                store.put(name) if action == "put" else store.delete(name)
