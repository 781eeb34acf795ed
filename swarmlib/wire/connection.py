"""A session over a byte stream, as its users see it: requests sent to `connection.sender` reach the peer's service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import trio

from ..errors import SwarmError, ungrouped
from ..reply_channel import CLEANUP_SECONDS
from ..request import Sender
from ..service import Unhandled
from .driver import Driver
from .incoming_calls import Inlet
from .limits import Limits
from .outgoing_calls import RemoteSender

_DEFAULT: Final = Limits()


class Connection:
    """One session with a peer.

    sender: to the peer's service. Once the session has ended, sending raises `Unavailable`; its detail `UNSENT` says of
        a request that it certainly had no effect.
    closed: set once the session has ended, whoever ended it; `why` says how.
    caller: who the peer is, as the transport knows it; "" where it doesn't.
    """

    def __init__(self, driver: Driver, sender: Sender) -> None:
        self.sender = sender
        self.closed = driver.closed
        self.caller = driver.caller
        self._driver = driver

    @property
    def why(self) -> SwarmError | None:
        """None while the session goes on. Then what ended it: `Unavailable` for a loss, a silent peer or an end in good
        order; `WireError` for what breaks the rules of the wire, whoever did.
        """
        return self._driver.why

    @property
    def draining(self) -> bool:
        """Whether the peer wants no new calls: they are answered `unavailable`, unsent. Time to open another."""
        return self._driver.session.draining

    @property
    def open_calls(self) -> int:
        """Calls and streams that are open, whichever side began them."""
        return self._driver.channels.calls

    @property
    def waiting_bytes(self) -> int:
        """Bytes of messages that wait to be sent."""
        return self._driver.session.outbox.size

    async def drain(self) -> None:
        """Take no new calls from the peer from now on, and wait until all open calls and streams have ended, or the
        session has. Put a deadline around it (`trio.move_on_after(grace)`), and leave the context then.
        """
        driver = self._driver
        driver.draining = True
        driver.session.go_away()
        driver.wake()
        if driver.channels.calls:
            await driver.idle.wait()


@asynccontextmanager
async def open_connection(
    stream: trio.abc.Stream,
    *,
    service: Sender | None,
    initiator: bool,
    limits: Limits = _DEFAULT,
    caller: str = "",
    peer: str = "",
) -> AsyncGenerator[Connection]:
    """Run a session over `stream`; the context is entered once both sides have agreed, and closes the stream.

    service: where the peer's requests go, with `caller` in their meta. None: each is answered `not_implemented`.
    initiator: True on the side that opened the stream; it speaks first.
    peer: who is on the other side, for errors and the log; `caller` where it is "".

    A loss does not end the body: it sets `connection.closed`; every open call gets `unavailable`, every stream breaks.
    So does a bug on this side, which is logged. A message that is not what it may be ends its call only: a request is
    answered `invalid`, a reply becomes `bad_answer`.
    Leaving the context tells the peer, cancels what it works for here, and takes `CLEANUP_SECONDS` at most.

    Raises:
        WireError: the peer speaks no swarmlib wire, or no version of it that this side does.
        Unavailable: the stream ended or broke before they agreed, or the peer said nothing for `limits.handshake`.
    """
    with ungrouped():
        async with trio.open_nursery() as nursery:
            driver = Driver(stream, nursery, initiator=initiator, limits=limits, caller=caller, peer=peer)
            inlet = Inlet(driver, service or Unhandled())
            try:
                await driver.start()
                yield Connection(driver, RemoteSender(inlet))
            finally:
                driver.end()
                try:
                    with trio.move_on_after(CLEANUP_SECONDS):
                        await driver.writer.closed.wait()
                finally:
                    nursery.cancel_scope.cancel()
