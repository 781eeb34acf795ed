"""dockerserver and docker at their worst: clients and engines that stall, lie, break off or are not there."""

import json
import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from swarmlib import (
    BadAnswer,
    Chain,
    Client,
    Conflict,
    Denied,
    Filter,
    Invalid,
    Meta,
    Request,
    Sender,
    Server,
    TimedOut,
    Unavailable,
    Verb,
)
from swarmlib.asking import call
from swarmlib.net.limiter import ConnectionLimiter
from swarmlib.net.listening import ENDS
from swarmlib.supervision import supervised
from swarmlib_backends.docker import Docker
from swarmlib_backends.dockerserver import DockerServer
from swarmlib_backends.dockerserver.connection import BODY_SECONDS, HEAD_SECONDS, MAX_BODY, Connection
from tests.support.engines import free_port
from tests.support.groups import GROUP


class PassesOnAndFails(Filter):
    """It breaks the rule that a message which was passed on is not answered."""

    passed = 0

    async def send(self, request: Request) -> None:
        PassesOnAndFails.passed += 1
        await self.next.send(request)
        await wait_all_tasks_blocked()
        raise Conflict("too late")


class Boxes(Server):
    """Containers enough for these tests; `waiting` are the calls under way."""

    waiting = 0

    async def ls(self, _: Request) -> list[Any]:
        return []

    async def spawn(self, request: Request) -> Any:
        return {"Id": request.json["name"]}

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        for number in (1, 2):
            await request.reply.set({"n": number})

    async def file(self, request: Request) -> Any:
        if request.path[:1] == ("containers",):
            raise Denied("nothing is written here")
        assert request.upload is not None
        return await request.upload.receive_some()

    async def get(self, _: Request) -> Any:
        Boxes.waiting += 1
        try:
            await trio.sleep_forever()
        finally:
            Boxes.waiting -= 1


async def serve_on(
    stream: trio.abc.HalfCloseableStream, sender: Sender, limiter: ConnectionLimiter | None = None
) -> None:
    """Serve a client on a stream, as dockerserver does."""
    with (limiter or ConnectionLimiter(100, "dockerserver")).admit() as admitted:
        if admitted is not None:
            async with stream:
                await supervised("a test's client", Connection(stream, sender, admitted).serve, expected=ENDS)


@asynccontextmanager
async def client(*filters: Filter) -> AsyncGenerator[trio.abc.HalfCloseableStream]:
    """A client's end of a connection in memory, at whose other end is dockerserver over filters and `Boxes`."""
    near, far = memory_stream_pair()
    async with Chain(*filters, Boxes()).open() as sender, trio.open_nursery() as nursery:

        async def serve() -> None:
            async with far:
                await serve_on(far, sender)

        nursery.start_soon(serve)
        yield near
        await near.aclose()


async def received(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([bytes(part) async for part in stream])


def answers(data: bytes) -> list[tuple[int, Any]]:
    """The statuses and JSON bodies of responses that came one after another."""
    found: list[tuple[int, Any]] = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].split(b":")[1]) if lengths else 0
        found.append((int(head.split()[1]), json.loads(data[:length]) if length else None))
        data = data[length:]
    return found


async def exchange(request: bytes) -> list[tuple[int, Any]]:
    async with client() as stream:
        await stream.send_all(request)
        await stream.send_eof()
        return answers(await received(stream))


