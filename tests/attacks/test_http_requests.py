"""Requests between the lines: where two readers of HTTP could see different requests, dockerserver refuses them."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from swarmlib import Chain, Meta, NotFound, Request, Server, Verb
from swarmlib_backends.dockerserver.connection import HEAD_SECONDS
from tests.backends.dockerserver.test_gateway import serve_on

HIDDEN = b"DELETE /containers/victim?force=1 HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(eq=False)
class Seen(Server):
    """Notes what it is asked."""

    verbs: list[Verb] = field(default_factory=list[Verb])
    requests: list[Request] = field(default_factory=list[Request])

    def handlers(self) -> dict[Any, Any]:
        return dict.fromkeys(Verb, self._note)

    async def _note(self, request: Request) -> None:
        self.verbs.append(request.verb)
        self.requests.append(request)
        if request.upload is not None:
            while await request.upload.receive_some():
                pass
        await request.reply.ack()


async def said(stage: Server, *parts: bytes) -> bytes:
    """What a client gets for its bytes, before a chain of one stage."""
    near, far = memory_stream_pair()
    async with Chain(stage).open() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(serve_on, far, sender)
        for part in parts:
            await near.send_all(part)
        await near.send_eof()
        return b"".join([bytes(piece) async for piece in near])


async def served(*parts: bytes) -> tuple[list[Verb], list[int]]:
    """What the stages see of a client's bytes, and the statuses of the responses."""
    seen = Seen()
    got = await said(seen, *parts)
    return seen.verbs, [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", got)]


def post(*headers: bytes, target: bytes = b"/containers/create") -> bytes:
    lines = [b"POST " + target + b" HTTP/1.1", b"Host: x", b"Content-Type: application/json", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


UPGRADE = (b"Connection: Upgrade", b"Upgrade: tcp")

AMBIGUOUS = {
    "two lengths": post(b"Content-Length: 0", b"Content-Length: 54") + HIDDEN,
    "a list of lengths": post(b"Content-Length: 0, 54") + HIDDEN,
    "a signed length": post(b"Content-Length: +0") + HIDDEN,
    "a hexadecimal length": post(b"Content-Length: 0x0") + HIDDEN,
    "a huge length": post(b"Content-Length: 18446744073709551616") + HIDDEN,
    "a length and chunks": post(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + HIDDEN,
    "a space before the colon": post(b"Transfer-Encoding : chunked") + b"0\r\n\r\n" + HIDDEN,
    "a folded header": post(b"Transfer-Encoding:", b" chunked") + b"0\r\n\r\n" + HIDDEN,
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n" + HIDDEN,
    "an unknown coding": post(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + HIDDEN,
    "a coding with a tab": post(b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n" + HIDDEN,
    "a chunk size with a sign": post(b"Transfer-Encoding: chunked") + b"+0\r\n\r\n" + HIDDEN,
    "a huge chunk size": post(b"Transfer-Encoding: chunked") + b"10000000000000000\r\n\r\n" + HIDDEN,
    "a chunk that ends with LF": post(b"Transfer-Encoding: chunked") + b"2\n{}\n0\n\n" + HIDDEN,
    "bare LF": b"GET /_ping HTTP/1.1\nHost: x\n\n" + HIDDEN,
    "bare CR": b"GET /_ping HTTP/1.1\r\nHost: x\rA: b\r\n\r\n" + HIDDEN,
    "NUL in a header": b"GET /_ping HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n" + HIDDEN,
    "NUL in the target": b"GET /_ping\0 HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "a space in the target": b"GET /_ping x HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "HTTP/0.9": b"GET /_ping\r\n" + HIDDEN,
    "HTTP/1.2": b"GET /_ping HTTP/1.2\r\nHost: x\r\n\r\n" + HIDDEN,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "HTTP/2 in name": b"GET /_ping HTTP/2.0\r\nHost: x\r\n\r\n" + HIDDEN,
    "HTTP/0.9 in name": b"GET /_ping HTTP/0.9\r\nHost: x\r\n\r\n" + HIDDEN,
    "two hosts": b"GET /_ping HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n" + HIDDEN,
    "a method in small letters": b"get /_ping HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "an upgrade with an unknown coding": post(*UPGRADE, b"Transfer-Encoding: gzip") + b"0\r\n\r\n" + HIDDEN,
    "a conversation with an unknown coding": post(*UPGRADE, b"Transfer-Encoding: xchunked", target=b"/session")
    + HIDDEN,
    "a conversation with two codings": post(*UPGRADE, b"Transfer-Encoding: gzip, chunked", target=b"/session") + HIDDEN,
    "an upgrade with a length and chunks": post(*UPGRADE, b"Content-Length: 0", b"Transfer-Encoding: chunked")
    + b"0\r\n\r\n"
    + HIDDEN,
    "an unknown upgrade with a body": post(*UPGRADE, b"Content-Length: 54", target=b"/session") + HIDDEN,
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(sent: bytes) -> None:
    for parts in ((sent,), (sent.removesuffix(HIDDEN), HIDDEN)):
        verbs, statuses = await served(*parts)
        assert Verb.RM not in verbs
        assert statuses == [400]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"x:80", 400),
        (b"*", 301),
        (b"//x/_ping", 301),
        (b"/a/../_ping", 301),
        (b"/%2e%2e/_ping", 301),
        (b"/_ping/", 404),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE"])
async def test_nothing_is_done_under_a_path_that_is_not_normal(method: bytes, target: bytes, status: int) -> None:
    verbs, statuses = await served(method + b" " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", HIDDEN)
    assert (verbs, statuses) == ([], [status])


@pytest.mark.parametrize("target", [b"*", b"/", b"/containers/json", b"//x", b"http://x"])
async def test_options_are_judged_as_anything_else(target: bytes) -> None:
    verbs, statuses = await served(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", HIDDEN)
    assert verbs == [Verb.CONNECT]
    assert len(statuses) == 1


@pytest.mark.parametrize(
    "first",
    [
        b"GET /nonesuch HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /nonesuch HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"POST /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
        b"POST /containers/x/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        b"POST /containers/x/attach HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //odd HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        b"GET /_ping HTTP/1.0\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
async def test_what_stands_behind_the_last_request_is_none(first: bytes) -> None:
    for parts in ((first + HIDDEN,), (first, HIDDEN)):
        verbs, statuses = await served(*parts)
        assert Verb.RM not in verbs
        assert len(statuses) == 1


@pytest.mark.parametrize(
    "broken", [b"\0", b"GET /_ping HTTP/9.9\r\n\r\n", b"A" * 1_100_000, b"GET / HTTP/1.1\r\n" + b"A:b\r\n" * 11_000]
)
@pytest.mark.parametrize(
    "first", [HIDDEN, post(b"Content-Length: 2") + b"{}", post(b"Content-Length: 2", target=b"/build") + b"ab"]
)
async def test_what_stands_before_something_broken_is_answered(first: bytes, broken: bytes) -> None:
    for parts in ((first + broken,), (first, broken)):
        verbs, [answer, refusal] = await served(*parts)
        assert len(verbs) == 1
        assert (answer < 300, 400 <= refusal < 500) == (True, True)


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"2\r\nabXX\r\n", b"2\r\nab\r\n-1\r\n", b"0\r\nbad\r\n\r\n"])
async def test_broken_chunks_of_an_upload_are_answered(chunks: bytes) -> None:
    sent = post(b"Transfer-Encoding: chunked", target=b"/build")
    for parts in ((sent + chunks,), (sent, chunks), (sent, chunks, HIDDEN)):
        verbs, statuses = await served(*parts)
        assert (verbs, statuses) == ([Verb.SPAWN], [400])


@pytest.mark.parametrize("expected", [b"200-ok", b"100-continued", b"x, y"])
async def test_other_expectations_fail(expected: bytes) -> None:
    verbs, statuses = await served(post(b"Content-Length: 2", b"Expect: " + expected) + b"{}" + HIDDEN)
    assert (verbs, statuses) == ([], [417])


@pytest.mark.parametrize("expected", [b"", b"100-continue", b"100-Continue", b"x, 100-continue"])
async def test_a_body_may_be_waited_with(expected: bytes) -> None:
    verbs, statuses = await served(post(b"Content-Length: 2", b"Expect: " + expected) + b"{}")
    assert (verbs, statuses) == ([Verb.SPAWN], [100, 201] if expected else [201])


async def test_behind_the_last_request_of_an_old_client_none_is_read() -> None:
    """To HTTP/1.0 the end of a connection is that of its answer, whatever the client says."""
    sent = b"GET /_ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert await served(sent + HIDDEN) == ([Verb.GET], [200])


async def test_an_upgrade_that_the_operation_does_not_know_is_not_granted() -> None:
    """As an engine, which reads on: what follows are requests, and each goes through every stage."""
    upgrade = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    assert await served(upgrade + HIDDEN) == ([Verb.GET, Verb.RM], [200, 204])


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 2", b"{}"),
        (b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"1\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("target", [b"/containers/create", b"/build", b"/exec/x/start"])
async def test_a_body_is_framed_as_ever_where_an_upgrade_is_asked_for(
    target: bytes, framing: bytes, body: bytes
) -> None:
    """What stands behind it is a request where the operation knows no upgrade, and else nothing that a stage sees."""
    sent = post(*UPGRADE, framing, target=target) + body + HIDDEN
    for parts in ((sent,), [sent[at : at + 1] for at in range(len(sent))]):
        verbs, statuses = await served(*parts)
        assert (Verb.RM in verbs) == (target != b"/exec/x/start")
        assert len(statuses) == len(verbs)
        assert all(status < 300 for status in statuses)


async def test_an_upgrade_in_the_segment_of_the_request_before_it_is_answered() -> None:
    upgrade = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    assert await served(HIDDEN + upgrade + HIDDEN) == ([Verb.RM, Verb.GET, Verb.RM], [204, 200, 204])


async def test_no_parameter_and_no_header_says_who_calls_or_which_version_is_spoken() -> None:
    names = ("version", "caller", "headers", "x-registry-auth", "method", "target")
    query = b"&".join(b"%%3A%s=9.9&%s=9.9" % (name.encode(), name.encode()) for name in names)
    forged = b"Caller: cert:root\r\nVersion: 9.9\r\n"
    seen = Seen()
    got = await said(seen, b"GET /v1.41/containers/json?" + query + b" HTTP/1.1\r\nHost: x\r\n" + forged + b"\r\n")
    assert got.startswith(b"HTTP/1.1 200 ")
    [asked] = seen.requests
    assert asked.meta == Meta(version="1.41")
    assert asked.params == {prefix + name: "9.9" for name in names for prefix in (":", "")}


@dataclass(eq=False)
class Talks(Server):
    """Has a conversation, in which it says what it heard, or refuses it."""

    refusal: str = ""
    asked: list[Request] = field(default_factory=list[Request])

    def handlers(self) -> dict[Any, Any]:
        return {Verb.CONNECT: self._talk}

    async def _talk(self, request: Request) -> None:
        self.asked.append(request)
        if self.refusal:
            raise NotFound(self.refusal)
        near, far = memory_stream_pair()
        details: dict[str, Any] = {"status": 101} if "upgrade" in request.params else {}
        await request.reply.ack(stream=near, details=details)
        heard = b"".join([bytes(piece) async for piece in far])
        await far.send_all(b"heard " + heard)
        await far.send_eof()


SHAPES = {
    "no framing": ([], b""),
    "no length": ([b"Content-Length: 0"], b""),
    "chunks of which none comes": ([b"Transfer-Encoding: chunked"], b""),
    "no chunk but the last": ([b"Transfer-Encoding: chunked"], b"0\r\n\r\n"),
}
LENGTH = [b"Content-Length: 2"]
CONVERSATIONS = [b"/session", b"/containers/x/attach?stream=1", b"/exec/x/start"]


@pytest.mark.parametrize("target", CONVERSATIONS)
@pytest.mark.parametrize(("framing", "body"), SHAPES.values(), ids=SHAPES)
async def test_an_upgrade_without_a_body_becomes_a_conversation(
    framing: list[bytes], body: bytes, target: bytes
) -> None:
    """In each way in which a client says that there is none; what follows is said in the conversation."""
    if target == b"/exec/x/start":  # an engine reads its body, and waits for it
        framing, body = (framing, b"2\r\n{}\r\n0\r\n\r\n") if b"chunked" in b"".join(framing) else (LENGTH, b"{}")
    head = post(*UPGRADE, *framing, target=target)
    for parts in ((head + body + b"PRI",), (head + body, b"PRI")):
        stage = Talks()
        got = await said(stage, *parts)
        assert got.startswith(b"HTTP/1.1 101 ")
        assert got.endswith(b"\r\n\r\nheard PRI")
        assert [request.upload for request in stage.asked] == [None]


@pytest.mark.parametrize("target", CONVERSATIONS)
@pytest.mark.parametrize("framing", [framing for framing, _ in SHAPES.values()][:2])
async def test_what_a_client_says_before_a_refused_conversation_is_dropped(framing: list[bytes], target: bytes) -> None:
    stage = Talks(refusal="none here")
    exec = target == b"/exec/x/start"
    sent = post(*UPGRADE, *(LENGTH if exec else framing), target=target) + (b"{}" if exec else b"") + HIDDEN
    got = await said(stage, sent)
    assert got.startswith(b"HTTP/1.1 404 ")
    assert b"Connection: close" in got
    assert got.count(b"HTTP/1.1") == len(stage.asked) == 1


async def test_a_trickled_head_has_one_deadline(autojump_clock: MockClock) -> None:
    near, far = memory_stream_pair()
    async with Chain(Seen()).open() as sender, trio.open_nursery() as nursery:

        async def trickle() -> None:
            for byte in b"GET /_ping HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100:
                await near.send_all(bytes([byte]))
                await trio.sleep(1)

        nursery.start_soon(serve_on, far, sender)
        nursery.start_soon(trickle)
        got = bytes(await near.receive_some())
        assert got.startswith(b"HTTP/1.1 408 ")
        assert autojump_clock.current_time() == pytest.approx(HEAD_SECONDS, abs=1)
        nursery.cancel_scope.cancel()
