"""Replies inside replies: whatever a stage or a remote peer puts into the fields of a reply, each request gets exactly
one well-formed response, and a reply of a wrong shape is a 502 that is logged once.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair

from swarmlib import BadAnswer, Chain, Internal, Json, NotFound, Request, Server, Verb, collecting, connect
from swarmlib_backends.dockerapi.status import status_of
from tests.backends.dockerserver.test_gateway import serve_on

SPLIT = b"b\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
REQUESTS = {
    "value": b"GET /containers/x/json",
    "watch": b"GET /events",
    "stream": b"GET /containers/x/logs?stdout=1",
    "progress": b"POST /images/create?fromImage=x",
    "hijack": b"POST /containers/x/attach",
    "spawn": b"POST /commit?container=x",
    "head": b"HEAD /containers/x/archive?path=/",
    "whole": b"POST /nonesuch",
}


@dataclass(eq=False)
class Evil(Server):
    """Answers every request as it is told."""

    answer: Callable[[Request], Awaitable[None]]

    def handlers(self) -> dict[Verb, Any]:
        return dict.fromkeys(Verb, self.answer)


async def asked(request: bytes, answer: Callable[[Request], Awaitable[None]]) -> bytes:
    """All that a client gets that sends a request, and half-closes when it has had a response."""
    near, far = memory_stream_pair()
    with trio.fail_after(5):
        async with Chain(Evil(answer)).open() as sender, trio.open_nursery() as nursery:
            nursery.start_soon(serve_on, far, sender)
            await near.send_all(request + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            got = b""
            while not _whole(got, head=request.startswith(b"HEAD")) and (part := bytes(await near.receive_some())):
                got += part
            await near.send_eof()
            return got + b"".join([bytes(part) async for part in near])


def _whole(got: bytes, *, head: bool) -> bool:
    start, found, body = got.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in start:
        return body.endswith(b"0\r\n\r\n")
    length = start.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or b"0"
    return bool(found) and (head or len(body) >= int(length))


def value(**details: Any) -> Callable[[Request], Awaitable[None]]:
    async def answer(request: Request) -> None:
        await request.reply.set({"a": 1}, details=details)
        await request.reply.ack(details=details)

    return answer


def error(**details: Any) -> Callable[[Request], Awaitable[None]]:
    async def answer(request: Request) -> None:
        await request.reply.error(NotFound("no", details=details))

    return answer


async def set_of_nothing(request: Request) -> None:
    await request.reply.set(None)
    await request.reply.ack()


WRONG = {
    "value splits": value(headers=[(b"X-A", SPLIT)]),
    "value with NUL": value(headers=[(b"X-A", b"a\0b")]),
    "name splits": value(headers=[(SPLIT, b"x")]),
    "name with a space": value(headers=[(b"X A", b"x")]),
    "empty name": value(headers=[(b"", b"x")]),
    "headers are a number": value(headers=5),
    "headers are texts": value(headers=[("X", "y")]),
    "headers are short": value(headers=[(b"X",)]),
    "headers are a mapping": value(headers={b"X": b"y"}),
    "status is a text": value(status="200"),
    "status splits": value(status="200 OK\r\nX: y"),
    "status is true": value(status=True),
    "status is interim": value(status=100),
    "status is an unasked upgrade": value(status=101),
    "status is huge": value(status=2**63),
    "status is a list": value(status=[200]),
    "status is a float": value(status=200.0),
    "set without a value": set_of_nothing,
    "error's status is a text": error(status="abc"),
    "error's status is a success": error(status=200),
    "error's status is interim": error(status=100, headers=[(b"a", b"b")], body=b"x"),
    "error's headers split": error(status=404, headers=[(b"X-A", SPLIT)], body=b"x"),
    "error's headers are a number": error(status=404, headers=5, body=b"x"),
    "error's body is a text": error(status=404, body="text"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("request_line", REQUESTS.values(), ids=REQUESTS)
async def test_a_reply_of_a_wrong_shape_is_one_502_and_one_line_in_the_log(
    request_line: bytes, wrong: Callable[[Request], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    got = await asked(request_line, wrong)
    assert got.startswith(b"HTTP/1.1 502 "), got
    assert got.count(b"HTTP/1.1") == 1
    assert b"POISON" not in got
    assert len([record for record in caplog.records if "invalid answer to" in record.getMessage()]) == 1
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("request_line", REQUESTS.values(), ids=REQUESTS)
async def test_the_framing_of_a_reply_is_never_written(request_line: bytes) -> None:
    names = (b"content-LENGTH", b"Transfer-Encoding", b"Connection", b"Upgrade", b"Keep-Alive", b"TE", b"Trailer")
    framing = [(name, b"7") for name in names]
    got = await asked(request_line, value(headers=[*framing, (b"Proxy-Connection", b"x"), (b"X-Kept", b"1")]))
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"x-kept: 1" in lines
    assert not {b"te: 7", b"trailer: 7", b"upgrade: 7", b"connection: 7", b"keep-alive: 7"} & set(lines)
    assert not [line for line in lines if line.startswith(b"proxy-")]
    framed = [line for line in lines if line.startswith((b"content-length:", b"transfer-encoding:"))]
    if request_line.startswith(b"HEAD"):
        assert (framed, body) == ([b"content-length: 7"], b"")
    elif b"chunked" in framed[0]:
        assert framed == [b"transfer-encoding: chunked"]
    else:
        assert framed == [b"content-length: %d" % len(body)]


async def test_a_hijack_that_is_answered_with_a_value_is_one_response() -> None:
    got = await asked(REQUESTS["hijack"], value())
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.count(b"HTTP/1.1") == 1
    assert got.endswith(b'\r\n\r\n{"a":1}')


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(status: int) -> None:
    async def answer(request: Request) -> None:
        near, far = memory_stream_pair()
        await far.send_all(b"POISON")
        await far.send_eof()
        await request.reply.ack(stream=near, details={"status": status})

    for request_line in (REQUESTS["stream"], REQUESTS["whole"]):
        got = await asked(request_line, answer)
        assert got.startswith(b"HTTP/1.1 %d " % status)
        assert got.endswith(b"\r\n\r\n")
        assert b"POISON" not in got
    got = await asked(REQUESTS["value"], value(status=status))
    assert got.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("kind", ["watch", "progress"])
async def test_what_comes_in_pieces_has_no_body_either_with_such_a_status(kind: str, status: int) -> None:
    async def answer(request: Request) -> None:
        if kind == "watch":
            await request.reply.ack(details={"status": status})
        await request.reply.set({"a": "POISON"}, details={"status": status})
        await request.reply.set({"a": "POISON"})
        if kind == "progress":
            await request.reply.ack()

    got = await asked(REQUESTS[kind], answer)
    assert got.startswith(b"HTTP/1.1 %d " % status)
    assert got.index(b"\r\n\r\n") == len(got) - 4


@pytest.mark.parametrize("request_line", [REQUESTS[kind] for kind in ("value", "watch", "progress", "spawn")])
async def test_a_stream_where_there_should_be_a_value_is_closed(request_line: bytes) -> None:
    near, far = memory_stream_pair()

    async def answer(request: Request) -> None:
        await request.reply.ack(stream=near)

    assert (await asked(request_line, answer)).startswith(b"HTTP/1.1 502 ")
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"x")


async def test_a_conversation_needs_a_stream_that_goes_both_ways() -> None:
    async def answer(request: Request) -> None:
        near, _ = memory_stream_pair()
        await request.reply.ack(stream=near.receive_stream)

    assert (await asked(REQUESTS["hijack"], answer)).startswith(b"HTTP/1.1 502 ")


async def test_an_errors_text_is_one_json_value_whatever_it_holds() -> None:
    async def answer(request: Request) -> None:
        await request.reply.error(NotFound("x\r\n\0\x1b[2J\ud83d"))

    for request_line in (REQUESTS["value"], REQUESTS["progress"]):
        got = await asked(request_line, answer)
        assert got.startswith(b"HTTP/1.1 404 ")
        body = got.partition(b"\r\n\r\n")[2]
        assert json.loads(body)["message"].startswith("x\r\n\0\x1b[2J")
        assert b"\x1b" not in body


async def test_what_a_broken_stream_said_is_no_whole_response(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def answer(request: Request) -> None:
        await request.reply.ack()
        await request.reply.set(Json(b'{"n":1}'))
        await request.reply.error(Internal("it broke"))

    got = await asked(REQUESTS["watch"], answer)
    assert b'{"n":1}' in got
    assert not got.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("size", [0, 1000])
async def test_an_answer_that_never_ends_takes_no_more_memory_than_allowed(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MAX_ANSWER", 100_000)
    sent = 0
    ended = trio.Event()

    async def answer(request: Request) -> None:
        nonlocal sent
        try:
            while True:
                await request.reply.set(Json(b'"%s"' % (b"x" * size)))
                sent += size + 500
        finally:
            ended.set()

    with trio.fail_after(5):
        async with connect(Evil(answer)) as swarm:
            with pytest.raises(BadAnswer, match="longer than 100000 bytes"):
                await swarm.set("images", "x")
            await ended.wait()
    assert sent < 150_000


@pytest.mark.parametrize("status", [302, 200, 99, 600, "404", 404.0, True, [], 10**30])
async def test_an_error_whose_status_is_none_is_a_bad_answer(status: object) -> None:
    async def answer(request: Request) -> None:
        await request.reply.error(NotFound("x", details={"status": status}))

    assert (await asked(REQUESTS["value"], answer)).startswith(b"HTTP/1.1 502 ")
    with pytest.raises(BadAnswer, match="from 400 to 599"):
        status_of(NotFound("x", details={"status": status}))
