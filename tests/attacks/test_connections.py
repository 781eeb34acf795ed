"""One client ends everybody: whatever a connection raises, at any point of its life, ends that connection only, is
logged once, and leaves nothing behind. Clients that only take up room make room."""

import errno
import json
import logging
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from swarmlib import Chain, Request, Server, connect
from swarmlib.net import callers
from swarmlib.net.limiter import ConnectionLimiter, most_connections
from swarmlib.net.listening import ENDS, serve
from swarmlib.supervision import supervised
from swarmlib_backends import DockerServer
from swarmlib_backends.dockerserver.connection import Connection
from tests.support.engines import free_port, wait_until

RESET = struct.pack("ii", 1, 0)


class Boxes(Server):
    """A little of everything that a connection can carry."""

    async def ls(self, _: Request) -> list[Any]:
        return []

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.set({"n": 1})

    async def file(self, request: Request) -> None:
        assert request.upload is not None
        while await request.upload.receive_some():
            pass

    async def connect(self, request: Request) -> None:
        near, far = memory_stream_pair()
        await request.reply.ack(stream=near)
        await far.send_all(b"said")
        await far.send_eof()


HEAD = b" HTTP/1.1\r\nHost: localhost\r\n"
EXCHANGES = {
    "list": b"GET /containers/json" + HEAD + b"\r\n",
    "two": (b"GET /containers/json" + HEAD + b"\r\n") * 2,
    "watch": b"GET /events" + HEAD + b"\r\n",
    "upload": b"POST /images/load" + HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\ntar",
    "attach": b"POST /containers/x/attach" + HEAD + b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    "bad": b"GET //x" + HEAD + b"\r\nGET garbage",
}


class Failing(trio.abc.HalfCloseableStream):
    """A stream whose `nth` call raises; `passed` tells whether there were fewer."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, nth: int, error: BaseException) -> None:
        self._stream = stream
        self._left = nth
        self._error = error

    @property
    def passed(self) -> bool:
        return self._left > 0

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise self._error

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self._count()
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._count()
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        self._count()

    async def send_eof(self) -> None:
        self._count()
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def converse(sender: Any, limiter: ConnectionLimiter, sent: bytes, nth: int, error: BaseException) -> bool:
    """One client's exchange on a stream that fails at the nth call; gives whether it did not come to that."""
    near, far = memory_stream_pair()
    failing = Failing(far, nth, error)
    with limiter.admit() as client:
        assert client is not None
        async with failing:
            await near.send_all(sent)
            await near.send_eof()
            await supervised("this client", Connection(failing, sender, client).serve, expected=ENDS)
    return failing.passed


@pytest.mark.parametrize("sent", EXCHANGES.values(), ids=EXCHANGES)
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "broken hardware"),
        RuntimeError("a bug"),
        ExceptionGroup("several", [ValueError("one"), trio.BrokenResourceError("two")]),
        ConnectionResetError("reset"),
        trio.BrokenResourceError("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_each_await_of_a_connections_life_may_raise(
    sent: bytes, error: Exception, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    limiter = ConnectionLimiter(1, "dockerserver")  # so that one that stayed would shut out the next
    async with Chain(Boxes()).open() as sender:
        before = trio.lowlevel.current_statistics().tasks_living
        failed = 0
        for nth in range(1, 100):
            caplog.clear()
            with trio.fail_after(60):
                if await converse(sender, limiter, sent, nth, error):
                    break
            failed += 1
            bugs = [record for record in caplog.records if record.levelno >= logging.ERROR]
            assert len(bugs) == (not isinstance(error, ENDS)), [record.getMessage() for record in bugs]
            await wait_all_tasks_blocked()
            assert trio.lowlevel.current_statistics().tasks_living == before
        assert failed >= 3


# The accepting itself.


@asynccontextmanager
async def echo_server(
    failures: list[OSError], make_room: Callable[[], bool] = lambda: False
) -> AsyncGenerator[tuple[str, int]]:
    async def echo(stream: trio.SocketStream, client: str) -> None:
        assert client.startswith("ip:")
        await stream.send_all(bytes(await stream.receive_some()))

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    accept = listener.accept

    async def failing() -> trio.SocketStream:
        if failures:
            raise failures.pop(0)
        return await accept()

    listener.accept = failing  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve, [listener], echo, "echo", make_room=make_room))
        yield listener.socket.getsockname()
        nursery.cancel_scope.cancel()


async def says_hello(address: tuple[str, int]) -> bool:
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(b"hello")
        return bytes(await stream.receive_some()) == b"hello"


async def test_accepting_survives_whatever_accept_says_and_logs_an_episode_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    numbers = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ECONNABORTED, errno.EIO)
    room: list[bool] = []

    def make_room() -> bool:
        room.append(True)
        return True

    async with echo_server([OSError(number, "no") for number in numbers], make_room) as address:
        with trio.fail_after(10):
            assert await says_hello(address)
    assert len(room) == 3
    assert len([record for record in caplog.records if "can't accept" in record.getMessage()]) == 1


async def test_a_client_that_resets_at_once_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with echo_server([]) as address:
        for _ in range(200):
            with closing(socket.create_connection(address)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with trio.fail_after(10):
            assert await says_hello(address)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_who_a_peer_that_is_gone_was_is_not_known() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        with closing(accepted):
            assert callers.by_socket(trio.socket.from_stdlib_socket(accepted)) == "ip:unknown"


# Room for clients.


def test_clients_are_no_more_than_descriptors_allow() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most_connections(10) == 10
    assert most_connections(10**9) == (soft - 32) // 2


async def test_a_client_is_idle_until_its_first_head() -> None:
    limiter = ConnectionLimiter(1, "dockerserver")
    with limiter.admit() as silent:
        assert silent is not None
        with limiter.admit() as second:
            assert second is not None
        await trio.lowlevel.checkpoint()
        raise AssertionError("the first had said nothing, and should have made room")
    assert silent.scope.cancelled_caught


def test_idle_clients_shut_nobody_out_under_a_low_limit(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "swarmd", f"dockerserver tcp://127.0.0.1:{port}", "simulator"]
    limit = resource.RLIMIT_NOFILE
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, stderr=log, preexec_fn=lambda: resource.setrlimit(limit, (64, 64)))
    idle: list[socket.socket] = []
    try:
        wait_until(lambda: _answers(port), "swarmd", running)
        for _ in range(100):
            idle.append(socket.create_connection(("127.0.0.1", port), 5))
            assert _answers(port)
    finally:
        for each in idle:
            each.close()
        running.terminate()
        assert running.wait(20) == 143
    assert "can't accept" not in (tmp_path / "log").read_text()


def _answers(port: int) -> bool:
    try:
        with closing(socket.create_connection(("127.0.0.1", port), 5)) as client:
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


async def test_a_client_that_is_told_why_can_read_it_although_it_is_still_sending(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with connect(Boxes()) as swarm, Chain(DockerServer([f"unix://{path}"])).open(swarm.sender):
        with trio.fail_after(20):
            async with await trio.open_unix_socket(str(path)) as stream:
                body = b" " * (40 * 1024 * 1024)
                kind = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                await stream.send_all(b"POST /containers/create" + HEAD + kind + body)
                answer = b"".join([bytes(part) async for part in stream])
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert "the body is longer than" in json.loads(answer.partition(b"\r\n\r\n")[2])["message"]
