"""Uploads that are not wanted: nobody sends a gigabyte to an engine that has said no, or reads it from a client."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from swarmlib import NotFound, Verb
from swarmlib.bytes_stream import BytesStream
from swarmlib.net.limiter import ConnectionLimiter
from swarmlib_backends.docker.exchange import INVITATION_SECONDS
from swarmlib_backends.dockerapi.rows import WHOLE
from swarmlib_backends.dockerserver.connection import Connection
from tests.support.fake_engine import FakeEngine, over

ARCHIVE = (Verb.FILE, ("containers", "web", "archive"))
PLACE = {"path": "/"}
NEW = (Verb.CONNECT, WHOLE.path(""))
NONE = b'HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n{"message":"none here"}'
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
INVITED = b"HTTP/1.1 100 Continue\r\n\r\n"


class Unread(BytesStream):
    """An upload that nobody should read."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        raise AssertionError("this upload is read")


async def refuse(stream: trio.SocketStream, request: bytes) -> None:
    assert b"Expect: 100-continue" in request
    await stream.send_all(NONE)


async def test_an_upload_that_the_engine_refuses_is_not_read(tmp_path: Path) -> None:
    async with over(FakeEngine(refuse), tmp_path) as swarm:
        with pytest.raises(NotFound, match="none here"):
            await swarm.call(*ARCHIVE, params=PLACE, upload=Unread(b""))


async def test_a_client_that_waits_to_be_asked_for_an_upload_is_refused_at_once(tmp_path: Path) -> None:
    head = (
        b"PUT /containers/web/archive?path=/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    )
    near, far = memory_stream_pair()
    async with over(FakeEngine(refuse), tmp_path) as swarm, trio.open_nursery() as nursery:

        async def serve() -> None:
            with ConnectionLimiter(1, "dockerserver").admit() as client:
                assert client is not None
                async with far:
                    await Connection(far, swarm.sender, client).serve()

        nursery.start_soon(serve)
        await near.send_all(head)
        assert bytes(await near.receive_some()).startswith(b"HTTP/1.1 404 ")
        await near.aclose()


@pytest.mark.parametrize("call", [ARCHIVE, NEW])
@pytest.mark.parametrize(("said", "seconds"), [(INVITED, 0), (b"", INVITATION_SECONDS)], ids=["asks", "does not ask"])
async def test_an_upload_is_sent_when_the_engine_asks_for_it_or_does_not_know_how_to(
    call: tuple[Verb, tuple[str, ...]], said: bytes, seconds: float, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async def take(stream: trio.SocketStream, request: bytes) -> None:
        heard = b""
        await stream.send_all(said)
        while not heard.endswith(b"0\r\n\r\n"):
            heard += bytes(await stream.receive_some())
        assert heard == b"5\r\nabcde\r\n0\r\n\r\n"
        await stream.send_all(DONE)

    params = {"method": "POST", "target": "/new"} if call is NEW else PLACE
    async with over(FakeEngine(take), tmp_path) as swarm:
        answer = await swarm.call(*call, params=params, upload=BytesStream(b"abcde"))
        if answer.ack.stream is not None:
            await trio.aclose_forcefully(answer.ack.stream)
    assert autojump_clock.current_time() == pytest.approx(seconds, abs=0.01)
