"""Requests between the lines: where two readers of HTTP could see different requests, dockerserver refuses them."""

import re

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from swarmlib import Chain, Message, Server, Verb
from swarmlib_backends.dockerserver.connection import HEAD_SECONDS
from tests.test_gateway import serve_on

HIDDEN = b"DELETE /containers/victim?force=1 HTTP/1.1\r\nHost: x\r\n\r\n"


class Seen(Server):
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.verbs: list[Verb] = []

    def handlers(self) -> dict[Verb, object]:
        return {verb: self._note for verb in Verb if verb not in (Verb.ACK, Verb.ERROR)}

    async def _note(self, message: Message) -> None:
        self.verbs.append(message.verb)
        if message.att is not None:
            while await message.att.receive_some():
                pass
        await message.reply.ack()


async def served(*parts: bytes) -> tuple[list[Verb], list[int]]:
    """What the stages see of a client's bytes, and the statuses of the responses."""
    near, far = memory_stream_pair()
    seen = Seen()
    async with Chain(seen).open() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(serve_on, far, sender)
        for part in parts:
            await near.send_all(part)
        await near.send_eof()
        got = b"".join([bytes(piece) async for piece in near])
    return seen.verbs, [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", got)]


def post(*headers: bytes, target: bytes = b"/containers/create") -> bytes:
    lines = [b"POST " + target + b" HTTP/1.1", b"Host: x", b"Content-Type: application/json", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


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
    "an upgrade with chunks": post(b"Connection: Upgrade", b"Upgrade: tcp", b"Transfer-Encoding: chunked")
    + b"0\r\n\r\n"
    + HIDDEN,
    "an upload with an upgrade": post(b"Connection: Upgrade", b"Upgrade: tcp", b"Content-Length: 1", target=b"/build")
    + b"x"
    + HIDDEN,
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(sent: bytes) -> None:
    for parts in ((sent,), (sent.removesuffix(HIDDEN), HIDDEN)):
        verbs, statuses = await served(*parts)
        assert Verb.RM not in verbs
        assert statuses == [400]


@pytest.mark.parametrize("target", [b"http://x/_ping", b"x:80", b"*", b"//x/_ping", b"/a/../_ping", b"/%2e%2e/_ping"])
@pytest.mark.parametrize("method", [b"GET", b"CONNECT", b"OPTIONS"])
async def test_a_target_is_a_normal_path(method: bytes, target: bytes) -> None:
    verbs, statuses = await served(method + b" " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (verbs, statuses) == ([], [400])


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


async def test_an_upgrade_that_the_operation_does_not_know_is_not_granted() -> None:
    """As an engine, which reads on: what follows are requests, and each goes through every stage."""
    upgrade = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    assert await served(upgrade + HIDDEN) == ([Verb.GET, Verb.RM], [200, 204])


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
