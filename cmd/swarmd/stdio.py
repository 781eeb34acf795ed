"""The far end of ssh://: a session over this process's stdin and stdout, or a relay from there to a listener."""

from __future__ import annotations

import trio

from swarmlib import Chain
from swarmlib.net import callers
from swarmlib.net.address import Address
from swarmlib.net.dialling import dial
from swarmlib.net.stdio import own_stdio
from swarmlib.wire.connection import open_connection
from swarmlib_backends.edge import Edge


class RelayAddress(Address):
    """The address that a relay leads to."""

    schemes = ("unix", "tcp")


async def serve_peer(chain: Chain) -> None:
    """Serve a chain to the peer, until the peer leaves."""
    async with own_stdio() as stream, chain.open() as service:
        caller = callers.by_process()
        async with open_connection(stream, service=Edge(service), initiator=False, caller=caller) as connection:
            await connection.closed.wait()


async def relay(address: RelayAddress) -> None:
    """Relay bytes between the peer and the listener at `address`, until either leaves.

    Raises:
        Unavailable: nobody listens there.
    """
    async with dial(address, tls=None, program=()) as far, own_stdio() as near, trio.open_nursery() as nursery:
        nursery.start_soon(_forward, near, far, nursery.cancel_scope)
        nursery.start_soon(_forward, far, near, nursery.cancel_scope)


async def _forward(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, scope: trio.CancelScope) -> None:
    try:
        async for part in source:
            await sink.send_all(part)
    except trio.BrokenResourceError:
        pass  # that side is gone, which counts as a normal end
    scope.cancel()
