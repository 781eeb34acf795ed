"""Engines that answer what HTTP does not allow: who asked gets one answer, and nobody else ever sees a byte of it."""

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_one_way_pair, wait_all_tasks_blocked

from swarmlib import Ack, BadAnswer, Chain, Client, Error, Json, Reply, Set, SwarmError, Unavailable, Verb
from swarmlib.wire.codec import raw_value
from swarmlib_backends import DockerServer, Listen, Remote
from swarmlib_backends.docker.engine import MAX_IDLE
from swarmlib_backends.docker.exchange import MAX_LINE
from swarmlib_backends.docker.lines import Lines
from swarmlib_backends.docker.response import MAX_HEAD
from swarmlib_backends.dockerapi.rows import WHOLE
from tests.support.fake_engine import FakeEngine, over

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EVIL = HEAD + b'Content-Length: 12\r\n\r\n{"POISON":1}'

KINDS: dict[str, tuple[Verb, tuple[str, ...]]] = {
    "value": (Verb.GET, ("containers", "poison")),
    "head": (Verb.GET, ("containers", "poison", "archive")),
    "start": (Verb.START, ("containers", "poison")),
    "watch": (Verb.WATCH, ("containers", "poison", "stats")),
    "progress": (Verb.SET, ("images", "poison", "push")),
    "stream": (Verb.FILE, ("containers", "poison", "export")),
    "hijack": (Verb.CONNECT, ("containers", "poison")),
}
"""A message of each kind of row."""


def whole(body: bytes = b'{"own":1}') -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


ANSWERED: dict[str, Callable[[bytes], bytes]] = {
    "two in one": lambda own: own + EVIL,
    "half of the next head": lambda own: own + b"HTTP/1.1 200 OK\r\nX-Left",
    "an empty line behind it": lambda own: own + b"\r\n",
    "garbage behind it": lambda own: own + b"\0\xff",
    "100 before it": lambda own: b"HTTP/1.1 100 Continue\r\n\r\n" + own,
    "102 and 103 before it": lambda own: b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + own,
    "an interim response with a length": lambda own: b"HTTP/1.1 103 E\r\nContent-Length: 500\r\n\r\n" + own,
    "two thousand interim responses": lambda own: b"HTTP/1.1 103 Early\r\n\r\n" * 2000 + own,
    "a short length": lambda _: HEAD + b"Content-Length: 2\r\n\r\n{}" + EVIL,
    "204 with a body": lambda _: b"HTTP/1.1 204 No Content\r\nContent-Length: 200\r\n\r\n" + EVIL,
    "204 with chunks": lambda _: (
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + EVIL
    ),
    "304 with a body": lambda _: b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" + EVIL,
    "chunks and more": lambda _: HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + EVIL,
    "chunks and an empty line": lambda _: HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n\r\n",
    "chunks, trailers and more": lambda _: HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: 0\r\n\r\n" + EVIL,
    "it closes, and more": lambda own: own.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) + EVIL,
}
"""What an engine sends, where the caller gets an answer."""

REFUSED: dict[str, bytes] = {
    "two equal lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + EVIL,
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 80\r\n\r\n{}" + EVIL,
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}" + EVIL,
    "a length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + EVIL,
    "a signed length": HEAD + b"Content-Length: +2\r\n\r\n{}" + EVIL,
    "gzip as coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "gzip and chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity as coding": HEAD + b"Transfer-Encoding: identity\r\n\r\n{}",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "an empty line first": b"\r\n\r\n" + EVIL,
    "garbage": b"\x00\xff\xfegarbage\r\n\r\n",
    "it switched protocols although": b"SSH-2.0-OpenSSH_9\r\n",
    "a control character in a header": HEAD + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "a folded header": HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "101 for another protocol": b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n" + EVIL,
    "a redirection": b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 2\r\n\r\n{}",
    "status 0": b"HTTP/1.1 000 X\r\nContent-Length: 2\r\n\r\n{}",
    "status 999": b"HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\n{}",
    "interim responses without end": b"HTTP/1.1 103 Early\r\n\r\n" * 10_000,
    "headers without end": HEAD + b"X: y\r\n" * 20_000,
    "too many headers": HEAD + b"X: y\r\n" * 300 + b"Content-Length: 2\r\n\r\n{}",
    "a header without end": HEAD + b"X: " + b"y" * 2 * MAX_HEAD,
    "a reason without end": b"HTTP/1.1 200 " + b"y" * 2 * MAX_HEAD,
}
"""What an engine sends that is no answer, or not one that every reader would read in the same way."""


