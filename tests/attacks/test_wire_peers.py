"""Peers of `listen` and far sides of `remote` that say what no honest one does: it ends their call, or their session,
and nothing else; no stage sees it; nothing of it stays.
"""

import array
import logging
import math
import os
import random
import resource
import socket
import subprocess
import sys
import types
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgpack
import pytest
import trio

from swarmlib import (
    Ack,
    BadAnswer,
    Chain,
    Client,
    Error,
    Invalid,
    Meta,
    Request,
    SwarmError,
    Unavailable,
    Verb,
    connect,
)
from swarmlib.wire import driver, reader, writer
from swarmlib.wire.channels import Channels
from swarmlib.wire.events import Received
from swarmlib.wire.frames import HEAD, Type, frame
from swarmlib.wire.limits import TOLD, Limits
from swarmlib.wire.outbox import Outbox
from swarmlib.wire.plain_data import MAX_NESTED
from swarmlib.wire.references import RefKind
from swarmlib.wire.session import Session
from swarmlib.wire.table import SERVICE
from swarmlib.wire.validation import MAX_DEPTH, MAX_NAME
from swarmlib.wire.windows import gather
from swarmlib_backends import DockerServer, Listen, Remote
from swarmlib_backends import listen as listen_module
from swarmlib_backends.edge import Edge
from tests.support.engines import wait_until
from tests.support.wire_peers import Leaf, Peer, far_side, http, peer_of, reference, reply, request


@asynccontextmanager
async def listening(tmp_path: Path, *limits: str) -> AsyncGenerator[tuple[str, Leaf]]:
    """A service that listens on a unix socket: its path, and the service."""
    leaf, path = Leaf(), f"{tmp_path}/l.sock"
    async with Chain(Listen([f"unix://{path}"], limit=list(limits)), leaf).open():
        yield path, leaf


