"""Peers that break the rules: whatever one does, the others are served as if it were not there."""

import os
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from swarmlib import Client, Request, Unavailable, Verb, connect, open_reply
from swarmlib.wire.connection import Connection, open_connection
from tests.support.engines import free_port
from tests.support.processes import Swarmd, served

MEMORY = 150
"""MiB that a process may have taken after whatever was done to it."""


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[Swarmd, int]]:
    port = free_port()
    words = f"listen tcp://127.0.0.1:{port} --keepalive 0.3 --keepalive-timeout 1 --limit handshake=1"
    with served(words, "exec") as running:
        yield running, port


@pytest.fixture
async def others(listener: tuple[Swarmd, int]) -> AsyncGenerator[Client]:
    """A client that behaves, before and after what a test does; with its calls answered at once."""
    async with connect(f"remote tcp://127.0.0.1:{listener[1]}") as swarm:
        yield swarm
        await is_served(swarm)
        assert listener[0].memory() < MEMORY


async def is_served(swarm: Client) -> None:
    with trio.fail_after(1):
        assert await swarm.get("version")


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
        bytes.fromhex("16030100c8010000c40303"),
        b"\0" * 4096,
        b"\xff" * 4096,
        os.urandom(1 << 20),
    ],
    ids=["http", "tls", "zeros", "ones", "noise"],
)
async def test_who_talks_garbage_is_cut_off(said: bytes, listener: tuple[Swarmd, int], others: Client) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", listener[1]) as garbage:
        with trio.fail_after(5):
            try:
                await garbage.send_all(said)
                while await garbage.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass  # cut off while it still spoke
    await is_served(others)


async def test_who_says_nothing_is_cut_off_in_time(listener: tuple[Swarmd, int], others: Client) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", listener[1]) as silent:
        await is_served(others)
        with trio.fail_after(3):
            while await silent.receive_some():
                pass


async def test_many_who_come_and_go_leave_nothing(listener: tuple[Swarmd, int], others: Client) -> None:
    before = len(os.listdir(f"/proc/{listener[0].process.pid}/fd"))
    for _ in range(300):
        socket.create_connection(("127.0.0.1", listener[1])).close()
    with trio.fail_after(5):
        while len(os.listdir(f"/proc/{listener[0].process.pid}/fd")) > before:
            await is_served(others)


class Deaf(trio.abc.Stream):
    """A connection that stops to read when it is told to."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.deaf = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self.deaf:
            await trio.sleep_forever()
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def bad_peer(port: int) -> AsyncGenerator[tuple[Connection, Deaf]]:
    """A session that was agreed as any other."""
    stream = Deaf(await trio.open_tcp_stream("127.0.0.1", port))
    async with open_connection(stream, service=None, initiator=True) as connection:
        yield connection, stream


async def test_who_floods_and_never_reads_holds_up_nobody(listener: tuple[Swarmd, int], others: Client) -> None:
    async with bad_peer(listener[1]) as (connection, stream):
        stream.deaf = True

        async def flood() -> None:
            while not connection.closed.is_set():
                reply, replies = open_reply()
                kept.append(replies)
                await connection.sender.send(Request(Verb.GET, ("version",), reply=reply))

        kept: list[object] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            for _ in range(20):
                await is_served(others)
            nursery.cancel_scope.cancel()


async def test_who_never_reads_its_streams_holds_up_nobody(listener: tuple[Swarmd, int], others: Client) -> None:
    async with bad_peer(listener[1]) as (connection, stream):
        spoiled = Client(connection.sender)
        made = await spoiled.spawn({"Image": "any", "Cmd": ["cat", "/dev/zero"]})
        await made.start()
        streams = [await spoiled.connect(*made.path, stream="1", stdout="1") for _ in range(4)]
        await is_served(spoiled)
        for _ in range(20):
            await is_served(others)
        stream.deaf = True
        for _ in range(20):
            await is_served(others)
        for each in streams:
            await trio.aclose_forcefully(each)
        await others.rm(*made.path, force="1")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", os.urandom(1 << 16)])
async def test_a_far_side_that_talks_garbage_is_an_error_in_words(said: bytes) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(said)

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        async with connect(f"remote tcp://127.0.0.1:{port}") as swarm:
            with pytest.raises(Unavailable, match=f"tcp://127.0.0.1:{port} is not connected: "):
                await swarm.get()
        nursery.cancel_scope.cancel()
