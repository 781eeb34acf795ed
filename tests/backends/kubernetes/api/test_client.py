"""The calls to an apiserver: what is sent, what is repeated, how calls and streams end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from swarmlib import UNSENT, BadAnswer, Conflict, Denied, Invalid, NotFound, TimedOut, TooLarge, Unavailable
from swarmlib_backends.kubernetes.api import client
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.credentials import Fixed, Shown, TokenFile, bearer
from tests.support.scripted_http import Answer, Asked, Script, Served, served

PATH = "/api/v1/namespaces/ci/pods"
BUSY = {"kind": "Status", "status": "Failure", "reason": "TooManyRequests", "message": "too busy", "code": 429}


@pytest.fixture
def autojump_clock(autojump_clock: MockClock) -> MockClock:
    """Skips the waiting, but not while the loopback carries something."""
    autojump_clock.autojump_threshold = 0.02
    return autojump_clock


@asynccontextmanager
async def opened(script: Script, **options: object) -> AsyncIterator[tuple[Api, Served]]:
    async with served(script) as server, Api.open(Access(server.url, **options)) as api:
        yield api, server


def error(reason: str, code: int, **details: object) -> dict[str, object]:
    return {
        "kind": "Status",
        "status": "Failure",
        "reason": reason,
        "message": reason,
        "code": code,
        "details": details,
    }


async def test_a_call_shows_who_calls_and_returns_the_object() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({"kind": "Pod", "items": [1]})

    access = {
        "credentials": Fixed(Shown(bearer("s3cret"))),
        "impersonation": (("Impersonate-User", "jane"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")),
    }
    async with opened(script, **access) as (api, server):
        assert await api.get(PATH, {"labelSelector": "a=b,c"}) == {"kind": "Pod", "items": [1]}
        await api.post(PATH, {"kind": "Pod"}, [("dryRun", "All"), ("fieldManager", "swarmlib")])
    get, post = server.asked
    assert (get.method, get.path, get.params, get.body) == ("GET", PATH, [("labelSelector", "a=b,c")], b"")
    assert get.header("Authorization") == "Bearer s3cret"
    assert [value for name, value in get.headers if name.lower() == "impersonate-group"] == ["a", "b"]
    assert get.header("Accept-Encoding") is None
    assert (post.method, post.body) == ("POST", b'{"kind":"Pod"}')
    assert post.params == [("dryRun", "All"), ("fieldManager", "swarmlib")]
    assert post.header("Content-Type") == "application/json"


@pytest.mark.parametrize(
    ("body", "form"), [({"a": 1}, "merge-patch"), ([{"op": "test", "path": "/a", "value": 1}], "json-patch")]
)
async def test_a_patch_is_of_the_form_of_its_body(body: object, form: str) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({})

    async with opened(script) as (api, server):
        await api.patch(PATH + "/a", body)
    assert server.asked[0].header("Content-Type") == f"application/{form}+json"


async def test_a_name_is_sent_as_it_is_and_leads_nowhere_else() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({})

    async with opened(script) as (api, server):
        await api.get("/api/v1/namespaces/ci/pods/a%2F..%2Fb")
    assert server.asked[0].path == "/api/v1/namespaces/ci/pods/a%2F..%2Fb"


async def test_an_error_keeps_what_the_apiserver_said() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json(error("AlreadyExists", 409, kind="pods", name="web"), 409)

    async with opened(script) as (api, _):
        with pytest.raises(Conflict) as raised:
            await api.post(PATH, {})
    assert raised.value.details == {"reason": "AlreadyExists", "code": 409, "kind": "pods", "name": "web"}


async def test_a_redirect_is_not_followed() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.whole(b"", 302, {"Location": "http://127.0.0.1:1/stolen"})

    async with opened(script, credentials=Fixed(Shown(bearer("s3cret")))) as (api, server):
        with pytest.raises(BadAnswer, match="the cluster answered 302"):
            await api.get(PATH)
    assert [asked.path for asked in server.asked] == [PATH]


# What is repeated.


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_call_that_was_refused_as_too_many_is_repeated_when_the_cluster_says(
    method: str, autojump_clock: MockClock
) -> None:
    times: list[float] = []

    async def script(asked: Asked, answer: Answer) -> None:
        times.append(trio.current_time())
        if len(times) == 1:
            await answer.json(BUSY, 429, {"Retry-After": "7"})
        elif len(times) == 2:
            await answer.json({**BUSY, "details": {"retryAfterSeconds": 3}}, 429)
        else:
            await answer.json({"ok": True})

    async with opened(script) as (api, _):
        assert await (api.get(PATH) if method == "get" else api.post(PATH, {})) == {"ok": True}
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [7, 3]


async def test_a_cluster_that_asks_to_wait_for_long_is_unavailable_at_once(autojump_clock: MockClock) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json(BUSY, 429, {"Retry-After": "31"})

    async with opened(script) as (api, server):
        with pytest.raises(Unavailable, match="too busy") as raised:
            await api.get(PATH)
    assert raised.value.details["retry_after"] == 31
    assert len(server.asked) == 1


async def test_a_cluster_that_stays_busy_is_unavailable(autojump_clock: MockClock) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json(BUSY, 429)

    async with opened(script) as (api, server):
        with pytest.raises(Unavailable, match="too busy"):
            await api.post(PATH, {})
    assert len(server.asked) == 5


async def test_what_may_have_had_an_effect_is_not_repeated(autojump_clock: MockClock) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        return  # breaks the connection after it has read the request

    async with opened(script) as (api, server):
        for call in (api.post(PATH, {}), api.put(PATH, {}), api.patch(PATH, {}), api.delete(PATH)):
            with pytest.raises(Unavailable, match=r"the connection to http://127.0.0.1:[0-9]+ broke") as raised:
                await call
            assert UNSENT not in raised.value.details
    assert [asked.method for asked in server.asked] == ["POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize("broken", ["before the head", "in the body", "503"])
async def test_a_get_is_repeated_when_its_answer_breaks(broken: str, autojump_clock: MockClock) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        if len(server.asked) == 3:
            await answer.json({"ok": True})
        elif broken == "in the body":
            await answer.begin(200, {"Content-Length": "1000"})
            await answer.send(b'{"ok"')
        elif broken == "503":
            await answer.whole(b"no server is available", 503)

    async with opened(script) as (api, server):
        assert await api.get(PATH) == {"ok": True}
    assert len(server.asked) == 3


async def test_a_cluster_that_is_not_there_was_sent_nothing(autojump_clock: MockClock) -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with Api.open(Access(f"http://127.0.0.1:{port}")) as api:
        with pytest.raises(Unavailable, match=f"can't connect to http://127.0.0.1:{port}: ") as raised:
            await api.post(PATH, {})
    assert raised.value.details[UNSENT] is True


# Deadlines and bounds.


@pytest.mark.parametrize("silent", ["before the head", "in the body"])
async def test_a_silent_cluster_is_waited_for_no_longer_than_the_deadline(
    silent: str, autojump_clock: MockClock
) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        if silent == "in the body":
            await answer.begin(200)
        await trio.sleep_forever()

    async with opened(script) as (api, server):
        began = trio.current_time()
        with pytest.raises(TimedOut, match=f"did not answer within 75 s: GET {PATH}"):
            await api.get(PATH)
        assert trio.current_time() - began == pytest.approx(75, abs=1)
        with pytest.raises(TimedOut):
            await api.post(PATH, {})
    assert len(server.asked) == 2


async def test_a_stream_has_a_deadline_for_its_beginning_only(autojump_clock: MockClock) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        if len(server.asked) > 1:
            await trio.sleep_forever()
        await answer.begin(200)
        await trio.sleep(10 * 3600)
        await answer.send(b"late")
        await answer.end()

    async with opened(script) as (api, server):
        async with api.stream(PATH) as stream:
            assert await stream.receive_some() == b"late"
            assert await stream.receive_some() == b""
        with pytest.raises(TimedOut):
            async with api.stream(PATH):
                pass


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_BODY", 100_000)

    async def script(asked: Asked, answer: Answer) -> None:
        await answer.begin(200 if asked.path == PATH else 403)
        while True:
            await answer.send(b"x" * 10_000)

    async with opened(script) as (api, server):
        with pytest.raises(TooLarge, match="the answer of the cluster is longer than 100000 bytes"):
            await api.get(PATH)
        with pytest.raises(TooLarge):
            await api.get("/error")
        while server.connections:
            await trio.lowlevel.checkpoint()


async def test_an_endless_head_is_cut_off(autojump_clock: MockClock) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.stream.send_all(b"HTTP/1.1 200 OK\r\n")
        while True:
            await answer.stream.send_all(b"A: " + b"x" * 1000 + b"\r\n")

    async with opened(script) as (api, _):
        with pytest.raises(Unavailable, match="broke"):
            await api.post(PATH, {})


@pytest.mark.parametrize(
    "head", [b"\x00", b"HTTP/1.1 999999 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"]
)
async def test_an_answer_that_is_not_http_is_a_broken_connection(head: bytes) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.stream.send_all(head)

    async with opened(script) as (api, _):
        with pytest.raises(Unavailable, match="broke"):
            await api.post(PATH, {})


@pytest.mark.parametrize("body", [b"", b"{", b"ok", b"\xff", b"[" * 100_000 + b"]" * 100_000])
async def test_an_answer_that_is_not_json_is_a_bad_one(body: bytes) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.whole(body)

    async with opened(script) as (api, server):
        with pytest.raises(BadAnswer, match="not JSON"):
            await api.get(PATH)
    assert len(server.asked) == 1


# Streams.


async def test_a_stream_that_is_left_early_closes_its_connection() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.begin(200)
        await answer.send(b"x" * 100)
        await trio.sleep_forever() if asked.path == "/silent" else await pour(answer)

    async def pour(answer: Answer) -> None:
        while True:
            await answer.send(b"y" * 1000)

    async with opened(script) as (api, server):
        for path in ("/silent", "/talking"):
            async with api.stream(path) as stream:
                assert await stream.receive_some(10) == b"x" * 10
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some()
            with trio.CancelScope() as scope:
                async with api.stream(path) as stream:
                    scope.cancel()
                    await stream.receive_some()
        server.cut()


async def test_a_stream_that_breaks_off_says_so() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.begin(200)
        await answer.send(b"x")

    async with opened(script) as (api, _), api.stream(PATH) as stream:
        assert await stream.receive_some() == b"x"
        with pytest.raises(trio.BrokenResourceError, match="the connection to the cluster broke"):
            await stream.receive_some()


async def test_there_is_no_maximum_of_streams() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        if asked.path == "/watch":
            await answer.begin(200)
            await answer.send(b"x")
            await trio.sleep_forever()
        await answer.json({})

    async with opened(script) as (api, _), trio.open_nursery() as nursery:

        async def hold(*, task_status: trio.TaskStatus[None]) -> None:
            async with api.stream("/watch") as stream:
                assert await stream.receive_some() == b"x"
                task_status.started()
                await stream.receive_some()

        for _ in range(110):  # httpx's own maximum is 100
            await nursery.start(hold)
        assert await api.get("/another") == {}
        nursery.cancel_scope.cancel()


async def test_connections_are_used_again() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({})

    async with opened(script) as (api, server):
        for _ in range(20):
            await api.get(PATH)
        assert len(server.connections) == 1


# Upgrades.

UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", "v4.channel.k8s.io"))


async def test_an_upgraded_connection_is_a_stream_both_ways() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.switch("SPDY/3.1", after=b"at once")
        while data := await answer.stream.receive_some():
            await answer.stream.send_all(data.upper())

    async with opened(script) as (api, server):
        params = [("command", "echo"), ("command", "hello you"), ("stdout", "true")]
        async with api.upgrade("POST", PATH + "/a/exec", params, UPGRADE) as upgraded:
            assert (upgraded.status, upgraded.headers["upgrade"]) == (101, "SPDY/3.1")
            assert await upgraded.stream.receive_some() == b"at once"
            await upgraded.stream.send_all(b"echo")
            assert await upgraded.stream.receive_some(2) == b"EC"
            assert await upgraded.stream.receive_some() == b"HO"
        with pytest.raises(trio.ClosedResourceError):
            await upgraded.stream.send_all(b"too late")
    assert server.asked[0].params == params
    assert server.asked[0].header("X-Stream-Protocol-Version") == "v4.channel.k8s.io"


async def test_an_upgraded_connection_that_breaks_says_so() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.switch("SPDY/3.1")
        await answer.stream.receive_some()

    async with opened(script) as (api, server), api.upgrade("POST", PATH, (), UPGRADE) as upgraded:
        await upgraded.stream.send_all(b"x")
        assert await upgraded.stream.receive_some() == b""
        server.cut()
        with pytest.raises(trio.BrokenResourceError):
            await upgraded.stream.send_all(b"x" * 64_000_000)


async def test_a_refused_upgrade_is_the_apiservers_error() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        if asked.path == "/plain":
            await answer.json({})
        else:
            await answer.json(error("NotFound", 404, kind="pods", name="a"), 404)

    async with opened(script) as (api, _):
        with pytest.raises(NotFound) as raised:
            async with api.upgrade("GET", PATH, (), UPGRADE):
                pass
        with pytest.raises(BadAnswer, match="answered 200 where 101 was expected"):
            async with api.upgrade("GET", "/plain", (), UPGRADE):
                pass
    assert raised.value.details["code"] == 404


@pytest.mark.parametrize("cut", [True, False])
async def test_an_upgrade_is_not_repeated_as_it_may_have_started_something(cut: bool) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        if not cut:
            await answer.json(error("InternalError", 500), 500)

    async with opened(script) as (api, server):
        with pytest.raises(Unavailable):
            async with api.upgrade("GET", PATH + "/a/exec", (), UPGRADE):
                pass
    assert len(server.asked) == 1


async def test_an_upgrade_that_has_no_effect_is_repeated(autojump_clock: MockClock) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        if len(server.asked) == 3:
            await answer.switch("SPDY/3.1")

    async with opened(script) as (api, server):
        async with api.upgrade("POST", PATH + "/a/portforward", (), UPGRADE, repeatable=True) as upgraded:
            assert upgraded.status == 101
        assert len(server.asked) == 3


# Credentials.


async def test_a_token_is_read_again_when_the_cluster_refuses_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")

    async def script(asked: Asked, answer: Answer) -> None:
        if asked.header("Authorization") == "Bearer new":
            await answer.json({"ok": True})
        else:
            file.write_text("new\n")  # the kubelet replaces it meanwhile
            await answer.json(error("Unauthorized", 401), 401)

    async with opened(script, credentials=TokenFile(file, "the token")) as (api, server):
        assert await api.post(PATH, {}) == {"ok": True}
    assert len(server.asked) == 2


async def test_a_token_that_stays_the_same_is_not_shown_twice() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json(error("Unauthorized", 401), 401)

    async with opened(script, credentials=Fixed(Shown(bearer("wrong")))) as (api, server):
        with pytest.raises(Denied, match="Unauthorized"):
            await api.get(PATH)
    assert len(server.asked) == 1


async def test_a_secret_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({})

    async with opened(script) as (api, _):
        await api.get(PATH)
    async with opened(script, credentials=Fixed(Shown(bearer("s3cret\nInjected: yes")))) as (api, server):
        with pytest.raises(Invalid, match="can't be sent") as raised:
            await api.get(PATH)
        assert "s3cret" not in repr(api.access)
    assert server.asked == []
    assert "s3cret" not in str(raised.value)
    assert caplog.records == []
