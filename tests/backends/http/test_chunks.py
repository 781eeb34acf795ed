"""Bodies of requests and responses: however they are split, they mean what llhttp alone takes them for."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import httptools
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Invalid, SwarmError
from swarmlib.pieces import PIECE, Buffer, Memory, PieceReceiver, Stretch
from swarmlib_backends.docker.response import Responses
from swarmlib_backends.http.chunks import CountedData, PlainChunks
from swarmlib_backends.http.incoming import Incoming
from swarmlib_backends.http.outgoing import LAST_CHUNK, chunk

REQUEST = b"PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


Move: TypeAlias = Callable[[Stretch], Awaitable[None]]


class Body(NamedTuple):
    """What a reader understood: the data, whether it was complete, and what was malformed."""

    data: bytes
    complete: bool = False
    flaw: str = ""


class Split(PieceReceiver):
    """A stream that gives parts of any size, in memory that is overwritten later."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = list(parts)

    @property
    def unread(self) -> bool:
        return bool(self._parts)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._parts.pop(0) if self._parts else b""

    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        data = await self.receive_some()
        view = memory.take()
        view[:] = bytes(PIECE)
        view[: len(data)] = data
        return [view[: len(data)]] if data else []

    async def move(self, stretch: Stretch) -> None:
        """As a thread does, until the end of the body or of the parts."""
        assert stretch.cut is not None
        more, held = True, b""
        while more and self._parts:
            pieces, more = stretch.cut(memoryview(bytearray(self._parts.pop(0))))
            held += b"".join(pieces)
            stretch.held = [held]

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class Judge:
    """What llhttp takes a body for."""

    def __init__(self) -> None:
        self.data, self.complete = b"", False

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self.data += data

    def on_message_complete(self) -> None:
        self.complete = True

    def read(self, head: bytes, body: bytes) -> Body:
        parser: Any = httptools.HttpRequestParser(self) if head is REQUEST else httptools.HttpResponseParser(self)
        parser.feed_data(head)
        try:
            parser.feed_data(body)
        except httptools.HttpParserError as exc:
            return Body(self.data, self.complete, "" if self.complete else str(exc))
        return Body(self.data, self.complete)


async def all_of(next_pieces: Callable[[Memory], Awaitable[Sequence[Buffer]]], move: Move | None = None) -> Body:
    data = b""
    with Memory() as memory:
        stretch = Stretch(lambda: -1, memory)
        try:
            if move is not None:
                try:
                    await move(stretch)
                finally:
                    data += b"".join(stretch.held)
            while pieces := await next_pieces(memory):
                data += b"".join(pieces)
        except SwarmError as exc:
            cut = "in the middle of a body" in exc.message
            return Body(data, flaw="" if cut else exc.message.rpartition(": ")[2])
    return Body(data, complete=True)


async def body_of(incoming: Incoming, *, in_place: bool, moved: bool = False) -> Body:
    await incoming.next_head()
    incoming.stay()

    async def chunk(_: Memory) -> Sequence[Buffer]:
        return [data] if (data := await incoming.next_chunk()) else []

    return await all_of(incoming.next_pieces if in_place else chunk, incoming.move if moved else None)


async def of_request(parts: Sequence[bytes], *, in_place: bool, moved: bool = False) -> Body:
    return await body_of(Incoming(Split([REQUEST, *parts])), in_place=in_place, moved=moved)


async def of_response(parts: Sequence[bytes], *, moved: bool = False) -> tuple[Body, bool]:
    stream = Split([RESPONSE, *parts])
    responses = Responses(stream, "engine")
    await responses.head("GET")
    found = await all_of(responses.next_pieces, responses.move if moved else None)
    return found, responses.at_rest and not stream.unread  # which is looked at before the connection is used again


