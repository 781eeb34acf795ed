"""An organization's proxy, by which clients reach the fake Azure under the names of the real clouds."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import trio

from swarmlib_backends.azure.fakearm import FakeArm


class Proxy:
    """A proxy for CONNECT; `asked` are the targets, such as HOST:443. Whatever they are, the fake answers."""

    def __init__(self, arm: FakeArm) -> None:
        self._port = int(arm.url.rpartition(":")[2])
        self.asked: list[str] = []
        self.url = ""

    async def serve(self, client: trio.SocketStream) -> None:
        """Serve a connection."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (piece := await client.receive_some(1)):
                return
            head += piece
        method, target, _ = head.split(b" ", 2)
        assert method == b"CONNECT"
        self.asked.append(target.decode())
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as server:
            await client.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with trio.open_nursery() as nursery:
                for source, sink in ((client, server), (server, client)):
                    nursery.start_soon(_copy, source, sink, nursery.cancel_scope)


async def _copy(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
    try:
        async for piece in source:
            await sink.send_all(piece)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


@asynccontextmanager
async def proxying(arm: FakeArm) -> AsyncGenerator[Proxy]:
    """Run a proxy that ends with the context."""
    proxy = Proxy(arm)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, proxy.serve, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        proxy.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        yield proxy
        nursery.cancel_scope.cancel()
