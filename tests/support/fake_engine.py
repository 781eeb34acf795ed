"""A fake engine on a unix socket, for attacks, and `docker` over it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from swarmlib import Chain, Client
from swarmlib_backends.docker import Docker


class FakeEngine:
    """It answers each request as told, and counts its connections."""

    def __init__(self, answer: Callable[[trio.SocketStream, bytes], Awaitable[None]]) -> None:
        self.answer = answer
        self.opened = 0
        self.open = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection; `answer` gets each request's head, with what came behind it."""
        self.opened += 1
        self.open += 1
        try:
            async with stream:
                while request := await read_request(stream):
                    await self.answer(stream, request)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one of the two closed the connection
        finally:
            self.open -= 1


async def read_request(stream: trio.SocketStream) -> bytes:
    """A head, with what came behind it; b"" at the connection's end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = bytes(await stream.receive_some())
        if not piece:
            return b""
        data += piece
    return data


@asynccontextmanager
async def over(engine: FakeEngine, folder: Path) -> AsyncGenerator[Client]:
    """`docker` over a fake engine; 20 seconds for all that is done with it."""
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(folder / "engine.sock"))
    listener.listen(1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, engine.serve, [trio.SocketListener(listener)])
        with trio.fail_after(20):
            async with Chain(Docker(f"unix://{folder}/engine.sock")).open() as sender:
                yield Client(sender)
        nursery.cancel_scope.cancel()
