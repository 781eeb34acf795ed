"""What a client or an engine has sent is gone with its connection, and does not wait for the garbage collector."""

import gc
import socket
import weakref
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Chain, SwarmError, connect
from swarmlib_backends import DockerServer
from swarmlib_backends.docker.response import Responses
from swarmlib_backends.http.incoming import Incoming
from tests.backends.dockerserver.test_pipelined import Waits

LONG = b"a" * 100_000
HOST = b" HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "sent",
    [
        b"GET /containers/" + LONG + b"/json" + HOST + b"\r\n",
        b"GET /containers/json?x=" + LONG + HOST + b"\r\n",
        b"GET /_ping" + HOST + b"X: " + LONG + b"\r\nB : c\r\n\r\n",
        b"GET /_ping" + HOST + b"X: " + LONG,
        b"POST /containers/create" + HOST + b"Content-Type: application/json\r\nContent-Length: 200000\r\n\r\n" + LONG,
        b"POST /containers/create" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + LONG,
        b"POST /session" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + LONG,
    ],
    ids=["refused name", "answered", "bad line", "cut head", "cut body", "bad chunk", "upgrade"],
)
async def test_nothing_stays_of_a_connection_that_has_ended(sent: bytes, tmp_path: Path) -> None:
    address = tmp_path / "s"
    async with Chain(DockerServer([f"unix://{address}"]), Waits()).open():
        async with await trio.open_unix_socket(str(address)) as stream:
            await stream.send_all(sent)
            await wait_all_tasks_blocked()
            known = [weakref.ref(each) for each in gc.get_objects() if type(each) is Incoming]
            await stream.send_eof()
            async for _ in stream:
                pass
        await wait_all_tasks_blocked()
        await trio.lowlevel.checkpoint()
        assert known
        assert [each() for each in known] == [None] * len(known)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 2\r\nConnection: close\r\n\r\n[]",
        OK + b"Content-Length: 200000\r\n\r\n" + LONG,
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\nX: y\r\n\r\n" + LONG,
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + LONG,
        OK + b"X: " + LONG[:50_000] + b"\r\nB : c\r\n\r\n",
        OK + b"X: " + LONG[:50_000],
    ],
    ids=["closed", "cut body", "more than the answer", "bad chunk", "bad line", "cut head"],
)
async def test_nothing_stays_of_an_engines_connection_that_has_ended(answer: bytes, tmp_path: Path) -> None:
    address = tmp_path / "engine"
    known = list[weakref.ref[Responses]]()

    async def engine(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            known.extend(weakref.ref(each) for each in gc.get_objects() if type(each) is Responses)
            await stream.send_all(answer)

    listener = trio.socket.socket(socket.AF_UNIX)
    await listener.bind(str(address))
    listener.listen(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, engine, [trio.SocketListener(listener)])
        async with connect(f"docker unix://{address}") as client:
            with suppress(SwarmError):
                await client.ls("containers")
            await wait_all_tasks_blocked()
            assert known
            assert [each() for each in known] == [None] * len(known)
        nursery.cancel_scope.cancel()
