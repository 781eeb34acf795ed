"""An organization's proxies, by which clients reach the fake Azure under the names of the real clouds."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio

from swarmlib_backends import certificates
from swarmlib_backends.azure.fakearm import FakeArm


class Proxy:
    """A proxy for CONNECT; `asked` are the targets, such as HOST:443. Whatever they are, the fake answers."""

    scheme = "http"

    def __init__(self, arm: FakeArm) -> None:
        self._port = int(arm.url.rpartition(":")[2])
        self.asked: list[str] = []
        self.url = ""
        self.ca = b""
        """The certificate of the proxy's own authority, if it is reached by TLS."""

    async def serve(self, client: trio.abc.Stream) -> None:
        """Serve a connection."""
        if not (target := await self.target(client)):
            return
        self.asked.append(target)
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as server:
            await self.accept(client)
            async with trio.open_nursery() as nursery:
                for source, sink in ((client, server), (server, client)):
                    nursery.start_soon(_copy, source, sink, nursery.cancel_scope)

    async def target(self, client: trio.abc.Stream) -> str:
        """Read whereto a connection is wanted; return "" if the client has left."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (piece := await client.receive_some(1)):
                return ""
            head += piece
        method, target, _ = head.split(b" ", 2)
        assert method == b"CONNECT"
        return target.decode()

    async def accept(self, client: trio.abc.Stream) -> None:
        """Say that there is a connection."""
        await client.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")


class SecuredProxy(Proxy):
    """A proxy for CONNECT that is reached by TLS."""

    scheme = "https"

    def __init__(self, arm: FakeArm) -> None:
        super().__init__(arm)
        self._tls, _, self.ca = certificates.loopback_tls("proxy", "127.0.0.1")

    async def serve(self, client: trio.abc.Stream) -> None:
        secured = trio.SSLStream(client, self._tls, server_side=True, https_compatible=True)
        with suppress(trio.BrokenResourceError):  # the client does not trust the proxy
            await super().serve(secured)


class SocksProxy(Proxy):
    """A SOCKS5 proxy (RFC 1928)."""

    scheme = "socks5"

    async def target(self, client: trio.abc.Stream) -> str:
        _, methods = await _exactly(client, 2)
        await _exactly(client, methods)
        await client.send_all(b"\x05\x00")
        *_, kind, length = await _exactly(client, 5)
        assert kind == 3, "a name is asked for"
        name, port = await _exactly(client, length), await _exactly(client, 2)
        return f"{name.decode()}:{int.from_bytes(port, 'big')}"

    async def accept(self, client: trio.abc.Stream) -> None:
        await client.send_all(b"\x05\x00\x00\x01" + bytes(6))


async def _exactly(client: trio.abc.Stream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await client.receive_some(count - len(data))
        assert piece
        data += piece
    return data


async def _copy(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
    try:
        while data := await source.receive_some():
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


@asynccontextmanager
async def proxying(arm: FakeArm, kind: type[Proxy] = Proxy) -> AsyncGenerator[Proxy]:
    """Run a proxy that ends with the context."""
    proxy = kind(arm)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, proxy.serve, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        proxy.url = f"{proxy.scheme}://127.0.0.1:{listener.socket.getsockname()[1]}"
        yield proxy
        nursery.cancel_scope.cancel()