def request(method: str, target: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: docker", *headers]
    lines += ["Content-Type: application/json"] if body.strip().startswith(b"{") else []
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_half_a_head_and_silence_is_a_timeout(autojump_clock: MockClock) -> None:
    async with client() as stream:
        await stream.send_all(b"GET /containers/json HTTP/1.1\r\nHost: do")
        [(status, body)] = answers(await received(stream))
        assert status == 408
        assert "not complete within" in body["message"]
        assert autojump_clock.current_time() == pytest.approx(HEAD_SECONDS)


async def test_a_client_that_is_idle_between_requests_is_left_in_peace(autojump_clock: MockClock) -> None:
    async with client() as stream:
        autojump_clock.jump(HEAD_SECONDS * 100)
        await wait_all_tasks_blocked()
        await stream.send_all(request("GET", "/containers/json"))
        await stream.send_eof()
        assert answers(await received(stream)) == [(200, [])]


LIST = request("GET", "/containers/json")
TRAILED = (
    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
)
LONG = b"a" * 1_100_000


@pytest.mark.parametrize(
    ("sent", "status", "problem"),
    [
        (b"\x16\x03\x01\x00garbage\r\n\r\n", 400, "this is not HTTP/1.1"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "this is not HTTP/1.1"),
        (request("GET", "/nosuch"), 404, "page not found"),
        (request("GET", "/containers/a%07b/json"), 400, "invalid name"),
        (request("GET", "/containers/json/"), 404, "page not found"),
        (request("POST", "/containers/create", b"{oops"), 400, "not JSON"),
        (b"GET /x HTTP/1.1\r\nA: " + LONG + b"\r\n\r\n", 431, "longer than 1048576 bytes"),
        (b"GET /x HTTP/1.1\r\nA: " + LONG, 431, "longer than 1048576 bytes"),
        (b"GET /x?" + LONG, 431, "longer than 1048576 bytes"),
        (b"GET /x HTTP/1.1\r\n" + b"A: b\r\n" * 10_001 + b"\r\n", 431, "more than 10000 headers"),
        (TRAILED + b"A: " + LONG + b"\r\n\r\n", 431, "trailers longer than 65536"),
        (request("POST", "/containers/create", b" " * (MAX_BODY + 1)), 413, "the body is longer than"),
        (request("POST", "/containers/create", b"{}", "Transfer-Encoding: chunked"), 400, "this is not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "this is not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400, "this is not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400, "this is not HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "this is not HTTP/1.1"),
        (TRAILED.replace(b"2\r\n", b"zz\r\n"), 400, "this is not HTTP/1.1"),
        (TRAILED.replace(b"2\r\n", b"2\n") + b"\r\n", 400, "this is not HTTP/1.1"),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, "this is not HTTP/1.1"),
        (b"GET /containers/json HTTP/1.1\nHost: x\n\n", 400, "this is not HTTP/1.1"),
        (b"GET /containers/json HTTP/1.1\r\nA: b\rC: d\r\n\r\n", 400, "this is not HTTP/1.1"),
        (b"GET ftp://x/containers/json HTTP/1.1\r\nHost: x\r\n\r\n", 400, "expected a path, or http://HOST"),
        (b"GET http://u:p@x/containers/json HTTP/1.1\r\nHost: x\r\n\r\n", 400, "expected a path, or http://HOST"),
        (b"GET http:///containers/json HTTP/1.1\r\nHost: x\r\n\r\n", 400, "expected a path, or http://HOST"),
        (b"GET /containers/json HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400, "exactly one Host"),
    ],
)
async def test_bad_input_is_answered_in_dockers_form(sent: bytes, status: int, problem: str) -> None:
    with trio.fail_after(5):
        found = await exchange(sent)
    assert [each[0] for each in found] == [status]
    assert problem in found[0][1]["message"]


@pytest.mark.parametrize("begun", [TRAILED + b"A: ", TRAILED.replace(b"0\r\n", b"2;")])
async def test_what_has_only_begun_is_bounded_too(begun: bytes) -> None:
    async with client() as stream:
        for part in (begun, LONG):
            await stream.send_all(part)
            await wait_all_tasks_blocked()
        [(status, _)] = answers(await received(stream))
        assert status == 431


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    one, two = (request("POST", "/containers/create", b'{"name": "%d"}' % n) for n in (1, 2))
    assert await exchange(one + LIST + two) == [(201, {"Id": "1"}), (200, []), (201, {"Id": "2"})]


async def test_after_an_unknown_path_the_connection_ends() -> None:
    assert [status for status, _ in await exchange(request("POST", "/nosuch", b"12345") + LIST)] == [404]


@pytest.mark.parametrize("target", ["/containers/create", "/images/load"])
async def test_the_body_is_asked_for_by_100_continue(target: str) -> None:
    async with client() as stream:
        head = request("POST", target, b"{}", "Expect: 100-continue")[:-2]
        await stream.send_all(head)
        assert await stream.receive_some(100) == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_the_body_of_a_request_that_leads_nowhere_is_not_asked_for() -> None:
    async with client() as stream:
        await stream.send_all(request("POST", "/%zz", b"{}", "Expect: 100-continue")[:-2])
        [(status, _)] = answers(await received(stream))
        assert status == 400


async def test_a_body_that_is_refused_is_not_asked_for() -> None:
    async with client() as stream:
        await stream.send_all(request("PUT", "/containers/box/archive?path=/", b"tar", "Expect: 100-continue")[:-3])
        [(status, body)] = answers(await received(stream))
        assert (status, body) == (403, {"message": "nothing is written here"})


async def test_half_a_body_and_silence_is_a_timeout(autojump_clock: MockClock) -> None:
    async with client() as stream:
        await stream.send_all(request("POST", "/containers/create", b"{}")[:-1])
        [(status, body)] = answers(await received(stream))
        assert status == 408
        assert "the body was not complete within" in body["message"]
        assert autojump_clock.current_time() == pytest.approx(BODY_SECONDS)


async def test_trailers_are_no_headers() -> None:
    trailed = TRAILED.replace(b"2\r\n{}", b'f\r\n{"name": "one"}')
    found = await exchange(trailed + b"X-Registry-Auth: me\r\nHost: b\r\n\r\n" + LIST)
    assert found == [(201, {"Id": "one"}), (200, [])]


async def test_to_http_1_0_a_stream_ends_with_the_connection() -> None:
    async with client() as stream:
        await stream.send_all(b"GET /events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = (await received(stream)).partition(b"\r\n\r\n")
        assert b"chunked" not in head.lower()
        assert b"Connection: close" in head
        assert body == b'{"n":1}\n{"n":2}\n'


async def test_a_client_that_goes_away_at_the_last_byte_harms_nobody() -> None:
    near, far = memory_stream_pair()
    send_all = far.send_all

    async def send_all_but_the_end(data: bytes) -> None:
        if data.endswith(b"0\r\n\r\n"):
            raise trio.BrokenResourceError("the connection broke")
        await send_all(data)

    far.send_all = send_all_but_the_end  # type: ignore[method-assign, assignment]
    async with Chain(Boxes()).open() as sender:
        await near.send_all(request("GET", "/events"))
        with trio.fail_after(5):
            await serve_on(far, sender)
        assert await Client(sender).ls() == []


async def test_what_a_failed_stage_left_behind_is_cancelled_with_its_answer() -> None:
    async with client(PassesOnAndFails()) as stream:
        await stream.send_all(request("GET", "/containers/box/json"))
        head = bytes(await stream.receive_some())
        assert head.startswith(b"HTTP/1.1 409")
        await wait_all_tasks_blocked()
        assert Boxes.waiting == 0
        assert PassesOnAndFails.passed == 1


# Too many.


async def test_the_one_that_is_idle_the_longest_makes_room() -> None:
    chain = Chain(Boxes())
    ends: list[trio.abc.HalfCloseableStream] = []
    limiter = ConnectionLimiter(2, "dockerserver")
    async with chain.open() as sender, trio.open_nursery() as nursery:

        async def serve(far: trio.abc.HalfCloseableStream) -> None:
            async with far:
                await serve_on(far, sender, limiter)

        async def connect() -> trio.abc.HalfCloseableStream:
            near, far = memory_stream_pair()
            ends.append(near)
            nursery.start_soon(serve, far)
            await wait_all_tasks_blocked()
            return near

        first, second = await connect(), await connect()
        await first.send_all(LIST)
        assert b"200 OK" in await first.receive_some()
        third = await connect()
        assert await second.receive_some() == b"", "the first was idle for less long"
        for each in (first, third):
            await each.send_all(request("GET", "/containers/box/json"))
        await wait_all_tasks_blocked()
        assert Boxes.waiting == 2
        assert await (await connect()).receive_some() == b"", "both are in the middle of a call"
        nursery.cancel_scope.cancel()


# Where it listens.


async def opened(*addresses: str, **options: Any) -> None:
    async with Chain(DockerServer(list(addresses), **options), Boxes()).open():
        pass


@pytest.mark.parametrize(
    ("address", "kind", "problem"),
    [
        ("tcp://0.0.0.0:0", Denied, "can't listen on tcp://0.0.0.0:0: other machines could connect"),
        ("tcp://[::]:0", Denied, "use --insecure"),
        ("tcp://127.0.0.1", Invalid, "invalid address 'tcp://127.0.0.1': expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:99999", Invalid, "invalid address 'tcp://127.0.0.1:99999': expected a port up to 65535"),
        ("http://127.0.0.1:1", Invalid, "expected tcp://HOST:PORT, unix:///PATH or fd://"),
        ("unix:///nosuch/folder/docker.sock", Unavailable, "No such file or directory"),
    ],
)
async def test_an_address_that_will_not_do_is_named(address: str, kind: type[Exception], problem: str) -> None:
    with pytest.raises(kind) as raised:
        await opened(address)
    assert problem in str(raised.value)


async def test_insecure_says_yes_to_what_other_machines_reach() -> None:
    port = free_port()
    chain = Chain(DockerServer([f"tcp://0.0.0.0:{port}"], insecure=True), Boxes())
    # It is reached by more than the one address of this machine that every listener has.
    async with chain.open(), await trio.open_tcp_stream("127.0.0.2", port) as client:
        await client.send_all(LIST)
        assert (await client.receive_some()).startswith(b"HTTP/1.1 ")


async def test_a_port_in_use_is_named() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"tcp://127.0.0.1:{port}: Address already in use"):
            await opened(f"tcp://127.0.0.1:{port}")


async def test_a_unix_socket_is_its_owners_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    chain = Chain(DockerServer([f"unix://{path}"]), Boxes())
    for _ in range(2):
        async with chain.open():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with pytest.raises(Unavailable, match="Address already in use"):
                await opened(f"unix://{path}")
            assert path.exists()
        assert not path.exists()
        with closing(socket.socket(socket.AF_UNIX)) as stale:
            stale.bind(str(path))
    os.unlink(path)
    async with Chain(DockerServer([f"unix://{path}"], group=GROUP.gr_name), Boxes()).open():
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (0o660, GROUP.gr_gid)
    with pytest.raises(Invalid, match="group 'nosuch' does not exist"):
        await opened(f"unix://{path}", group="nosuch")
    path.write_text("not a socket")
    with pytest.raises(Unavailable, match=r"docker\.sock: a file or folder that is not a socket is there"):
        await opened(f"unix://{path}")
    assert path.read_text() == "not a socket"


# The engine's side.


@asynccontextmanager
async def over_engine(
    behaviour: Callable[[trio.SocketStream], Awaitable[None]], timeout: float = 60
) -> AsyncGenerator[Client]:
    """`docker` over an engine that behaves so on every connection."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await behaviour(stream)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        async with Chain(Docker(f"tcp://127.0.0.1:{port}", timeout=timeout)).open() as sender:
            yield Client(sender)
        nursery.cancel_scope.cancel()


async def read_head(stream: trio.SocketStream) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = bytes(await stream.receive_some())
        if not part:
            return data
        data += part
    return data


async def test_an_engine_that_is_not_there_is_named() -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    async with Chain(Docker(address)).open() as sender:
        with pytest.raises(Unavailable, match=address):
            await Client(sender).ls()
    async with Chain(Docker("unix:///nosuch.sock")).open() as sender:
        with pytest.raises(Unavailable, match=r"unix:///nosuch\.sock"):
            await Client(sender).ls()


async def test_an_engine_is_not_told_who_asks() -> None:
    heads: list[bytes] = []

    async def engine(stream: trio.SocketStream) -> None:
        heads.append(await read_head(stream))
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    async with over_engine(engine) as swarm:
        asked = Request(Verb.LS, ("containers",), {"all": "1"}, meta=Meta(caller="uid:7"))
        assert (await call(swarm.sender, asked)).value == []
    assert heads[0].splitlines()[0] == b"GET /containers/json?all=1 HTTP/1.1"
    assert b"uid:7" not in heads[0]


async def test_an_engine_that_does_not_answer_is_given_up_in_time() -> None:
    async def frozen(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await trio.sleep_forever()

    async with over_engine(frozen, timeout=0.05) as swarm:
        with pytest.raises(TimedOut, match=r"did not answer within 0\.05 s"):
            await swarm.ls()


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "in the middle of a head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[", "in the middle of a body"),
        (b"", "closed before an answer came"),
    ],
)
async def test_an_engine_that_breaks_off_or_lies_is_an_error_that_names_it(said: bytes, problem: str) -> None:
    async def lying(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(said)

    async with over_engine(lying) as swarm:
        with pytest.raises(Unavailable) as raised:
            await swarm.ls()
        assert problem in str(raised.value)
        assert raised.value.backend.startswith("docker tcp://127.0.0.1:")


async def test_an_answer_that_is_not_json_is_said_to_be_none() -> None:
    async def odd(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops")

    async with over_engine(odd) as swarm:
        with pytest.raises(BadAnswer, match=r"engine tcp://127\.0\.0\.1:.*not JSON"):
            await swarm.ls()
        with pytest.raises(BadAnswer, match=r"engine tcp://127\.0\.0\.1:.*not JSON"):
            await swarm.ls()


# What has no row.


async def passed_on(sent: bytes, ending: bytes, said: bytes) -> tuple[bytes, bytes]:
    """What an engine gets of a request through `dockerserver | docker`, up to `ending`, and what its client gets."""
    got: list[bytes] = []

    async def engine(stream: trio.SocketStream) -> None:
        got.append(b"")
        while not got[-1].endswith(ending):
            got[-1] += bytes(await stream.receive_some())
            if b"101" in said and got[-1].endswith(b"\r\n\r\n"):
                await stream.send_all(said)
        if b"101" not in said:
            await stream.send_all(said)

    with trio.fail_after(5):
        async with over_engine(engine) as swarm, trio.open_nursery() as nursery:
            near, far = memory_stream_pair()

            async def serve() -> None:
                async with far:
                    await serve_on(far, swarm.sender)

            nursery.start_soon(serve)
            await near.send_all(sent)
            await near.send_eof()
            answer = await received(near)
        return got[0], answer


async def test_a_request_that_has_no_row_is_passed_on_and_its_one_answer_is_the_last() -> None:
    said = b"HTTP/1.1 299 New\r\nX-New: 1\r\nContent-Length: 4\r\n\r\nnews"
    headers = ("X-Registry-Auth: me", "Cookie: secret", "X-Forwarded-For: a")
    new = request("POST", "/v9.9/new?a=b&a=c", b"the end", *headers)
    got, answer = await passed_on(new + LIST, b"0\r\n\r\n", said)
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /v9.9/new?a=b&a=c http/1.1"
    assert {b"x-registry-auth: me", b"transfer-encoding: chunked", b"connection: close"} <= set(lines)
    assert b"cookie" not in head.lower()
    assert b"forwarded" not in head.lower()
    assert body == b"7\r\nthe end\r\n0\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 299 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"Connection: close\r\n\r\n4\r\nnews\r\n0\r\n\r\n")


async def test_an_upgrade_that_an_engine_grants_becomes_a_stream() -> None:
    upgrade = request("POST", "/session", b"", "Connection: Upgrade", "Upgrade: h2c", "X-Docker-Expose-Session-Uuid: 1")
    said = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI"
    got, answer = await passed_on(upgrade + b"frames end", b"end", said)
    assert b"upgrade: h2c" in got.lower()
    assert b"x-docker-expose-session-uuid: 1" in got.lower()
    assert got.endswith(b"\r\n\r\nframes end")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI")


async def test_where_nothing_takes_it_it_is_not_found() -> None:
    assert [status for status, _ in await exchange(request("PUT", "/new", b"12345") + LIST)] == [404]
