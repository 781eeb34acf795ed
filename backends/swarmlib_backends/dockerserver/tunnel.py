"""A connection that has become a stream: bytes go both ways between a client and the stream that the chain gave."""

from __future__ import annotations

from typing import Final

import trio

from swarmlib.net.sockets import Socket
from swarmlib.pieces import relay

from ..stream_wrappers import Resumed

_FIRST: Final = 4096
"""Bytes of the first read, at most: many streams may hold theirs until their clients have read the head."""


async def tunnel(client: Resumed, far: trio.abc.HalfCloseableStream) -> None:
    """Copy both ways until `far` ends, and close it. The client's end reaches `far` as the end of its input.

    Raises:
        trio.BrokenResourceError: `far` broke, or the client did while data was written to it.
    """

    async def upstream() -> None:
        try:
            await relay(client, far)
            await far.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the workload no longer reads, but its output is still copied

    async with far, trio.open_nursery() as nursery:
        nursery.start_soon(upstream)
        first = await far.receive_some(_FIRST)
        if isinstance(client.inner, Socket):
            await client.inner.until_read()  # the head, which some clients read through a buffer that they then discard
        if first:
            await client.send_all(first)
            await relay(far, client)
        await client.send_eof()  # over TLS, an end without the closing message looks like a cut
        nursery.cancel_scope.cancel()
