"""Connections to published ports: each is a stream of its own to the container's Pod, closed in halves as both want."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from swarmlib import SwarmError, Unavailable, Unsupported
from swarmlib.errors import ungrouped

from ..pauses import pauses
from .cluster import Cluster, pod_name
from .container import PodContainer
from .streams.forwarding import PortRefused, port_forward

_RETRY_SECONDS: Final = 30.0
"""How long a connection waits for a Pod that is not there, or not yet."""
_REFUSED_SECONDS: Final = 10.0
"""How long a connection waits for a container that may be about to be restarted. The cluster knows a second late that
it has ended, and a container that has begun needs some time until it listens.
"""
_REST_SECONDS: Final = 5.0
"""How long the last bytes of a Pod that has ended may take."""
_pauses: Final = partial(pauses, 2.0, first=0.1)
"""The pauses between attempts, in seconds."""
_KEPT_BYTES: Final = 64 * 1024
_LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


@dataclass
class _Said:
    """What a client has said and nobody has received yet, so that it can be said again."""

    data: bytearray = field(default_factory=bytearray)
    ended: bool = False
    repeatable: bool = True
    """Whether that is all that it has said; a container has heard of it, or it is too much, if not."""

    def note(self, data: bytes | bytearray) -> None:
        """Keep what was read of the client."""
        if len(self.data) + len(data) > _KEPT_BYTES:
            self.forget()
        if self.repeatable:
            self.data += data

    def forget(self) -> None:
        """Keep nothing from now on."""
        self.repeatable = False
        self.data.clear()


async def forward(cluster: Cluster, container: PodContainer, port: int, client: trio.SocketStream) -> None:
    """Forward a connection to a port of a container, until both sides have ended it or one is gone.

    It is tried again while the Pod is started, or started again; and for some seconds where nothing listens at the
    port of a container that has a restart policy, since that may just be restarted.

    Raises:
        SwarmError: the Pod can't be reached.
    """
    said, waits, patience = _Said(), _pauses(), trio.current_time() + _REFUSED_SECONDS
    async with client:
        while True:
            async with AsyncExitStack() as stack:
                upstream = await _connected(cluster, container, port, stack)
                refused = await _relayed(container, client, upstream, said)
            may_come = container.running and container.record.may_restart and trio.current_time() < patience
            if not (refused and said.repeatable and may_come):
                return
            await trio.sleep(next(waits))


async def _relayed(
    container: PodContainer, client: trio.SocketStream, upstream: trio.abc.HalfCloseableStream, said: _Said
) -> bool:
    """Relay a connection to its end; return whether nothing listened at the port."""
    refused = False

    async def down(scope: trio.CancelScope) -> None:
        nonlocal refused
        try:
            async for data in upstream:
                said.forget()
                await client.send_all(data)
            await client.send_eof()
        except PortRefused:
            refused = True
            scope.cancel()
        except _LOST:
            scope.cancel()

    with ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_after_end, container, nursery.cancel_scope)
            async with trio.open_nursery() as both:
                both.start_soon(down, both.cancel_scope)
                both.start_soon(_up, client, upstream, said, both.cancel_scope)
            nursery.cancel_scope.cancel()
    return refused


async def _up(
    client: trio.SocketStream, upstream: trio.abc.HalfCloseableStream, said: _Said, scope: trio.CancelScope
) -> None:
    """Copy to the end, what is to be said again first. That upstream is gone, its other direction tells."""
    with suppress(*_LOST):
        if said.data:
            await upstream.send_all(bytes(said.data))
        while not said.ended:
            try:
                data = await client.receive_some(_KEPT_BYTES + 1)  # what is too much is known by one read
            except _LOST:
                scope.cancel()
                return
            said.note(data)
            said.ended = not data
            if data:
                await upstream.send_all(data)
        with suppress(Unsupported):  # WebSocket v4 has no end in one direction: the other one still goes on
            await upstream.send_eof()


async def _connected(
    cluster: Cluster, container: PodContainer, port: int, stack: AsyncExitStack
) -> trio.abc.HalfCloseableStream:
    """Open a stream to a Pod, which lasts as long as the stack. Raises `SwarmError`."""
    waits, last = _pauses(), Unavailable(f"{container.name} has no Pod")
    patience = trio.current_time() + _RETRY_SECONDS
    while container.running and trio.current_time() < patience:
        if container.pod is not None:
            try:
                return await stack.enter_async_context(_stream(cluster, container, port))
            except SwarmError as exc:
                last = Unavailable(f"can't forward to the port {port} of {container.name}: {exc.message}")
        await trio.sleep(next(waits))
    raise last


@asynccontextmanager
async def _stream(cluster: Cluster, container: PodContainer, port: int) -> AsyncGenerator[trio.abc.HalfCloseableStream]:
    opened = port_forward(cluster.api, cluster.namespace, pod_name(container), dialects=cluster.dialects)
    async with opened as forwarded:
        stream = await forwarded.connect(port)
        async with stream:
            yield stream


async def _cancel_after_end(container: PodContainer, scope: trio.CancelScope) -> None:
    """Cancel what is left of a connection when its Pod has ended, and what it wrote last has had time to arrive."""
    ended = container.pod_ended
    await container.until(lambda _: ended.is_set())
    await trio.sleep(_REST_SECONDS)
    scope.cancel()
