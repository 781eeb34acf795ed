"""Connections to published ports: each is a stream of its own to the container's Pod, closed in halves as both want."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import trio

from swarmlib import SwarmError, Unavailable, Unsupported
from swarmlib.errors import ungrouped

from .cluster import Cluster, pod_name
from .container import PodContainer
from .streams.forwarding import port_forward

_RETRY_SECONDS: Final = 30.0
"""How long a connection waits for a Pod that is not there, or not yet."""
_REST_SECONDS: Final = 5.0
"""How long the last bytes of a Pod that has ended may take."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


async def forward(cluster: Cluster, container: PodContainer, port: int, client: trio.SocketStream) -> None:
    """Forward a connection to a port of a container, until both sides have ended it or one is gone.

    It is tried again while the Pod is started, or started again.

    Raises:
        SwarmError: the Pod can't be reached.
    """
    async with client, AsyncExitStack() as stack:
        upstream = await _connected(cluster, container, port, stack)
        with ungrouped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after_end, container, nursery.cancel_scope)
                async with trio.open_nursery() as both:
                    both.start_soon(_copy, client, upstream, both.cancel_scope)
                    both.start_soon(_copy, upstream, client, both.cancel_scope)
                nursery.cancel_scope.cancel()


async def _connected(
    cluster: Cluster, container: PodContainer, port: int, stack: AsyncExitStack
) -> trio.abc.HalfCloseableStream:
    """Open a stream to a Pod, which lasts as long as the stack. Raises `SwarmError`."""
    pause, last = _FIRST_PAUSE, Unavailable(f"{container.name} has no Pod")
    patience = trio.current_time() + _RETRY_SECONDS
    while container.running and trio.current_time() < patience:
        if container.pod is not None:
            try:
                return await stack.enter_async_context(_stream(cluster, container, port))
            except SwarmError as exc:
                last = Unavailable(f"can't forward to the port {port} of {container.name}: {exc.message}")
        await trio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    raise last


@asynccontextmanager
async def _stream(cluster: Cluster, container: PodContainer, port: int) -> AsyncGenerator[trio.abc.HalfCloseableStream]:
    opened = port_forward(cluster.api, cluster.namespace, pod_name(container), dialects=cluster.dialects)
    async with opened as forwarded:
        stream = await forwarded.connect(port)
        async with stream:
            yield stream


async def _copy(
    source: trio.abc.HalfCloseableStream, sink: trio.abc.HalfCloseableStream, scope: trio.CancelScope
) -> None:
    """Copy to the end; a side that is gone ends the whole connection."""
    try:
        async for data in source:
            await sink.send_all(data)
        with suppress(Unsupported):  # WebSocket v4 has no end in one direction: the other one still goes on
            await sink.send_eof()
    except _LOST:
        scope.cancel()


async def _cancel_after_end(container: PodContainer, scope: trio.CancelScope) -> None:
    """Cancel what is left of a connection when its Pod has ended, and what it wrote last has had time to arrive."""
    ended = container.pod_ended
    await container.until(lambda _: ended.is_set())
    await trio.sleep(_REST_SECONDS)
    scope.cancel()