plain = st.builds(
    lambda data, zeros, upper: b"%s%s\r\n%s\r\n" % (b"0" * zeros, (b"%X" if upper else b"%x") % len(data), data),
    st.binary(min_size=1, max_size=40),
    st.sampled_from([0, 0, 0, 1, 13, 14, 15]),
    st.booleans(),
)
ODD = (
    *(b"2;a=b\r\nxy\r\n", b'1;a="b"\r\nx\r\n', b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"00\r\n\r\n", b"\r\n", b"\r"),
    *(
        b"\n",
        b"g\r\n",
        b"1\nx\r\n",
        b"1 \r\nx\r\n",
        b"-1\r\n",
        b"0x1\r\nx\r\n",
        b"1\r\nxx\r\n",
        b"1\r\nx\n",
        b"1\r\nx\rx",
    ),
    *(b"f" * 15 + b"\r\n", b"f" * 16 + b"\r\n", b"f" * 17 + b"\r\n", b"+1\r\nx\r\n", b"1\r\r\nx\r\n", b";\r\n", b"\0"),
)
odd = st.sampled_from(ODD)
bodies = st.builds(
    lambda begin, middle, end: b"".join([*begin, *middle, *end]),
    st.lists(plain, max_size=4),
    st.lists(odd, max_size=2),
    st.one_of(st.lists(plain, max_size=2), st.just([b"0\r\n\r\n"])),
)


def split(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(body) + 1) for cut in cuts})
    parts = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
    return [part for part in parts if part]


@given(bodies, st.lists(st.integers(0, 1000), max_size=8))
def test_a_request_is_read_as_the_parser_alone_does(body: bytes, cuts: list[int]) -> None:
    wanted = Judge().read(REQUEST, body)
    for in_place, moved in ((False, False), (True, False), (True, True)):
        reading = partial(of_request, split(body, cuts), in_place=in_place, moved=moved)
        assert trio.run(reading) == wanted


@pytest.mark.parametrize("moved", [False, True])
@given(bodies, st.lists(st.integers(0, 1000), max_size=8))
def test_a_response_is_read_as_the_parser_alone_does(moved: bool, body: bytes, cuts: list[int]) -> None:
    wanted = Judge().read(RESPONSE, body)
    found, at_rest = trio.run(partial(of_response, split(body, cuts), moved=moved))
    assert (found.complete, found.flaw) == (wanted.complete, wanted.flaw)
    assert wanted.data.startswith(found.data)  # what comes together with something malformed is not delivered
    assert found.data == wanted.data or wanted.flaw
    assert not at_rest or (wanted.complete and body.endswith(b"0\r\n\r\n"))


async def test_a_response_leaves_its_connection_at_rest_wherever_it_is_split() -> None:
    body = b"3\r\nabc\r\n0\r\n\r\n"
    for cut in range(len(body)):
        _, at_rest = await of_response(split(body, [cut]))
        assert at_rest, cut


async def test_a_response_that_is_parsed_leaves_its_connection_at_rest_if_its_last_chunk_comes_at_once() -> None:
    body = b"3\r\nabc\r\n3;x\r\ndef\r\n0\r\n\r\n"
    for cut in range(len(body) - 4):  # the parser does not say where a last chunk that is split has ended
        _, at_rest = await of_response(split(body, [cut]))
        assert at_rest, cut


async def test_bytes_behind_a_response_are_no_part_of_it() -> None:
    found, at_rest = await of_response([b"3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX"])
    assert found == Body(b"abc", complete=True)
    assert not at_rest


async def test_a_request_behind_a_body_is_the_next_request() -> None:
    incoming = Incoming(Split([REQUEST, b"3\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n"]))
    await incoming.next_head()
    incoming.stay()
    assert await all_of(incoming.next_pieces) == Body(b"abc", complete=True)
    head = await incoming.next_head()
    assert head is not None
    assert head.target == "/next"