class Engine(FakeEngine):
    """It answers `evil` where `poison` is asked for, and anything else rightly."""

    def __init__(self, evil: bytes) -> None:
        super().__init__(self.well)
        self.evil = evil

    async def well(self, stream: trio.SocketStream, request: bytes) -> None:
        target = request.split(b" ", 2)[1]
        if b"poison" in target:
            await stream.send_all(self.evil)
        else:
            await stream.send_all(whole(json.dumps({"for": target.decode()}).encode()))


async def told(swarm: Client, kind: str) -> tuple[list[Reply], bytes]:
    """All that a caller of a row of this kind is told, and the bytes of its stream."""
    verb, path = KINDS[kind]
    async with swarm.request(verb, path, params={"path": "/"} if kind == "head" else {}) as replies:
        found = [reply async for reply in replies]
    received = b""
    for reply in found:
        if isinstance(reply, Ack) and reply.stream is not None:
            async with reply.stream as stream:
                received += b"".join([bytes(piece) async for piece in stream])
    return found, received


def errors(found: list[Reply]) -> list[SwarmError]:
    return [reply.error for reply in found if isinstance(reply, Error)]


async def victims_are_well(swarm: Client) -> None:
    for name in ("one", "two", "three"):
        assert await swarm.get("containers", name) == {"for": f"/containers/{name}/json"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ANSWERED)
async def test_what_stands_behind_an_answer_reaches_nobody(mode: str, kind: str, tmp_path: Path) -> None:
    async with over(Engine(ANSWERED[mode](whole())), tmp_path) as swarm:
        found, received = await told(swarm, kind)
        assert errors(found) == []
        assert sum(isinstance(reply, Ack) for reply in found) == 1
        assert b"POISON" not in received + b"".join(raw_value(reply) or b"" for reply in found)
        await victims_are_well(swarm)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", REFUSED)
async def test_what_is_no_answer_is_the_engines_fault_and_reaches_nobody(mode: str, kind: str, tmp_path: Path) -> None:
    async with over(Engine(REFUSED[mode]), tmp_path) as swarm:
        found, received = await told(swarm, kind)
        assert [type(error) for error in errors(found)] == [BadAnswer]
        assert len(found) == 1
        assert f"engine unix://{tmp_path}/engine.sock: " in errors(found)[0].message
        assert received == b""
        await victims_are_well(swarm)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "hijack"])
async def test_a_101_that_nobody_asked_for_is_no_answer(kind: str, tmp_path: Path) -> None:
    async with over(Engine(b"HTTP/1.1 101 S\r\n\r\n" + EVIL), tmp_path) as swarm:
        assert [type(error) for error in errors((await told(swarm, kind))[0])] == [BadAnswer]
        await victims_are_well(swarm)


async def test_a_second_answer_that_comes_later_is_noticed_before_the_next_request(tmp_path: Path) -> None:
    engine = Engine(whole())
    late = trio.Event()

    async def answer(stream: trio.SocketStream, request: bytes) -> None:
        await engine.well(stream, request)
        if b"poison" in request:
            await stream.send_all(EVIL)
            late.set()

    engine.answer = answer
    async with over(engine, tmp_path) as swarm:
        assert await swarm.get("containers", "poison") == {"own": 1}
        await late.wait()
        await victims_are_well(swarm)


