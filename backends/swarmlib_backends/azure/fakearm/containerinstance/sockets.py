"""The two WebSockets of a container: exec, which is a terminal, and attach, which only tells what the container writes.

The client's first message is the password. After it come bytes, with no end of one direction alone; the first message
of an exec's output is empty, and nothing tells the exit code of its process.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from swarmlib import Client, SwarmError
from swarmlib.client.handles import Handle, Workload
from swarmlib.client.multiplexed import Demultiplexer

from ....http.serving import Answer, Body, Request
from ....http.websocket_stream import WebSocketStream, accepted
from ..errors import ArmError

_FOLDER: Final = "/fakearm/containers/"
_LONGEST_PASSWORD: Final = 4096

Serve = Callable[[WebSocketStream], Awaitable[None]]


class Sockets:
    """The sockets that were promised to clients, each for one use."""

    def __init__(self) -> None:
        self._promised: dict[str, tuple[str, Serve]] = {}

    def promise(self, base: str, serve: Serve) -> Body:
        """Return the address and the password of a new socket. base: the fake's own address, https://HOST:PORT."""
        token, password = secrets.token_hex(16), secrets.token_urlsafe(24)
        self._promised[token] = (password, serve)
        return {"webSocketUri": f"{base.replace('https', 'wss', 1)}{_FOLDER}{token}", "password": password}

    def answer(self, request: Request) -> Answer | None:
        """Answer a request to a socket; None if it is to something else. Raises ArmError."""
        if not request.path.startswith(_FOLDER):
            return None
        if not request.upgrade or (found := self._promised.pop(request.path.removeprefix(_FOLDER), None)) is None:
            raise ArmError(404, "NotFound", "There is no such socket.")
        password, serve = found

        async def served(stream: trio.abc.Stream) -> None:
            async with WebSocketStream(stream, client=False) as socket:
                with suppress(trio.BrokenResourceError, SwarmError):
                    given = await socket.receive_message(_LONGEST_PASSWORD)
                    if secrets.compare_digest(given, password.encode()):
                        await serve(socket)

        headers = accepted(request.headers.get("sec-websocket-key", ""))
        return Answer(101, headers=headers, upgraded=served)


async def execute(
    engine: Client, workload: Workload, command: str, socket: WebSocketStream, *, simulated: bool
) -> None:
    """Run a program in a container, on a terminal, for the client of a socket.

    command: its name; arguments are not possible. simulated: whether the engine's terminals do nothing, so that what a
    terminal does is done here: it echoes, and ends lines.
    """
    body = {"Cmd": [command], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": True}
    made = await workload.spawn(body, "exec")
    stream = await Handle(engine, ("exec", made.id)).connect(body={"Detach": False, "Tty": True})
    await socket.send_all(b"")

    async def take_input() -> None:
        while data := await socket.receive_some():
            if simulated:
                data = data.replace(b"\r", b"\n")
                await socket.send_all(data.replace(b"\n", b"\r\n"))
            await stream.send_all(data)
        nursery.cancel_scope.cancel()

    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(take_input)
        async for data in stream:
            await socket.send_all(bytes(data))
        nursery.cancel_scope.cancel()


async def attach(workload: Workload, socket: WebSocketStream) -> None:
    """Send a client what a container writes from now on, both streams as one, until it ends or the client does."""
    frames = Demultiplexer()
    stream = await workload.connect(stream=True, stdout=True, stderr=True)

    async def watch() -> None:
        while await socket.receive_some():
            pass
        nursery.cancel_scope.cancel()

    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async for data in stream:
            for _, piece in frames.feed(bytes(data)):
                await socket.send_all(piece)
        nursery.cancel_scope.cancel()
