"""Requests that try to put another request, or bytes of their own, into what `docker` writes to an engine."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Ack, Client, Invalid, Json, Meta, Request, Unavailable, Unsupported, Verb, ask
from swarmlib.asking import call
from swarmlib.bytes_stream import BytesStream
from swarmlib_backends.dockerapi import required
from swarmlib_backends.dockerapi.rows import ROWS, WHOLE, Row
from tests.support.fake_engine import FakeEngine, over

INSIDE = "1.41/_ping HTTP/1.1\r\nHost: d\r\n\r\nDELETE /containers/v1?force=1 HTTP/1.1\r\nHost: d\r\n\r\nGET /v1.41"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
CONTAINERS: tuple[Verb, tuple[str, ...]] = (Verb.LS, ("containers",))


class Recorder(FakeEngine):
    """It keeps all that it is sent."""

    def __init__(self, said: bytes = OK) -> None:
        super().__init__(self.record)
        self.heard: list[bytes] = []
        self.said = said

    async def record(self, stream: trio.SocketStream, request: bytes) -> None:
        self.heard.append(request)
        await stream.send_all(self.said)

    @property
    def heads(self) -> list[list[bytes]]:
        """The lines of each head."""
        return [each.partition(b"\r\n\r\n")[0].split(b"\r\n") for each in self.heard]


def with_header(name: str, value: str) -> Meta:
    return Meta(headers=((name, value),))


ANYTHING = ((Verb.START, ("containers", "v1")), (Verb.CONNECT, ("containers", "v1")), CONTAINERS)


@pytest.mark.parametrize(
    "meta",
    [
        Meta(version=INSIDE),
        Meta(version="1.41/containers/v2/kill?x="),
        Meta(version="1.41\r\n"),
        Meta(version="1"),
        Meta(version="1.41.0"),
        Meta(version="٣.٤"),
        with_header(INSIDE.replace("1.41", "x", 1), "d"),
        with_header("x-registry-auth", "a\r\nX-Evil: b"),
        with_header("x-registry-auth", "a\nb"),
        with_header("x-registry-auth", "a\0b"),
        with_header("x-registry-auth", "a\x7fb"),
        with_header("x-registry-auth", "\u20ac"),
        with_header("content-length", "0"),
        with_header("transfer-encoding", "chunked"),
        with_header("connection", "close"),
        with_header("host", "evil"),
        with_header("expect", "100-continue"),
        with_header("upgrade", "tcp"),
        with_header(":method", "DELETE"),
        with_header(":", "x"),
        with_header("", "x"),
    ],
    ids=lambda meta: repr((meta.version, meta.headers)),
)
async def test_a_header_that_is_not_the_rows_reaches_no_engine(meta: Meta, tmp_path: Path) -> None:
    engine = Recorder()
    async with over(engine, tmp_path) as swarm:
        for verb, path in ANYTHING:
            with pytest.raises(Invalid):
                await call(swarm.sender, Request(verb, path, meta=meta))
    assert engine.heard == []


async def test_a_parameter_without_a_name_reaches_no_engine(tmp_path: Path) -> None:
    engine = Recorder()
    async with over(engine, tmp_path) as swarm:
        for verb, path in ANYTHING:
            with pytest.raises(Invalid):
                await swarm.call(verb, path, params={"": "x"})
    assert engine.heard == []


@pytest.mark.parametrize(
    "name", ["version", "caller", "headers", "x-registry-auth", "content-length", "host", "method", "target", "upgrade"]
)
async def test_a_parameter_is_a_parameter_whatever_its_name_and_sets_nothing_else(name: str, tmp_path: Path) -> None:
    engine = Recorder()
    async with over(engine, tmp_path) as swarm:
        await swarm.call(*CONTAINERS, params={f":{name}": INSIDE, name: "9.9"})
    [[line, *headers]] = engine.heads
    query = urlencode({f":{name}": INSIDE, name: "9.9"})
    assert line.decode() == f"GET /containers/json?{query} HTTP/1.1"
    assert headers == [b"Host: docker"]


@pytest.mark.parametrize("type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "5"])
async def test_the_type_of_a_body_that_is_not_there_reaches_no_engine(type: str, tmp_path: Path) -> None:
    engine = Recorder()
    async with over(engine, tmp_path) as swarm:
        await call(swarm.sender, Request(Verb.START, ("containers", "v1"), meta=with_header("content-type", type)))
    assert b"content-type: application/json" in engine.heard[0].lower()
    assert engine.heard[0].lower().count(b"content-type") == 1


@pytest.mark.parametrize(
    "name",
    ["..", "../v1.41/containers/v3", "a/../b", "", ".", "a//b", "v1 HTTP/1.1\r\n\r\nDELETE /containers/v1", "é\0"],
)
async def test_a_name_that_is_another_path_reaches_no_engine(name: str, tmp_path: Path) -> None:
    engine = Recorder()
    async with over(engine, tmp_path) as swarm:
        with pytest.raises((Invalid, Unsupported)):
            await swarm.get("containers", name)
    assert engine.heard == []


@pytest.mark.parametrize("hidden", ["a?force=1&x=", "a#b", "a b", "é"])
async def test_names_and_parameters_are_quoted(hidden: str, tmp_path: Path) -> None:
    engine = Recorder(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    async with over(engine, tmp_path) as swarm:
        await swarm.call(Verb.GET, ("containers", hidden), params={hidden: hidden})
    [[line, host]] = engine.heads
    assert line.startswith(b"GET /containers/")
    assert line.count(b" ") == 2
    assert line.count(b"?") == 1
    assert host == b"Host: docker"


@pytest.mark.parametrize("verb", [Verb.GET, Verb.RM])
async def test_a_body_goes_only_where_an_engine_reads_one(verb: Verb, tmp_path: Path) -> None:
    body = b"DELETE /v1.41/containers/v3?force=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
    engine = Recorder()
    async with over(engine, tmp_path) as swarm:
        await swarm.call(verb, ("containers", "v3"), body=Json(body))
    assert b"v3?force" not in engine.heard[0]
    assert engine.heads[0][1:] == [b"Host: docker"]


async def test_an_upload_goes_only_where_an_engine_reads_one(tmp_path: Path) -> None:
    engine = Recorder()
    async with over(engine, tmp_path) as swarm:
        with pytest.raises(Unsupported):
            await swarm.call(Verb.START, ("containers", "v3"), upload=BytesStream(b"x"))
        with pytest.raises(Invalid, match="fromSrc must be '-'"):
            await swarm.call(Verb.SPAWN, ("images",), upload=BytesStream(b"x"), params={"fromImage": "evil"})
    assert engine.heard == []


def body_for(row: Row) -> Json | None:
    """A body that is enough for a row, if it must have one."""
    if required.of_row(row.name) is None or row.upload:
        return None
    return Json(b"[]" if row.name.startswith("Plugin") else b'{"Cmd": ["true"]}')


@pytest.mark.parametrize("row", [row for row in ROWS if row.method == "POST" and row.verb is not Verb.ATTACH], ids=str)
async def test_the_content_type_is_the_rows(row: Row, tmp_path: Path) -> None:
    meta = with_header("content-type", "text/plain" if row.upload else "application/json")
    params = dict([row.when]) if row.when else {}
    if row.object.endswith("resize"):
        params |= {"h": "24", "w": "80"}
    if row.verb is Verb.SET and row.name.endswith("Update"):
        params |= {"version": "5"}
    if row.name == "ContainerRename":
        params |= {"name": "b"}
    engine = Recorder()
    async with over(engine, tmp_path) as swarm:
        upload = BytesStream(b"tar") if row.upload else None
        asked = Request(row.verb, row.path("a"), params, body_for(row), meta, upload=upload)
        async with await ask(swarm.sender, asked) as replies:
            [reply async for reply in replies]
    wanted = b"application/x-tar" if row.upload else b"application/json"
    assert [line for line in engine.heads[0] if b"Content-Type" in line] == [b"Content-Type: " + wanted]


# Requests of no row.


async def call_whole(
    swarm: Client,
    upload: trio.abc.ReceiveStream | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    **params: Any,
) -> Ack:
    asked = Request(Verb.CONNECT, WHOLE.path(""), params, upload=upload, meta=Meta(headers=headers))
    return (await call(swarm.sender, asked)).ack


async def read(stream: trio.abc.ReceiveStream | None) -> bytes:
    assert stream is not None
    async with stream:
        return b"".join([bytes(piece) async for piece in stream])


@pytest.mark.parametrize(
    "args",
    [
        {"method": "DELETE", "target": "/containers/v4?force=1"},
        {"method": "DELETE", "target": "/v1.41/containers/v4"},
        {"method": "DELETE", "target": "/v1.41.0/containers/v4"},
        {"method": "DELETE", "target": "/v1/containers/v4"},
        {"method": "DELETE", "target": "/%63ontainers/v4"},
        {"method": "DELETE", "target": "/containers%2Fv4"},
        {"method": "DELETE", "target": "/v1.41%2Fcontainers/v4"},
        {"method": "DELETE", "target": "//containers/v4"},
        {"method": "DELETE", "target": "/x/../containers/v4"},
        {"method": "GET", "target": "/new HTTP/1.1\r\nX: y"},
        {"method": "GET", "target": "/a b"},
        {"method": "GET", "target": "/a\0"},
        {"method": "GET", "target": "http://evil/"},
        {"method": "GET", "target": "*"},
        {"method": "GET", "target": ""},
        {"method": "GET", "target": 5},
        {"method": "GET"},
        {"target": "/new"},
        {"method": "GET /x HTTP/1.1\r\n\r\nDELETE", "target": "/new"},
        {"method": "CONNECT", "target": "/new"},
        {"method": ["GET"], "target": "/new"},
        {"method": "GET", "target": "/new", ":headers": {"X": ["y"]}},
        {"method": "GET", "target": "/new", ":upgrade": "h2c"},
        {"method": "GET", "target": "/new", "headers": (("X", "a\r\nY: b"),)},
        {"method": "GET", "target": "/new", "headers": (("X: y\r\nZ", "a"),)},
        {"method": "GET", "target": "/new", "headers": (("", "a"),)},
        {"method": "GET", "target": "/new", "headers": (("Content-Length", "5"),)},
        {"method": "GET", "target": "/new", "headers": (("TRANSFER-ENCODING", "chunked"),)},
        {"method": "GET", "target": "/new", "headers": (("connection", "Upgrade"),)},
        {"method": "GET", "target": "/new", "headers": (("Upgrade", "h2c"),)},
        {"method": "GET", "target": "/new", "headers": (("Host", "evil"),)},
        {"method": "GET", "target": "/new", "upgrade": "a\r\nb"},
        {"method": "GET", "target": "/new", "upgrade": 5},
        {"method": "GET", "target": "/new", "other": "x"},
    ],
    ids=repr,
)
async def test_a_request_of_no_row_that_is_another_reaches_no_engine(args: dict[str, Any], tmp_path: Path) -> None:
    engine = Recorder()
    async with over(engine, tmp_path) as swarm:
        with pytest.raises(Invalid):
            await call_whole(swarm, **args)
    assert engine.heard == []


async def test_a_request_of_no_row_gets_its_one_response(tmp_path: Path) -> None:
    engine = Recorder(b"HTTP/1.1 299 New\r\nX-New: 1\r\nContent-Length: 4\r\n\r\nnews" + OK)
    async with over(engine, tmp_path) as swarm:
        ack = await call_whole(
            swarm, method="PATCH", target="/v9.9/new?a=b&a=c", headers=(("x-any", "1"), ("x-any", "2"))
        )
        assert (ack.details["status"], ack.details["headers"], "upgrade" in ack.details) == (
            299,
            ((b"X-New", b"1"),),
            False,
        )
        assert await read(ack.stream) == b"news"
        await wait_all_tasks_blocked()
    assert engine.heads == [
        [
            b"PATCH /v9.9/new?a=b&a=c HTTP/1.1",
            b"Host: docker",
            b"x-any: 1",
            b"x-any: 2",
            b"Connection: close",
            b"Content-Length: 0",
        ]
    ]
    assert engine.open == 0


async def test_its_errors_are_passed_on_too(tmp_path: Path) -> None:
    async with over(Recorder(b"HTTP/1.1 404 N\r\nContent-Length: 4\r\n\r\ngone"), tmp_path) as swarm:
        ack = await call_whole(swarm, method="GET", target="/new")
        assert (ack.details["status"], await read(ack.stream)) == (404, b"gone")


async def test_its_body_is_uploaded_in_chunks(tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, request: bytes) -> None:
        while not request.endswith(b"0\r\n\r\n"):
            request += bytes(await stream.receive_some())
        heard.append(request)
        await stream.send_all(OK)

    heard: list[bytes] = []
    async with over(FakeEngine(answer), tmp_path) as swarm:
        ack = await call_whole(swarm, BytesStream(b"the body"), method="POST", target="/new")
        assert await read(ack.stream) == b"[]"
    [request] = heard
    assert b"\r\nTransfer-Encoding: chunked\r\n" in request
    assert request.endswith(b"\r\n\r\n8\r\nthe body\r\n0\r\n\r\n")


async def test_after_an_upgrade_bytes_go_both_ways(tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI")
        async for piece in stream:
            await stream.send_all(bytes(piece).upper())

    async with over(FakeEngine(answer), tmp_path) as swarm:
        ack = await call_whole(swarm, method="POST", target="/session", upgrade="h2c")
        assert (ack.details["status"], ack.details["upgrade"]) == (101, "h2c")
        assert isinstance(ack.stream, trio.abc.HalfCloseableStream)
        await ack.stream.send_all(b"frames")
        await ack.stream.send_eof()
        assert await read(ack.stream) == b"PRIFRAMES"


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"426 Upgrade Required"])
async def test_behind_a_refused_upgrade_no_byte_reaches_the_engine(status: bytes, tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")
        heard.append(b"".join([bytes(piece) async for piece in stream]))

    heard: list[bytes] = []
    async with over(FakeEngine(answer), tmp_path) as swarm:
        ack = await call_whole(swarm, method="POST", target="/session", upgrade="h2c")
        assert not isinstance(ack.stream, trio.abc.SendStream)
        assert await read(ack.stream) == b"{}"
        await wait_all_tasks_blocked()
    assert heard == [b""]


# Uploads that end early, on either side.


class Broken(BytesStream):
    """An upload whose sender goes away in the middle."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if piece := await super().receive_some(max_bytes):
            return piece
        raise trio.BrokenResourceError("the client disconnected")