@asynccontextmanager
async def no_bug_is_logged(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[None]:
    caplog.set_level(logging.ERROR)
    yield
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# Requests.


def nested(depth: int, of: type[list[Any] | tuple[Any, ...]]) -> Any:
    found: Any = of()
    for _ in range(depth):
        found = of([found])
    return found


def tuples(depth: int) -> Any:
    """Tuples in tuples, as they are on the wire."""
    found = msgpack.ExtType(6, msgpack.packb([]))
    for _ in range(depth):
        found = msgpack.ExtType(6, msgpack.packb([found]))
    return found


SMUGGLED = "1.41/_ping HTTP/1.1\r\nHost: x\r\n\r\nDELETE /containers/v1?force=1 HTTP/1.1\r\nHost: x\r\n\r\n"
WRONG_REQUESTS: dict[str, dict[str, Any]] = {
    "a path that leads up": {"path": ["containers", "../canary"]},
    "another spelling": {"path": ["containers", "./web"]},
    "an empty name": {"path": ["containers", ""]},
    "a control character in a name": {"path": ["containers", "a\r\nb"]},
    "a path of 65 parts": {"path": ["a"] * 65},
    "a path of 9000 characters": {"path": ["a" * 9000]},
    "a smuggled request in the version": {"meta": ["", SMUGGLED, []]},
    "a version that UTF-8 alone can hold": {"meta": ["", "1.41\U0001f433", []]},
    "a smuggled header": {"meta": ["", "", [["x-registry-auth", "a\r\nX: y"]]]},
    "a smuggled header behind an honest one": {"meta": ["", "1.41", [["a", "b"], ["a", "b\n"]]]},
    "a header's name with a line end": {"meta": ["", "", [["x-a\r\nX", "y"]]]},
    "a header's name in capitals": {"meta": ["", "", [["Version", "1.41"]]]},
    "a header's name with a colon": {"meta": ["", "", [[":version", "1.41"]]]},
    "a header's name with a space": {"meta": ["", "", [["x a", "y"]]]},
    "a header without a name": {"meta": ["", "", [["", "y"]]]},
    "a header that UTF-8 alone can hold": {"meta": ["", "", [["x-registry-auth", "\U0001f433"]]]},
    "a header with a NUL": {"meta": ["", "", [["x", "a\0"]]]},
    "300 headers": {"meta": ["", "", [["x", "y"]] * 300]},
    "a control character in a parameter's name": {"params": {"a\nb": "1"}},
    "a parameter's name that is no UTF-8": {"params": {msgpack.ExtType(7, b"\xff"): "1"}},
    "a long name": {"params": {"a" * (MAX_NAME + 1): "1"}},
    "a name that is bytes": {"params": {b"all": "1"}},
    "a name that is a number": {"params": {5: "1"}},
    "a map by number": {"params": {"a": {5: 1}}},
    "a map by bytes": {"params": {"a": {b"a": 1}}},
    "not a number": {"params": {"a": math.nan}},
    "an endless number": {"params": {"a": [{"b": -math.inf}]}},
    "lists too deep": {"params": {"a": nested(MAX_DEPTH, list)}},
    "lists far too deep": {"params": {"a": nested(450, list)}},
    "tuples too deep": {"params": {"a": tuples(MAX_NESTED)}},
    "a time": {"params": {"a": msgpack.Timestamp(5, 5)}},
    "300 parameters": {"params": {f"a{n}": "1" for n in range(300)}},
}


@pytest.mark.parametrize("wrong", WRONG_REQUESTS.values(), ids=list(WRONG_REQUESTS))
async def test_a_wrong_request_is_refused_to_that_call_only(
    wrong: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with no_bug_is_logged(caplog), listening(tmp_path) as (path, leaf), peer_of(path) as peer:
        for verb in ("get", "rm", "spawn", "attach"):
            refused = await peer.call(verb, **wrong)
            assert isinstance(refused, Error)
            assert refused.error.code in ("invalid", "too_large"), refused.error
        assert leaf.seen == []
        assert isinstance(await peer.call(), Ack)  # the session goes on
        assert [asked.path for asked in leaf.seen] == [("containers", "web")]


MALFORMED: dict[str, dict[str, Any]] = {
    "no channel for the replies": {"reply": None},
    "a stream for the replies": {"reply": reference(2, 3)},
    "an unknown verb": {"verb": "teapot"},
    "a reply for a verb": {"verb": "ack"},
    "a path that is text": {"path": "web"},
    "parameters that are a list": {"params": [1]},
    "a body that is text": {"body": "{}"},
    "a body that is an upload": {"body": reference(2, 3)},
    "an upload both ways": {"upload": reference(3, 5)},
    "a caller alone": {"meta": ["cert:admin"]},
    "a version that is a number": {"meta": ["", 1.41, []]},
    "a version that is a list": {"meta": ["", ["1.41"], []]},
    "headers that are a map": {"meta": ["", "", {"x": "a"}]},
    "a header of three": {"meta": ["", "", [["x", "a", "b"]]]},
    "a header that is a list": {"meta": ["", "", [["x", ["a"]]]]},
    "a header that is a number": {"meta": ["", "", [["x", 5]]]},
    "a header by number": {"meta": ["", "", [[5, "a"]]]},
    "a channel among the headers": {"meta": ["", "", [["x", reference(1, 3)]]]},
    "a channel among the parameters": {"params": {"a": reference(1, 3)}},
    "no time left": {"left": -1},
}


@pytest.mark.parametrize("wrong", MALFORMED.values(), ids=list(MALFORMED))
async def test_what_is_no_request_ends_its_session_only_and_reaches_no_stage(
    wrong: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with no_bug_is_logged(caplog), listening(tmp_path) as (path, leaf), peer_of(path) as other:
        async with peer_of(path) as peer:
            await peer.say(frame(Type.MESSAGE, 0, request(**{"reply": reference(1, 1), **wrong})))
            with trio.fail_after(5):
                while (said := await peer.next_frame())[0] not in (Type.BYE, 0):
                    pass
            assert said[0] == Type.BYE
            assert msgpack.unpackb(said[2])[0] == "invalid"
        assert leaf.seen == []
        assert isinstance(await other.call(), Ack)


async def test_what_honest_sources_say_of_a_call_passes_and_the_caller_is_stamped(tmp_path: Path) -> None:
    params = {
        ":caller": "cert:admin",  # parameters as any other: nothing of a call's meta is among them
        ":version": "1.0",
        "caller": "cert:admin",
        "filters": '{"a":\n["b"]}',
        "names": ["a", "b"],
        "": "",
        "big": 2**64 - 1,
        "pair": msgpack.ExtType(6, msgpack.packb([b"a", 1.5])),
        "path": msgpack.ExtType(7, b"/caf\xe9"),
    }
    headers = [
        ["x-registry-auth", "eyJhIjoiYiJ9"],
        ["content-type", "text/plain;\tcharset=\xfc"],
        ["x", "a"],
        ["x", ""],
    ]
    async with listening(tmp_path) as (path, leaf), peer_of(path) as peer:
        for claimed in ("cert:admin\r\n", "", f"uid:{os.getuid()}"):
            assert isinstance(
                (await peer.call(path=("things", "web"), params=params, meta=[claimed, "1.41", headers])), Ack
            )
        assert isinstance(await peer.call(), Ack)
    stamped = f"uid:{os.getuid()}"
    for asked in leaf.seen[:3]:
        assert asked.params == {**params, "pair": (b"a", 1.5), "path": "/caf\udce9"}
        assert asked.meta == Meta(stamped, "1.41", tuple((name, value) for name, value in headers))
    assert leaf.seen[3].meta == Meta(stamped)


async def test_one_client_of_a_gateway_does_not_end_the_calls_of_the_others(tmp_path: Path) -> None:
    """What a client sends goes over a session that it shares with others."""
    gateway = f"{tmp_path}/d.sock"
    async with (
        listening(tmp_path) as (path, leaf),
        Chain(DockerServer([f"unix://{gateway}"]), Remote(f"unix://{path}")).open(),
        peer_of(path),
    ):
        many = b"&".join(b"a%d=1" % n for n in range(300))
        for target in (b"/containers/json?" + many, b"/containers/" + b"a" * 9000 + b"/json"):
            answer = await http(gateway, b"GET %s HTTP/1.1\r\nHost: d\r\n\r\n" % target)
            assert answer.split()[1][:1] == b"4", answer
        async with connect(Remote(f"unix://{path}")) as swarm:
            assert await swarm.get("web")
        assert b" 200 " in await http(gateway, b"GET /containers/json HTTP/1.1\r\nHost: d\r\n\r\n")
        assert {asked.path for asked in leaf.seen} == {("web",), ("containers",)}


async def test_the_canonical_form_is_asked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(request: Request) -> Request:
        raise Invalid("it has no canonical form")

    monkeypatch.setattr("swarmlib_backends.edge.canonical", refuses)
    leaf = Leaf()
    async with leaf.open(trio.abc.SendChannel) as inlet:  # type: ignore[arg-type]
        with pytest.raises(Invalid, match="no canonical form"):
            await Edge(inlet).send(Request(Verb.GET))
    assert leaf.seen == []


# Replies.


def error(*fields: Any) -> dict[str, Any]:
    return {"kind": "error", "value": msgpack.packb(list(fields))}


WRONG_REPLIES: dict[str, dict[str, Any]] = {
    "an error that is JSON": {"kind": "error", "value": b"{}"},
    "an error that is nothing": {"kind": "error", "value": b""},
    "an error of three fields": error("invalid", "", ""),
    "an error of an unknown code": error("teapot", "short and stout", "", [], {}),
    "an error whose code is a number": error(5, "", "", [], {}),
    "an error whose text is a number": error("invalid", 5, "", [], {}),
    "an error whose path is a number": error("invalid", "", "", 5, {}),
    "an error whose details are a list": error("invalid", "", "", [], []),
    "an error whose details are by number": error("invalid", "", "", [], {5: 5}),
    "an error whose details are too deep": error("invalid", "", "", [], {"a": nested(MAX_DEPTH + 1, list)}),
    "an error whose details are not finite": error("invalid", "", "", [], {"status": math.nan}),
    "an error whose details are a time": error("invalid", "", "", [], {"status": msgpack.Timestamp(5, 5)}),
    "an error with a reference in it": error("invalid", "", "", [], {"a": reference(1, 7)}),
    "an error that is no msgpack": {"kind": "error", "value": b"\xc1"},
    "details by number": {"kind": "ack", "details": {5: 5}},
    "details that are not finite": {"kind": "set", "value": b"{}", "details": {"status": math.inf}},
    "details of a line that are not finite": {"kind": "log", "value": b"", "details": {"status": math.inf}},
    "details that are too deep": {"kind": "ack", "details": {"headers": nested(400, list)}},
    "300 details": {"kind": "ack", "details": {f"a{n}": 1 for n in range(300)}},
    "a control character in the name of a detail": {"kind": "ack", "details": {"a\r\nb": 1}},
}


@pytest.mark.parametrize("wrong", WRONG_REPLIES.values(), ids=list(WRONG_REPLIES))
async def test_a_wrong_reply_ends_its_call_and_names_who_said_it(
    wrong: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(peer: Peer) -> None:
        _, channel = await peer.request()
        await peer.say(frame(Type.MESSAGE, channel, reply(**wrong)))
        _, channel = await peer.request()
        await peer.say(frame(Type.MESSAGE, channel, reply("set", b'"well"')))
        await peer.say(frame(Type.LAST, channel, reply()))
        await peer.next_frame()

    path = f"{tmp_path}/f.sock"
    async with no_bug_is_logged(caplog), far_side(path, serve), connect(Remote(f"unix://{path}")) as swarm:
        with trio.fail_after(5), pytest.raises(BadAnswer) as bad:
            await swarm.get("web")
        assert str(bad.value)
        if wrong["kind"] != "error":
            assert bad.value.backend == f"remote unix://{path}"
        with trio.fail_after(5):
            assert await swarm.get("web") == "well"  # the session goes on


AN_ERROR = msgpack.packb(["denied", "", "", [], {}])


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe not json", b"[" * 100_000, b"", b"{} {}", b"NaN", b"a line", AN_ERROR], ids=lambda raw: raw[:9]
)
async def test_a_reply_that_is_no_json_is_the_fault_of_who_said_it(raw: bytes, tmp_path: Path) -> None:
    async def serve(peer: Peer) -> None:
        for _ in range(2):
            _, channel = await peer.request()
            for piece in ("set", "ack"):
                await peer.say(frame(Type.MESSAGE, channel, reply(piece, raw[:60_000])))

    path = f"{tmp_path}/f.sock"
    async with far_side(path, serve), connect(Remote(f"unix://{path}")) as swarm:
        for _ in range(2):
            with trio.fail_after(5), pytest.raises(BadAnswer, match="not JSON"):
                await swarm.get("web")


GARBAGE = {
    "noise": os.urandom(4096),
    "http": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a frame that is too long": HEAD.pack(2**32 - 1, Type.MESSAGE, 0),
    "an unknown type": frame(Type.HELLO)[:4] + b"\x63" + bytes(8),
    "a second HELLO": frame(Type.HELLO, 0, b"\x80"),
    "no message": frame(Type.MESSAGE, 1, b"\xc1"),
    "nested a thousand times": frame(Type.MESSAGE, 1, b"\x91" * 1000 + b"\x90"),
    "an unknown channel": frame(Type.MESSAGE, 99, reply()),
    "a request on a channel of replies": frame(Type.MESSAGE, 1, request(reply=reference(1, 2))),
    "a verb for a reply": frame(Type.MESSAGE, 1, reply("ls")),
    "an error without one": frame(Type.MESSAGE, 1, reply("error")),
    "an error with details beside it": frame(Type.MESSAGE, 1, reply("error", b"", {"a": 1})),
    "a log without a line": frame(Type.MESSAGE, 1, reply("log")),
    "an object that gives a stream": frame(Type.MESSAGE, 1, reply("set", b"{}", stream=reference(2, 2))),
    "an ack that gives a channel": frame(Type.MESSAGE, 1, reply("ack", stream=reference(1, 2))),
    "a reply that says where replies go": frame(Type.MESSAGE, 1, reply("ack", details={"channel": reference(1, 2)})),
    "a value that is text": frame(Type.MESSAGE, 1, reply("set", "{}")),
    "a body for who asked": frame(Type.MESSAGE, 0, reply("set", b"{}")),
    "two acks": frame(Type.MESSAGE, 1, reply()) * 2,
    "a BYE of lists": frame(Type.BYE, 0, b"\x92" + b"\x91" * 500 + b"\x90\xa0"),
    "a BYE": frame(Type.BYE, 0, msgpack.packb(["invalid", "x" * 60_000])),
    "the end": b"",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=list(GARBAGE))
async def test_garbage_ends_the_connection_with_an_error_to_all_and_it_is_made_again(
    garbage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = 0

    async def serve(peer: Peer) -> None:
        nonlocal sessions
        sessions += 1
        for number in range(3):
            _, channel = await peer.request()
            if sessions == 2:
                await peer.say(frame(Type.LAST, channel, reply("ack", b'"well"')))
                return await trio.sleep_forever()
            if number == 1:
                await peer.say(garbage)
                return None
        return None

    failed: list[SwarmError] = []

    async def ask(swarm: Client) -> None:
        with pytest.raises(SwarmError) as raised:
            await swarm.get("web")
        failed.append(raised.value)

    path = f"{tmp_path}/f.sock"
    async with no_bug_is_logged(caplog), far_side(path, serve), connect(Remote(f"unix://{path}")) as swarm:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, swarm)
                nursery.start_soon(ask, swarm)
            assert all(len(str(exc)) < 2000 for exc in failed)
            while True:
                with suppress(Unavailable):  # until it is there again
                    assert await swarm.get("web") == "well"
                    break
                await trio.sleep(0.02)
    if garbage != GARBAGE["two acks"]:  # the first of which is an answer
        assert [type(exc) for exc in failed] == [Unavailable, Unavailable]


# What is raised in a session ends that one.


class Broke(Exception):
    """What no code expects."""


def is_trios_own(run: Coroutine[Any, Any, Any]) -> bool:
    """Whether the await is that for a nursery's tasks, which trio itself relies on."""
    frames = trio.lowlevel.Task.iter_await_frames(types.SimpleNamespace(coro=run))  # type: ignore[arg-type]
    return any(frame.f_code.co_name == "_nested_child_finished" for frame, _ in frames)


@types.coroutine
def failing(run: Coroutine[Any, Any, Any], at: int, count: list[int]) -> Generator[Any, Any, Any]:
    """Run a coroutine whose await number `at` raises, once it is over; `count` is how many there were."""
    try:
        trap = run.send(None)
        while True:
            try:
                sent = yield trap
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it is for the coroutine
                trap = run.throw(exc)
            else:
                count[0] += not is_trios_own(run)
                trap = run.throw(Broke("here")) if count[0] == at and not is_trios_own(run) else run.send(sent)
    except StopIteration as stop:
        return stop.value


PARTS = {
    "session": (listen_module._Session, "run"),  # pyright: ignore[reportPrivateUsage]
    "reader": (reader.Reader, "run"),
    "writer": (writer.Writer, "run"),
    "keeper": (driver.Driver, "keep_time"),
}


@pytest.mark.parametrize("part", PARTS)
async def test_whatever_an_await_raises_ends_that_session_and_no_other(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner, name = PARTS[part]
    real = getattr(owner, name)
    at, count, peers = 0, [0], 0

    async def replaced(self: Any, *args: Any) -> Any:
        return await (failing(real(self, *args), at, count) if at else real(self, *args))

    monkeypatch.setattr(owner, name, replaced)
    async with listening(tmp_path) as (path, _):
        async with peer_of(path) as other:
            for at in range(1, 40):
                count[0] = 0
                caplog.clear()
                with suppress(AssertionError, trio.BrokenResourceError), trio.move_on_after(0.3):
                    async with peer_of(path) as peer:
                        peers += 1
                        for _ in range(3):
                            await peer.call()
                        await peer.say(frame(Type.PING, 0, bytes(8)))
                        await peer.next_frame()
                await trio.testing.wait_all_tasks_blocked(0.01)
                now, at = at, 0
                with trio.fail_after(5):
                    assert isinstance(await other.call(), Ack)
                raised = [record for record in caplog.records if record.levelno >= logging.ERROR]
                if count[0] < now:
                    break
                assert len(raised) == 1, [record.getMessage() for record in raised]
                assert "Broke: here" in raised[0].getMessage()
        async with peer_of(path) as last:
            assert isinstance(await last.call(), Ack)
    assert now > 1, "no await was made to raise"


async def ended(stream: trio.abc.ReceiveStream) -> None:
    """Wait until the other side has closed the connection."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass


async def test_silent_connections_make_room_and_sessions_do_not() -> None:
    leaf = Leaf()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    far = f"tcp://127.0.0.1:{port}"
    async with Chain(Listen([far], max_connections=2), leaf).open(), connect(Remote(far)) as first:
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3)]
        with trio.fail_after(5):
            await ended(silent[0])
            await ended(silent[1])
        async with connect(Remote(far)) as second, await trio.open_tcp_stream("127.0.0.1", port) as refused:
            with trio.fail_after(5):
                await ended(refused)
            assert await first.get("web")
            assert await second.get("web")
        for stream in silent:
            await stream.aclose()


def test_silent_connections_shut_nobody_out_where_few_descriptors_are_allowed(tmp_path: Path) -> None:
    path = f"{tmp_path}/l.sock"
    command = [sys.executable, "-m", "swarmd", f"listen unix://{path}", "simulator"]
    limit = resource.RLIMIT_NOFILE
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, stderr=log, preexec_fn=lambda: resource.setrlimit(limit, (64, 64)))
    silent: list[socket.socket] = []

    async def lists() -> None:
        async with connect(Remote(f"unix://{path}")) as swarm:
            assert await swarm.ls("containers") == []

    try:
        wait_until(lambda: os.path.exists(path), "listen", running)
        for _ in range(100):
            silent.append(socket.socket(socket.AF_UNIX))
            silent[-1].settimeout(5)
            silent[-1].connect(path)
        trio.run(lists)
    finally:
        for each in silent:
            each.close()
        running.terminate()
        assert running.wait(20) == 143
    assert "can't accept" not in (tmp_path / "log").read_text()


async def test_a_tcp_client_that_resets_ends_nothing() -> None:
    leaf = Leaf()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with Chain(Listen([f"tcp://127.0.0.1:{port}"]), leaf).open():
        for _ in range(200):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await trio.lowlevel.checkpoint()
        async with connect(Remote(f"tcp://127.0.0.1:{port}")) as swarm:
            assert await swarm.get("web")


# What is left behind, and how much.


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_descriptors_that_a_peer_passes_are_nobodys(tmp_path: Path) -> None:
    async with listening(tmp_path) as (path, _), peer_of(path) as peer:
        assert isinstance(peer.stream, trio.SocketStream)
        before = open_files()
        pipes = [os.pipe() for _ in range(40)]
        for reading, _ in pipes:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [reading]))]
            await peer.stream.socket.sendmsg([frame(Type.PING, 0, bytes(8))], rights)
        for end in (end for pipe in pipes for end in pipe):
            os.close(end)
        assert isinstance(await peer.call(), Ack)
        assert open_files() == before


async def test_silent_uploads_take_no_threads(tmp_path: Path) -> None:
    async with listening(tmp_path) as (path, leaf), peer_of(path) as peer:
        for _ in range(100):
            refs = {"reply": reference(1, peer.number()), "upload": reference(2, peer.number())}
            await peer.say(frame(Type.MESSAGE, 0, request("file", **refs)))
        with trio.fail_after(5):
            assert isinstance(await peer.call(), Ack)
            assert await trio.to_thread.run_sync(lambda: "a thread is free") == "a thread is free"
        assert len(leaf.seen) == 101


async def test_a_peer_that_never_reads_is_asked_for_no_more(tmp_path: Path) -> None:
    """It may have as many answers waiting as it was given credit for; then it breaks the rules."""

    async def flood() -> None:
        while True:
            asked = [request(path=["a" * 4000], reply=reference(1, peer.number())) for _ in range(50)]
            await peer.say(*(frame(Type.MESSAGE, 0, payload) for payload in asked))

    async with listening(tmp_path) as (path, leaf), peer_of(path) as peer:
        with trio.fail_after(20), pytest.raises(trio.BrokenResourceError):
            await flood()
        assert len(leaf.seen) < 1000


def test_credit_is_held_back_while_answers_wait_and_given_when_they_go() -> None:
    sides = [Session(initiator=first, now=0.0, limits=Limits(credit=4, outbox=1000)) for first in (True, False)]
    for side, other in (sides, sides[::-1], sides):
        other.receive(side.take(), 0.0)
    ours, theirs = (side.channels for side in sides)
    for _ in range(4):
        ours.send(SERVICE, Request(Verb.LS), 0.0)
    events = sides[1].receive(sides[0].take(), 0.0)
    sides[1].outbox.put(bytes(2000))  # answers that the peer has not read
    assert [theirs.taken(event) for event in events if isinstance(event, Received)] == [False] * 4
    sides[1].outbox.take(theirs.emptied)
    theirs.pay()
    sides[0].receive(sides[1].take(), 0.0)
    assert ours.credit(SERVICE) == 4


def test_a_peer_does_not_say_how_much_this_side_holds_for_it() -> None:
    channels = Channels(initiator=True, limits=Limits(streams=2), outbox=Outbox(), measure=lambda: None)
    channels.begin(dict.fromkeys(TOLD, 2**62))
    for _ in range(2):
        channels.send(SERVICE, Request(Verb.FILE), 0.0, RefKind.STREAM)
    with pytest.raises(Unavailable, match="too many streams"):
        channels.send(SERVICE, Request(Verb.FILE), 0.0, RefKind.STREAM)


def test_small_pieces_of_a_stream_take_no_more_than_they_hold() -> None:
    pieces: list[bytes] = []
    for _ in range(10_000):
        gather(pieces, b"ab")
    assert b"".join(pieces) == b"ab" * 10_000
    assert len(pieces) < 10


# Anything, in every field.


def plausible(rng: random.Random) -> bytes:
    """One frame, of the right form more often than not."""
    numbers = (0, 1, 2, 3, 4, 5, 7, 2**31, 2**63, 2**64 - 1)
    paths: list[Any] = [["containers"], ["containers", "web"], [], ["x"] * 70, ["../x"], ["a\n"], [5], 5, None, "web"]
    params: list[Any] = [
        {},
        {":version": SMUGGLED},
        {b"a": 1},
        {"a": math.nan},
        {"a": nested(20, list)},
        5,
        {"all": "1"},
    ]
    values: list[Any] = [None, b"{}", b"\x95", 5, msgpack.ExtType(5, rng.randbytes(16)), reference(5, 2)]
    refs = [None, None, *(reference(kind, rng.choice(numbers)) for kind in (1, 2, 3, 4)), msgpack.Timestamp(1)]
    metas: list[Any] = [
        None,
        ["", "1.41", []],
        ["x", SMUGGLED, []],
        ["", "", [["a", "b"]]],
        ["", "", [["a\n", 5]]],
        5,
        [],
    ]
    left = rng.choice([None, 0, 1e308, -1, math.nan, "1", True])
    to = reference(1, rng.choice(numbers)) if rng.random() < 0.7 else rng.choice(refs)
    verb, path, given, value = rng.choice([*Verb, "zz", ""]), rng.choice(paths), rng.choice(params), rng.choice(values)
    ref, kind = rng.choice(refs), rng.choice(["ack", "set", "log", "error", "zz", 5])
    match rng.randint(0, 9):
        case 0 | 1 | 2 | 3 | 4:
            asked = request(verb, path, given, body=value, reply=to, upload=ref, meta=rng.choice(metas), left=left)
            return frame(rng.choice([Type.MESSAGE, Type.LAST]), rng.choice([0, 0, 0, *numbers[:6]]), asked)
        case 5 | 6:
            return frame(
                rng.choice([Type.MESSAGE, Type.LAST]), rng.choice(numbers[:6]), reply(kind, value, given, stream=ref)
            )
    payload = rng.choice([b"", rng.randbytes(rng.randint(1, 40)), bytes(8), msgpack.packb(["", ""])])
    return frame(rng.choice(list(Type)), rng.choice(numbers), payload)


async def test_plausible_garbage_ends_sessions_and_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(13)
    async with no_bug_is_logged(caplog), listening(tmp_path) as (path, _), peer_of(path) as other:
        assert isinstance(await other.call(), Ack)
        before, tasks = open_files(), len(all_tasks())
        for _ in range(300):
            with suppress(trio.BrokenResourceError):
                async with peer_of(path) as peer:
                    for _ in range(rng.randint(1, 6)):
                        await peer.say(plausible(rng))
        assert isinstance(await other.call(), Ack)
        with trio.move_on_after(20):  # what a pump has still to bring has CLEANUP_SECONDS
            while open_files() > before or len(all_tasks()) > tasks:  # noqa: ASYNC110 - no event tells of it
                await trio.sleep(0.02)
        assert (open_files(), len(all_tasks())) == (before, tasks)


def all_tasks() -> list[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    found, waiting = [], [root]
    while waiting:
        task = waiting.pop()
        found.append(task)
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found
