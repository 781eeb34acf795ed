"""`listen`: the head of a chain that serves other machines or processes, which reach it by `remote`.

Each connection is a session of its own (`swarmlib.wire`) in a task of its own; whatever its peer does, other sessions
are not affected. The peer's identity, as its transport knows it, is in every request as `meta.caller`.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from swarmlib import CLEANUP_SECONDS, Invalid, Sender, Source, SwarmError, argument, option
from swarmlib.net import callers
from swarmlib.net.address import ListenAddress, ListenUrl
from swarmlib.net.limiter import ClientConnection, ConnectionLimiter, most_connections
from swarmlib.net.listening import Risk, check_addresses, listening, serve, unix_users
from swarmlib.net.sockets import lean
from swarmlib.net.tls import secured, server_context
from swarmlib.quantities import Duration
from swarmlib.wire.connection import Connection, open_connection
from swarmlib.wire.limits import Limits

from .bounds import Bound, limits
from .edge import Edge

__all__ = ["Listen"]

DRAIN_SECONDS: Final = CLEANUP_SECONDS - 1
"""Seconds that calls in progress may take when the stage closes; the rest of the cleanup is for closing sessions."""
_RISK: Final = Risk("get root access", "use tls:// with --ca")
_ENDS: Final = (SwarmError, OSError)
"""How a session may end in normal operation: its peer disconnected, or does not speak the protocol."""
_log = logging.getLogger(__name__)


@dataclass
class Listen(Source):
    """Serves the chain that follows it to `remote` stages on this machine or others.

    Every request names its sender as its caller: cert:NAME for TLS, uid:N for a unix socket, ip:ADDRESS for TCP. When
    the stage closes, it takes no more calls, and those under way have some seconds to end.
    """

    urls: Sequence[ListenUrl] = argument(f"address to listen on: {ListenAddress.usage()} (socket activation)")
    ca: str = option("tls: authority whose certificates clients must have", default="", metavar="FILE")
    cert: str = option("tls: certificate of this server", default="", metavar="FILE")
    key: str = option("tls: key of this server", default="", metavar="FILE")
    insecure: bool = option(
        "let other machines connect without certificates; all of them get root access", default=False
    )
    group: str = option("group that may also use the unix sockets (mode 0660)", default="")
    max_connections: int = option("maximum number of connections; further ones are refused", default=1000)
    keepalive: Duration = option("ping a peer that has been silent for this time", default=10.0)
    keepalive_timeout: Duration = option("consider a peer dead that has been silent for this time", default=30.0)
    limit: Sequence[Bound] = option(
        "limit of each session (see docs/wire.md), such as channels=1000", default=[], metavar="NAME=N"
    )

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        self._addresses = list(map(ListenAddress.read, self.urls))
        limits(self.keepalive, self.keepalive_timeout, self.limit)
        if self.max_connections < 1:
            raise Invalid(f"--max-connections must be 1 or more, not {self.max_connections}")
        if any(url.scheme == "tls" for url in self._addresses):
            if not (self.cert and self.key):
                raise Invalid("tls:// requires --cert and --key")
            if not (self.ca or self.insecure):
                raise Invalid(
                    "tls:// requires --ca, to serve only clients with a certificate of that authority, or --insecure"
                )

    @property
    def endpoints(self) -> Sequence[str]:
        """See `Backend.endpoints`."""
        return [each.text for each in self._addresses]

    def invitation(self, address: str) -> str:
        """See `Source.invitation`."""
        if address.startswith("unix:"):
            return f"for {unix_users(address)}: remote {address}"
        scheme = self._addresses[0].scheme if len(self._addresses) == 1 else "tcp"
        return f"remote {scheme}://{address.partition('://')[2]}"

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        for url in self._addresses:
            exposed = self.insecure or url.scheme == "tls"
            check_addresses([url], exposed=exposed, risk=_RISK, group=self.group)
        self._tls_context()

    def _tls_context(self) -> ssl.SSLContext | None:
        return server_context(self.cert, self.key, self.ca) if self.cert else None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Bind every address, then serve until cancelled; then give the calls in progress a moment to end."""
        tls = self._tls_context()
        bounds = limits(self.keepalive, self.keepalive_timeout, self.limit)
        sessions = _Sessions(self.next, bounds, self.max_connections)
        async with trio.open_nursery() as outer:
            await outer.start(sessions.run)
            sessions.scope.shield = True  # not before: a start that is cancelled would wait for it for ever
            try:
                async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
                    for url in self._addresses:
                        secure = url.scheme == "tls"
                        bound = listening([url], exposed=self.insecure or secure, risk=_RISK, group=self.group)
                        listeners = await stack.enter_async_context(bound)
                        nursery.start_soon(sessions.accept, tls if secure else None, listeners)
                    task_status.started()
            finally:
                sessions.ending.set()


class _Sessions:
    """The open sessions, each in a task of its own. They outlive the listening, by `DRAIN_SECONDS` at most."""

    def __init__(self, service: Sender, limits: Limits, most: int) -> None:
        self.ending = trio.Event()
        self.scope = trio.CancelScope()
        self._service = Edge(service)
        self._limits = limits
        self._limiter = ConnectionLimiter(most_connections(most), "listen")
        self._open: set[_Session] = set()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Hold the sessions until `ending` is set; then drain and close each of them."""
        with self.scope:  # it gets a deadline once it is to end
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await self.ending.wait()
                self.scope.deadline = trio.current_time() + DRAIN_SECONDS
                for session in self._open:
                    self._nursery.start_soon(session.end)

    async def accept(self, tls: ssl.SSLContext | None, listeners: list[trio.SocketListener]) -> None:
        """Begin a session with each client that connects, until cancelled."""
        handler, make_room = partial(self._serve, tls), self._limiter.make_room
        await serve(listeners, handler, "listen", make_room=make_room, nursery=self._nursery, expected=_ENDS)

    async def _serve(self, tls: ssl.SSLContext | None, stream: trio.SocketStream, caller: str) -> None:
        with self._limiter.admit() as client:
            if client is None:
                return
            session = _Session(client, caller)
            self._open.add(session)
            try:
                await session.run(stream, tls, self._service, self._limits)
            finally:
                self._open.discard(session)


class _Session:
    """One peer, from its arrival to its end. Before the handshake is complete, it may be cut to make room."""

    def __init__(self, client: ClientConnection, caller: str) -> None:
        self._client = client
        self._caller = caller
        self._connection: Connection | None = None

    async def run(self, stream: trio.SocketStream, tls: ssl.SSLContext | None, service: Sender, limits: Limits) -> None:
        """Perform the handshake, and serve the peer until either side ends the session."""
        secure = lean(stream) if tls is None else await self._secured(lean(stream), tls)
        if secure is None:
            return
        async with open_connection(
            secure, service=service, initiator=False, limits=limits, caller=self._caller
        ) as self._connection:
            self._client.busy()
            _log.info("listen: %s is connected", self._caller)
            await self._connection.closed.wait()
            _log.info("listen: %s has disconnected: %s", self._caller, self._connection.why)

    async def _secured(self, stream: trio.abc.HalfCloseableStream, tls: ssl.SSLContext) -> trio.abc.Stream | None:
        hidden = await secured(stream, tls, "listen", self._caller)
        if hidden is not None:
            self._caller = callers.by_certificate(hidden.peer_certificate) or self._caller
        return hidden

    async def end(self) -> None:
        """Let the calls in progress end, then close. A peer that is still in the handshake is cut at once."""
        if self._connection is not None:
            await self._connection.drain()
        self._client.abort()
