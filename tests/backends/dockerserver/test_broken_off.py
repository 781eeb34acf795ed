"""Clients that close their sending half in the very moment in which a call that streams ends by itself."""

import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Chain, NotFound, Request, Sender, Server
from swarmlib.net.limiter import ClientConnection, ConnectionLimiter
from swarmlib.net.sockets import Socket
from swarmlib_backends.dockerserver.connection import Connection
from tests.bench.responses import answers

OFTEN = 30
"""How often it is tried: trio runs the tasks of one turn in any order."""
ASKED = (
    b"GET /containers/x/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    b"GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n"
)


class Lines(trio.abc.ReceiveStream):
    """The lines of a log: some at first, and what else is left when it ends."""

    def __init__(self, ends: trio.Event, left: list[bytes]) -> None:
        self._ends = ends
        self._left = [b"first\n", *left]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._left or self._left[0] != b"first\n":
            await self._ends.wait()
        return self._left.pop(0) if self._left else b""

    async def aclose(self) -> None:
        pass


@dataclass(eq=False)
class Logs(Server):
    """A container's log ends when the test says so, with what is left then; or it is refused then."""

    left: list[bytes] | None = None
    ends: trio.Event = field(default_factory=trio.Event)

    async def connect(self, request: Request) -> None:
        if self.left is None:
            await self.ends.wait()
            raise NotFound("no such container: x")
        await request.reply.ack(stream=Lines(self.ends, self.left))

    async def ls(self, _: Request) -> list[Any]:
        return []


def opened(end: socket.socket) -> Socket:
    end.setblocking(False)
    return Socket(trio.SocketStream(trio.socket.from_stdlib_socket(end)))


async def said(stage: Logs) -> bytes:
    """All that a client gets which asks for a log and a list, and leaves when the log ends."""
    near, far = (opened(end) for end in socket.socketpair())  # a send to a socket takes no turn of the loop
    got, clients = bytearray(), list[ClientConnection]()

    async def serve(sender: Sender) -> None:
        with ConnectionLimiter(1, "test").admit() as client:
            assert client is not None
            clients.append(client)
            with suppress(trio.BrokenResourceError):
                async with far:
                    await Connection(far, sender, client).serve()

    async def receive() -> None:
        with suppress(trio.BrokenResourceError):
            async for data in near:
                got.extend(data)

    async with near, Chain(stage).open() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(serve, sender)
        nursery.start_soon(receive)
        await near.send_all(ASKED)
        await wait_all_tasks_blocked()
        stage.ends.set()
        clients[0].ended.set()
        await near.send_eof()
    return bytes(got)


@pytest.mark.parametrize("left", [None, [], [b"last\n"]], ids=["refused", "ended", "more came"])
async def test_the_next_answer_follows_one_whole_answer(left: list[bytes] | None, autojump_clock: object) -> None:
    for _ in range(OFTEN):
        data = await said(Logs(None if left is None else [*left]))
        found = answers(data, ended=True)
        assert not found.flaw, data
        assert found.statuses[1:] in ([], [200]), data
        assert found.final[0].whole or len(found.final) == 1, data  # it may be cut, and is the last one then