def test_data_is_not_copied() -> None:
    came = memoryview(bytearray(b"5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n"))
    chunks = PlainChunks()
    found = chunks.scan(came)
    assert [bytes(piece) for piece in found.pieces] == [b"abcde", b"fghij"]
    assert all(piece.obj is came.obj for piece in found.pieces)
    assert chunks.complete


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=40, max_size=60), st.lists(st.integers(0, 9000)))
def test_many_small_chunks_mean_what_llhttp_takes_them_for(lines: list[bytes], cuts: list[int]) -> None:
    body = b"".join(map(chunk, lines)) + b"3000\r\n" + bytes(0x3000) + b"\r\n" + LAST_CHUNK
    expected = Judge().read(RESPONSE, body)
    for moved in (False, True):
        found, _ = trio.run(partial(of_response, split(body, cuts), moved=moved))
        assert found == expected
        assert trio.run(partial(of_request, split(body, cuts), in_place=True, moved=moved)) == expected


async def test_the_lines_that_one_read_brings_are_few_pieces() -> None:
    responses = Responses(Split([RESPONSE, chunk(b"line\n") * 1000, chunk(b"line\n") * 1000]), "engine")
    await responses.head("GET")
    with Memory() as memory:
        assert len(await responses.next_pieces(memory)) < 20
        assert await responses.next_pieces(memory) == [b"line\n" * 1000]


LONG = bytes(range(256)) * 257
"""Longer than what the parser is given."""
SIZED = b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("in_place", [False, True])
@given(st.lists(st.integers(0, len(LONG) + 150), max_size=8))
def test_a_body_of_a_known_length_ends_there_and_the_next_request_begins(in_place: bool, cuts: list[int]) -> None:
    async def read() -> None:
        incoming = Incoming(Split(split(SIZED % len(LONG) + LONG + SIZED % len(LONG) + LONG + NEXT, cuts)))
        for _ in range(2):
            assert await body_of(incoming, in_place=in_place) == Body(LONG, complete=True)
        head = await incoming.next_head()
        assert head is not None
        assert (head.method, head.target, head.has_body) == ("GET", "/next", False)
        assert await incoming.next_head() is None

    trio.run(read)


@pytest.mark.parametrize("in_place", [False, True])
async def test_a_body_of_a_known_length_that_ends_early_is_not_complete(in_place: bool) -> None:
    for came in (0, 1, len(LONG) - 1):
        incoming = Incoming(Split([SIZED % len(LONG), *split(LONG[:came], [])]))
        assert await body_of(incoming, in_place=in_place) == Body(LONG[:came])


async def test_what_is_behind_a_body_of_a_known_length_is_judged_as_a_request() -> None:
    incoming = Incoming(Split([SIZED % len(LONG) + LONG + b"0\r\n\r\n"]))
    assert await body_of(incoming, in_place=True) == Body(LONG, complete=True)
    with pytest.raises(Invalid, match="this is not HTTP"):
        await incoming.next_head()


@pytest.mark.parametrize(
    "framing",
    [
        *(b"Content-Length: 70000\r\nContent-Length: 70001", b"Content-Length: 70000\r\nContent-Length: 70000"),
        *(b"Content-Length: +70000", b"Content-Length: 70_000", b"Content-Length: 70000, 70000"),
        *(b"Content-Length: 0x11170", b"Content-Length: 99999999999999999999999"),
        *(b"Content-Length: 9223372036854775808", b"Content-Length: 18446744073709551615"),
        b"Transfer-Encoding: chunked\r\nContent-Length: 70000",
        b"Content-Length: 70000\r\nTransfer-Encoding: chunked",
    ],
)
async def test_a_length_that_two_readers_may_read_differently_is_refused(framing: bytes) -> None:
    incoming = Incoming(Split([b"PUT /x HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n" + LONG]))
    with pytest.raises(Invalid, match="this is not HTTP"):
        await incoming.next_head()


def test_data_of_a_known_length_is_not_copied() -> None:
    came = memoryview(bytearray(b"abcdeGET"))
    body = CountedData(5)
    found = body.scan(came)
    assert ([bytes(piece) for piece in found.pieces], found.rest, body.complete) == ([b"abcde"], b"GET", True)
    assert found.pieces[0].obj is came.obj