EXEC: tuple[Verb, tuple[str, ...]] = (Verb.CONNECT, ("exec", "e"))
PUT: tuple[Verb, tuple[str, ...]] = (Verb.FILE, ("containers", "web", "archive"))
PLACE = {"path": "/"}


@pytest.mark.parametrize("path", [PUT[1], WHOLE.path("")])
async def test_an_upload_that_breaks_off_ends_the_request_at_once(path: tuple[str, ...], tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, request: bytes) -> None:
        heard.append(request + b"".join([bytes(piece) async for piece in stream]))

    heard: list[bytes] = []
    engine = FakeEngine(answer)
    async with over(engine, tmp_path) as swarm:
        params = {"method": "POST", "target": "/new"} if path == WHOLE.path("") else PLACE
        verb = Verb.FILE if params is PLACE else Verb.CONNECT
        with pytest.raises(Invalid, match="the upload broke off before its end"):
            await swarm.call(verb, path, params=params, upload=Broken(b"half"))
        await wait_all_tasks_blocked()
        assert engine.open == 0
    assert heard[0].endswith(b"\r\n\r\n4\r\nhalf\r\n")


class Endless(BytesStream):
    """An upload without end, which says when it is closed."""

    closed = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"x" * 65536

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
async def test_an_engine_may_answer_before_the_upload_is_complete(status: bytes, tmp_path: Path) -> None:
    engine = Recorder(b"HTTP/1.1 " + status + b'\r\nContent-Length: 15\r\n\r\n{"message":"a"}')
    upload = Endless(b"")
    refused = pytest.raises(Invalid, match=r"^a$") if status.startswith(b"4") else nullcontext()
    async with over(engine, tmp_path) as swarm:
        with refused:
            await swarm.call(*PUT, params=PLACE, upload=upload)
        await wait_all_tasks_blocked()
        assert (upload.closed, engine.open) == (True, 0)


