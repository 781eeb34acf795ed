"""Heads that are repeated mean what they mean to a reader that parses each, whatever comes before and behind them."""

from collections.abc import Iterator, Sequence
from typing import Any

import trio
from hypothesis import example, given
from hypothesis import strategies as st

from swarmlib import SwarmError
from swarmlib_backends.docker.response import Responses
from swarmlib_backends.http.head import Head
from swarmlib_backends.http.incoming import Incoming
from swarmlib_backends.http.repeated import LONGEST, MOST, RepeatedHeads, is_plain
from swarmlib_backends.http.whole_body import whole_body
from tests.support.streams import Given

PING = b"GET /_ping HTTP/1.1\r\nHost: x\r\nUser-Agent: poller\r\n\r\n"
LAST = PING.replace(b"User-Agent: poller", b"Connection: close")
REQUESTS = (
    PING,
    *(PING, PING),  # oftener than the others
    PING + PING,
    PING + b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
    b"\r\n" + PING,
    b"\r\n",
    PING[:20],
    PING[20:],
    PING[:-2],
    PING.replace(b"\r\n", b"\n"),
    PING.replace(b"1.1", b"1.0"),
    LAST,
    PING.replace(b"User-Agent: poller", b"Authorization: Bearer x"),
    PING.replace(b"User-Agent: poller", b"Content-Length: 3"),
    PING.replace(b"User-Agent: poller", b"Transfer-Encoding: chunked"),
    PING.replace(b"User-Agent: poller", b"Connection: upgrade\r\nUpgrade: tcp"),
    b"POST /x HTTP/1.1\r\nHost: x\r\n\r\n",
    *(b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"\x16\x03\x01"),
)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
RESPONSES = (
    *(OK + b"Content-Length: 2\r\n\r\n{}", OK + b"Content-Length: 2\r\n\r\n{", b"}", OK + b"Content-Length: 2\r\n\r\n"),
    *(CHUNKED, CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", CHUNKED + b"2;a=b\r\n{}\r\n0\r\nA: b\r\n\r\n", b"0\r\n\r\n", b"\r\n"),
    *(b"2\r\n{}\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 X\r\n\r\n"),
    *(OK + b"\r\n", OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", OK + b"Content-Length: 0\r\n\r\n", OK),
    *(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 404 X\r\nContent-Length: 2\r\n\r\n{}", b"\r\n\r\n"),
)


def plainly(head: Head) -> tuple[Any, ...]:
    return (
        head.method,
        head.target,
        head.status,
        head.headers,
        head.keep_alive,
        head.upgrade,
        head.chunks,
        head.framed,
    )


async def requests(reads: Sequence[bytes], repeated: RepeatedHeads | None) -> list[Any]:
    """All that a server reads: heads and bodies, and the error that ends them."""
    incoming, found = Incoming(Given(reads), repeated), list[Any]()
    try:
        while (head := await incoming.next_head()) is not None:
            if repeated is not None and incoming.repeatable and is_plain(head):
                repeated.remember(incoming.repeatable, head, "known")
            incoming.stay()
            found += [plainly(head), await whole_body(incoming, 1000)]
    except SwarmError as exc:
        found.append(exc.message)
    return found


async def responses(reads: Sequence[bytes], methods: Sequence[str], repeated: RepeatedHeads) -> list[Any]:
    """All that a client reads: heads and bodies, whether the connection is at rest, and the error that ends them."""
    incoming, found = Responses(Given(reads), "engine", repeated), list[Any]()
    try:
        for method in methods:
            head = await incoming.head(method)
            found += [plainly(head), await incoming.body(1000), incoming.at_rest]
    except SwarmError as exc:
        found.append((type(exc), exc.message))
    return found


@given(st.lists(st.sampled_from(REQUESTS), max_size=8))
@example([PING, LAST, PING])
def test_a_server_reads_the_same_with_heads_that_it_knows(reads: list[bytes]) -> None:
    async def compare() -> None:
        known, plain = RepeatedHeads(), await requests(reads, None)
        for _ in range(2):
            assert await requests(reads, known) == plain

    trio.run(compare)


@given(st.lists(st.sampled_from(RESPONSES), max_size=8), st.lists(st.sampled_from(["GET", "GET", "HEAD"]), max_size=4))
def test_a_client_reads_the_same_with_heads_that_it_knows(reads: list[bytes], methods: list[str]) -> None:
    async def compare() -> None:
        known = RepeatedHeads()
        plain = [await one(reads, methods) for one in (unknown, unknown)]
        assert [await responses(reads, methods, known) for _ in range(2)] == plain

    async def unknown(reads: Sequence[bytes], methods: Sequence[str]) -> list[Any]:
        return await responses(reads, methods, Forgets())

    trio.run(compare)


class Forgets(RepeatedHeads):
    """It knows no head, so that each is parsed."""

    def remember(self, data: bytes, head: Head, meaning: object) -> None:
        pass


async def test_a_head_that_is_repeated_is_not_parsed_again() -> None:
    known = RepeatedHeads()
    incoming = Incoming(Given([PING, PING]), known)
    heads = list[Head | None]()
    for _ in range(2):
        heads.append(head := await incoming.next_head())
        assert head is not None
        if incoming.repeatable:
            known.remember(incoming.repeatable, head, "known")
        incoming.stay()
        assert incoming.skip_empty()
    assert heads[0] is heads[1]
    assert heads[1] is not None
    assert heads[1].meaning == "known"


async def test_the_head_of_an_answer_that_is_repeated_is_not_parsed_again() -> None:
    incoming = Responses(Given([CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"] * 2), "engine", RepeatedHeads())
    heads = [(await incoming.head("GET"), await incoming.body(10), incoming.at_rest) for _ in range(2)]
    assert heads[0][0] is heads[1][0]
    assert heads[0] == heads[1] == (heads[0][0], b"{}", True)


async def test_the_answer_to_head_is_not_taken_for_the_answer_to_get() -> None:
    answer = OK + b"Content-Length: 2\r\n\r\n"
    incoming = Responses(Given([answer + b"{}", answer]), "engine", RepeatedHeads())
    await incoming.head("GET")
    assert await incoming.body(10) == b"{}"
    await incoming.head("HEAD")
    assert await incoming.body(10) == b""
    assert not incoming.at_rest  # a body may follow


def named(count: int) -> Iterator[bytes]:
    return (b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(count))


def test_few_and_short_heads_are_remembered() -> None:
    known = RepeatedHeads()
    for data in named(10 * MOST):
        known.remember(data, Head(), None)
    assert sum(known.find(data) is not None for data in named(10 * MOST)) <= MOST
    known.remember(bytes(LONGEST + 1), Head(), None)
    assert known.find(bytes(LONGEST + 1)) is None