async def test_a_sound_connection_is_used_again(tmp_path: Path) -> None:
    engine = Engine(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    async with over(engine, tmp_path) as swarm:
        for kind in ("value", "start", "watch", "progress", "stream", "hijack"):
            assert errors((await told(swarm, kind))[0]) == []
        await victims_are_well(swarm)
    assert engine.opened == 1


async def test_a_conversation_that_the_engine_answers_with_a_value_is_one_value(tmp_path: Path) -> None:
    async with over(Engine(whole()), tmp_path) as swarm:
        [ack], received = await told(swarm, "hijack")
        assert isinstance(ack, Ack)
        assert ack == Ack(Json(b'{"own":1}'), ack.details)
        assert received == b""


async def test_without_a_101_no_byte_goes_to_the_engine(tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\noutput")
        await stream.send_eof()
        heard.append(b"".join([bytes(piece) async for piece in stream]))

    heard: list[bytes] = []
    engine = FakeEngine(answer)
    async with over(engine, tmp_path) as swarm, await swarm.connect("containers", "poison") as stream:
        with pytest.raises(trio.BrokenResourceError, match="did not switch protocols"):
            await stream.send_all(b"DELETE /containers/victim HTTP/1.1\r\n\r\n")
        assert b"".join([bytes(piece) async for piece in stream]) == b"output"
    assert heard == [b""]


CUT = HEAD + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"n":1}\n\r\n'


@pytest.mark.parametrize(
    "said",
    [CUT, CUT + b"5\r\n{", HEAD + b'Content-Length: 50\r\n\r\n{"n":1}\n'],
    ids=["after a chunk", "in a chunk", "before its length"],
)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_that_breaks_off_stays_broken(said: bytes, kind: str, tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(said)
        await stream.aclose()

    engine = FakeEngine(answer)
    async with over(engine, tmp_path) as swarm:
        if kind == "stream":
            with pytest.raises(trio.BrokenResourceError, match=r"engine unix://.* in the middle of a body"):
                await told(swarm, kind)
            return
        found, _ = await told(swarm, kind)
        if kind == "head":
            assert errors(found) == []
            return
        assert isinstance(found[-1], Error)
        assert type(found[-1].error) is Unavailable
        before = [type(reply) for reply in found[:-1]]
        assert before == {"watch": [Ack, Set], "progress": [Set]}.get(kind, [])


async def test_a_watch_that_breaks_off_is_an_error_to_its_reader(tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(CUT)
        await stream.aclose()

    engine = FakeEngine(answer)
    async with over(engine, tmp_path) as swarm, swarm.watch("containers", "poison", "stats") as stats:
        assert await anext(stats) == {"n": 1}
        with pytest.raises(Unavailable, match="in the middle of a body"):
            await anext(stats)


@pytest.mark.parametrize(
    "said",
    [
        HEAD + b"Content-Length: 1100000000\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 2 * MAX_HEAD,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 40_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_body_that_is_too_large_or_wrong_is_the_engines_fault(said: bytes, tmp_path: Path) -> None:
    async with over(Engine(said), tmp_path) as swarm:
        with pytest.raises(BadAnswer, match=r"engine unix://"):
            await swarm.get("containers", "poison")
        await victims_are_well(swarm)


async def test_a_line_of_a_watch_is_bounded(tmp_path: Path) -> None:
    async with over(Engine(HEAD + b"\r\n" + b"x" * (MAX_LINE + MAX_LINE // 4)), tmp_path) as swarm:
        with pytest.raises(BadAnswer, match=f"a value in its answer is longer than {MAX_LINE} bytes"):
            async with swarm.watch("containers", "poison", "stats") as stats:
                await anext(stats)


def test_lines_are_cut_whatever_the_pieces() -> None:
    for size in range(1, 12):
        lines = Lines()
        data = b"one\n\ntwo\r\n  \nthree"
        found = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
        assert (lines.pending, found + lines.end()) == (5, [b"one", b"two\r", b"three"])
        assert lines.end() == []


async def test_an_error_of_any_length_is_a_message_of_bounded_length(tmp_path: Path) -> None:
    body = json.dumps({"message": "x" * 500_000}).encode()
    async with over(Engine(b"HTTP/1.1 409 C\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)), tmp_path) as swarm:
        with pytest.raises(SwarmError) as raised:
            await swarm.get("containers", "poison")
    assert len(raised.value.message) == 64 * 1024
    assert raised.value.details["body"] == body


@pytest.mark.parametrize("about", [b"5", b"[]", b'{"Runtimes":5}', b"null", b"oops"])
async def test_an_engine_that_says_nonsense_of_itself_is_at_fault(about: bytes, tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(whole(about))

    engine = FakeEngine(answer)
    async with over(engine, tmp_path) as swarm:
        with pytest.raises(BadAnswer, match="engine unix://"):
            await swarm.spawn({"Image": "busybox", "Labels": {"swarmlib.isolation": "runsc"}})
        for details in (about, b'{"Config":5}', b'{"Config":{"Tty":"no"}}'):
            about = details
            with pytest.raises(BadAnswer, match="engine unix://"):
                async with swarm.attach("box"):
                    pass


async def kept_connection_dies(swarm: Client, engine: Engine, call: Callable[[], Awaitable[Any]]) -> Any:
    """Call over a kept connection that the engine closes as soon as the request has come."""
    await swarm.get("containers", "first")

    async def dying(stream: trio.SocketStream, _: bytes) -> None:
        engine.answer = engine.well
        await stream.aclose()

    engine.answer = dying
    return await call()


async def test_only_what_changes_nothing_is_asked_again(tmp_path: Path) -> None:
    engine = Engine(b"")
    async with over(engine, tmp_path) as swarm:
        again = await kept_connection_dies(swarm, engine, lambda: swarm.get("containers", "a"))
        assert again == {"for": "/containers/a/json"}
        with pytest.raises(Unavailable, match="closed before an answer came"):
            await kept_connection_dies(swarm, engine, lambda: swarm.start("a"))
    assert engine.opened == 2


async def test_the_connections_that_are_kept_are_bounded(tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        if engine.open == 2 * MAX_IDLE:
            all_there.set()
        await all_there.wait()
        await stream.send_all(whole())

    all_there = trio.Event()
    engine = FakeEngine(answer)
    async with over(engine, tmp_path) as swarm:
        async with trio.open_nursery() as nursery:
            for _ in range(2 * MAX_IDLE):
                nursery.start_soon(swarm.get, "containers", "a")
        await wait_all_tasks_blocked()
        assert engine.open == MAX_IDLE


async def http(path: Path, request: bytes) -> bytes:
    """All that a server on a unix socket says to a request, to the connection's end."""
    async with await trio.open_unix_socket(str(path)) as stream:
        await stream.send_all(request)
        return b"".join([bytes(piece) async for piece in stream])


@pytest.mark.parametrize("far", [False, True], ids=["here", "over the wire"])
async def test_a_watch_that_breaks_off_has_no_good_end_for_an_http_client(far: bool, tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(CUT)
        await stream.aclose()

    async with AsyncExitStack() as stack:
        next_one = await stack.enter_async_context(over(FakeEngine(answer), tmp_path))
        front = DockerServer([f"unix://{tmp_path}/front.sock"])
        if far:
            await stack.enter_async_context(Listen([f"unix://{tmp_path}/far.sock"]).open(next_one.sender))
            await stack.enter_async_context(Chain(front, Remote(f"unix://{tmp_path}/far.sock")).open())
        else:
            await stack.enter_async_context(front.open(next_one.sender))
        said = await http(tmp_path / "front.sock", b"GET /containers/a/stats HTTP/1.1\r\nHost: d\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.endswith(b'{"n":1}\n\r\n')


async def test_an_upload_ends_quietly_where_the_stream_that_the_engine_switched_to_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def switch(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        while await stream.receive_some():
            pass

    params = {"method": "POST", "target": "/session", "upgrade": "h2c"}
    upload, given = memory_stream_one_way_pair()
    async with (
        over(FakeEngine(switch), tmp_path) as swarm,
        swarm.request(Verb.CONNECT, WHOLE.path(""), params=params, upload=given) as replies,
    ):
        ack = await replies.receive()
        assert isinstance(ack, Ack)
        assert ack.stream is not None
        await trio.aclose_forcefully(ack.stream)
        await upload.send_all(b"more")
        await wait_all_tasks_blocked()
    assert not caplog.records