@pytest.mark.parametrize("phase", ["waiting for the head", "in the body", "uploading", "in a quiet conversation"])
async def test_a_caller_that_goes_away_closes_the_engines_connection(phase: str, tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, request: bytes) -> None:
        if phase == "in the body":
            await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if phase == "in a quiet conversation":
            await stream.send_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        begun.set()
        async for _ in stream:
            pass

    begun = trio.Event()
    engine = FakeEngine(answer)
    verbs = {
        "in the body": (Verb.WATCH, ()),
        "uploading": PUT,
        "in a quiet conversation": (Verb.CONNECT, ("exec", "e")),
    }
    verb, path = verbs.get(phase, (Verb.START, ("containers", "web")))
    async with over(engine, tmp_path) as swarm:
        params, upload = (PLACE, Endless(b"")) if phase == "uploading" else ({}, None)
        body = Json(b"{}") if path[:1] == ("exec",) else None
        replies = await ask(swarm.sender, Request(verb, path, params, body, upload=upload))
        await begun.wait()
        if phase != "uploading":
            await wait_all_tasks_blocked()
        assert engine.open == 1
        await replies.aclose()
        await wait_all_tasks_blocked()
        assert engine.open == 0


async def test_a_conversation_that_is_closed_closes_the_engines_connection(tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        async for _piece in stream:
            pass

    engine = FakeEngine(answer)
    async with over(engine, tmp_path) as swarm:
        stream = await swarm.connect("exec", "e", body={})
        assert engine.open == 1
        await stream.aclose()
        await wait_all_tasks_blocked()
        assert engine.open == 0


async def test_an_engine_that_is_gone_is_no_bug(tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.aclose()

    async with over(FakeEngine(answer), tmp_path) as swarm:
        with pytest.raises(Unavailable, match=r"closed before an answer came|the connection broke"):
            await swarm.call(*PUT, params=PLACE, upload=Endless(b""))
