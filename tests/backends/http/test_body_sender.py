"""Busy bodies are moved by a thread: from one framing into another, with their end, their errors, and what is behind
them.
"""

import os
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from swarmlib.net.sockets import Socket
from swarmlib.pieces import PIECE, Buffer, relay
from swarmlib_backends.docker.response import Responses
from swarmlib_backends.dockerapi.bodies import BodyStream
from swarmlib_backends.http.body_sender import BodySender
from swarmlib_backends.http.incoming import Incoming
from swarmlib_backends.stream_wrappers import CountingWrapper

DATA = os.urandom(32 * 1024) * 96
CHUNKED = b"".join(b"8000\r\n" + DATA[at : at + 0x8000] + b"\r\n" for at in range(0, len(DATA), 0x8000))
LAST = b"0\r\n\r\n"
REQUEST = b"PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZED = b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(DATA)
RESPONSE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


def pair() -> tuple[Socket, trio.SocketStream]:
    """A socket as the product makes it, and its other end."""
    ours, theirs = map(trio.SocketStream, map(trio.socket.from_stdlib_socket, socket.socketpair()))
    return Socket(ours), theirs


class Counted(CountingWrapper):
    """Counts what is received."""

    came = 0

    async def received(self, count: int) -> None:
        self.came += count


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all reads by a thread."""
    sizes: list[int] = []
    real = os.readv

    def counting(descriptor: int, views: Sequence[memoryview]) -> int:
        count = real(descriptor, views)
        if threading.current_thread() is not threading.main_thread():
            sizes.append(count)
        return count

    monkeypatch.setattr(os, "readv", counting)
    return sizes


class Moving:
    """A source that is sent to, a sink, and what has come out of it, once its end is read."""

    def __init__(self) -> None:
        self.source, self._feeder = pair()
        self.sink, self._end = pair()
        self.came = bytearray()

    async def _feed(self, parts: Sequence[bytes]) -> None:
        for part in parts:
            await self._feeder.send_all(part)
        await self._feeder.send_eof()

    async def _gather(self) -> None:
        async for data in self._end:
            self.came += data

    @classmethod
    @asynccontextmanager
    async def fed(cls, *parts: bytes) -> AsyncGenerator["Moving"]:
        moving = cls()
        async with moving.source, moving._feeder, moving._end, trio.open_nursery() as feeding:
            feeding.start_soon(moving._feed, parts)
            async with trio.open_nursery() as gathering, moving.sink:
                gathering.start_soon(moving._gather)
                yield moving
            feeding.cancel_scope.cancel()


async def send(sending: Awaitable[None]) -> None:
    await sending


async def upload(moving: Moving) -> Incoming:
    incoming = Incoming(moving.source)
    await incoming.next_head()
    incoming.stay()
    return incoming


async def data_in(chunks: bytes) -> bytes:
    """The data of a body that was written in chunks."""
    responses = Responses(_Given(RESPONSE + chunks), "the sender")
    await responses.head("GET")
    return await responses.body(3 * len(DATA))


class _Given(trio.abc.ReceiveStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        data, self._data = self._data, b""
        return data

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("chunks", [True, False])
async def test_a_busy_response_is_moved_by_a_thread(chunks: bool, moved: list[int]) -> None:
    async with Moving.fed(RESPONSE, CHUNKED, LAST) as moving:
        responses = Responses(moving.source, "engine")
        await responses.head("GET")
        body = Counted(BodyStream(responses))
        await relay(body, BodySender(moving.sink, send, chunks=chunks))
    assert sum(moved) > len(DATA) // 2
    assert (await data_in(bytes(moving.came) + LAST) if chunks else moving.came) == DATA
    assert body.came == len(DATA)
    assert responses.at_rest


@pytest.mark.parametrize("head", [REQUEST, SIZED])
async def test_a_busy_upload_is_moved_by_a_thread_and_the_next_request_is_read(head: bytes, moved: list[int]) -> None:
    body = DATA if head is SIZED else CHUNKED + LAST
    async with Moving.fed(head, body + NEXT) as moving:
        incoming = await upload(moving)
        await relay(BodyStream(incoming), BodySender(moving.sink, send))
        following = await incoming.next_head()
    assert sum(moved) > len(DATA) // 2
    assert await data_in(bytes(moving.came) + LAST) == DATA
    assert following is not None
    assert following.target == "/next"


@pytest.mark.parametrize("behind", [b"8000;name=value\r\n" + DATA[:0x8000] + b"\r\n", b"8000\n", b"8000\r\ncut"])
async def test_what_is_not_plain_is_judged_by_the_parser_amid_a_stretch(behind: bytes, moved: list[int]) -> None:
    async with Moving.fed(REQUEST, CHUNKED + behind + (CHUNKED + LAST if b";" in behind else b"")) as moving:
        incoming = await upload(moving)
        sending = relay(BodyStream(incoming), BodySender(moving.sink, send))
        if b";" in behind:
            await sending
        else:
            with pytest.raises(trio.BrokenResourceError, match=r"this is not HTTP|in the middle of a body"):
                await sending
    assert moved
    wanted = DATA + DATA[:0x8000] + DATA if b";" in behind else DATA
    assert (await data_in(bytes(moving.came) + LAST)).startswith(wanted)


async def test_an_engine_whose_chunks_are_malformed_is_told_apart_from_a_client_that_left(moved: list[int]) -> None:
    async with Moving.fed(RESPONSE, CHUNKED + b"x\r\n" + CHUNKED) as moving:
        responses = Responses(moving.source, "engine")
        await responses.head("GET")
        with pytest.raises(trio.BrokenResourceError, match="not validly chunked"):
            await relay(BodyStream(responses), BodySender(moving.sink, send))
    assert moved


async def test_the_sink_that_breaks_is_told_by_the_sender(moved: list[int]) -> None:
    class Left(Exception):
        pass

    async def told(sending: Awaitable[None]) -> None:
        try:
            await sending
        except trio.BrokenResourceError as exc:
            raise Left from exc

    async def leave_once_moved() -> None:
        while not moved:
            await end.receive_some()
        await end.aclose()

    source, feeder = pair()
    sink, end = pair()

    async def feed() -> None:
        with suppress(trio.BrokenResourceError):
            await feeder.send_all(REQUEST)
            while True:
                await feeder.send_all(CHUNKED)

    before = len(os.listdir("/proc/self/fd"))
    async with source, feeder, sink, end, trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        nursery.start_soon(leave_once_moved)
        incoming = Incoming(source)
        await incoming.next_head()
        incoming.stay()
        with pytest.raises(Left):
            await relay(BodyStream(incoming), BodySender(sink, told))
        nursery.cancel_scope.cancel()
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_small_pieces_make_one_chunk() -> None:
    sink, end = pair()
    pieces: list[Buffer] = [b"ab", memoryview(b"cde")]
    async with end:
        async with sink:
            sender = BodySender(sink, send)
            await sender.send_pieces(pieces)
            await sender.send_all(b"")  # would be the last chunk
            await sender.send_all(b"f")
            await sender.wait_send_all_might_not_block()
            await sender.aclose()
        assert await end.receive_some(PIECE) == b"5\r\nabcde\r\n1\r\nf\r\n"
