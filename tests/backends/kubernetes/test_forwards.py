"""Connections to published ports at which nothing listens, or nothing yet, in fake clusters of both releases."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from swarmlib import Verb
from swarmlib_backends.kubernetes.fakecluster.pod_streams import Listener
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import call, gateway, make

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)


class Listeners(dict[int, Listener]):
    """What listens, and whether anything was sought that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.missed = trio.Event()

    def get(self, port: int, default: Any = None) -> Any:
        if port not in self:
            self.missed.set()
        return super().get(port, default)


async def echo(stream: trio.abc.HalfCloseableStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send_all(data)


@asynccontextmanager
async def connected(place: Place, policy: str) -> AsyncGenerator[tuple[Listeners, trio.SocketStream]]:
    """What listens in the Pod of a container with such a restart policy, and a connection to its published port."""
    assert place.fake is not None
    place.fake.streams.listeners = listeners = Listeners()
    host = {"RestartPolicy": {"Name": policy}, "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}}
    async with gateway(place) as client:
        web = await make(client, "web", "sleep 1000", host=host)
        await web.start()
        found = await call(client, Verb.GET, "containers", "web")
        port = int(found["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            yield listeners, stream


async def test_what_was_said_to_a_container_that_may_be_restarted_is_said_again_when_it_listens(place: Place) -> None:
    async with connected(place, "always") as (listeners, stream):
        await stream.send_all(b"question")
        await listeners.missed.wait()
        listeners[80] = echo
        with trio.fail_after(30):
            assert await stream.receive_some() == b"question"
            await stream.send_all(b"more")
            assert await stream.receive_some() == b"more"


async def test_so_it_is_where_the_client_has_said_all(place: Place) -> None:
    async with connected(place, "on-failure") as (listeners, stream):
        await stream.send_all(b"question")
        await stream.send_eof()
        await listeners.missed.wait()
        listeners[80] = echo
        with trio.fail_after(30):
            assert await stream.receive_some() == b"question"


async def ended(stream: trio.SocketStream) -> bool:
    """Whether a connection ends without a word."""
    try:
        with trio.fail_after(8):  # before the gateway would give up waiting
            return not await stream.receive_some()
    except trio.BrokenResourceError:
        return True


async def test_a_container_that_is_not_restarted_is_not_waited_for(place: Place) -> None:
    async with connected(place, "no") as (_, stream):
        assert await ended(stream)


async def test_what_was_too_much_to_be_kept_is_not_said_again(place: Place) -> None:
    async with connected(place, "always") as (listeners, stream):
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"x" * 70_000)
        assert await ended(stream)
        assert listeners.missed.is_set()
