"""The HTTP endpoint of a stage that shows what is observed: only this machine reaches it unless that is allowed, and no
web page of another origin does.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from hmac import compare_digest
from typing import Any, Final, TypeAlias

import trio

from swarmlib import Denied
from swarmlib.net.address import Address
from swarmlib.net.limiter import ConnectionLimiter
from swarmlib.net.listening import Risk, check_addresses, listening, serve
from swarmlib.net.sockets import lean
from swarmlib.net.tls import secured

from ..http.admission import bearer, check_head
from ..http.head import Head
from ..http.serving import Answer, Request, Service, converse

MAX_CONNECTIONS: Final = 64
"""The most connections; a new one replaces the one that has been idle the longest."""
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""The headers of every answer; an answer may replace them."""


Handler: TypeAlias = Callable[[Request, str], Awaitable[Answer]]
"""Answers a request of a client, as `swarmlib.net.callers` knows it."""


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    Attributes:
        name: the stage's, for errors and the log.
        address: where it listens.
        hosts: the names that browsers may use for it, besides those of the address, IP addresses and localhost.
        exposed: whether other machines may connect.
        risk: what the error says where they may not.
        tls: of a `tls` address.
        token: what every request must present as a bearer token, except for `/`, which only shows a page; "" for none.
    """

    name: str
    address: Address
    hosts: Collection[str]
    exposed: bool
    risk: Risk
    tls: ssl.SSLContext | None = None
    token: str = field(default="", repr=False)

    def check(self) -> None:
        """Check what can be known before it serves.

        Raises:
            Denied: other machines would reach it, and may not.
        """
        check_addresses([self.address], exposed=self.exposed, risk=self.risk)

    @asynccontextmanager
    async def serving(self, handler: Handler) -> AsyncGenerator[None]:
        """Serve HTTP; all connections end with the context.

        Raises:
            Denied: other machines would reach it, and may not.
            Unavailable: it can't listen there.
        """
        limiter = ConnectionLimiter(MAX_CONNECTIONS, self.name)
        bound = listening([self.address], exposed=self.exposed, risk=self.risk)
        async with bound as listeners, trio.open_nursery() as nursery:
            work = partial(self._connection, limiter, handler)
            nursery.start_soon(partial(serve, make_room=limiter.make_room), listeners, work, self.name)
            yield
            nursery.cancel_scope.cancel()

    async def _connection(
        self, limiter: ConnectionLimiter, handler: Handler, stream: trio.SocketStream, caller: str
    ) -> None:
        with limiter.admit() as client:
            if client is None:
                return

            async def answer(request: Request) -> Answer:
                client.busy()
                try:
                    found = await handler(request, caller)
                finally:
                    client.idle()
                return Answer(found.status, found.body, HEADERS | found.headers, pieces=found.pieces)

            service = Service("", answer, _refused, self._admit)
            if self.tls is None:
                await converse(lean(stream), service)
            elif (hidden := await secured(lean(stream), self.tls, self.name, caller)) is not None:
                async with hidden:
                    await converse(hidden, service)

    def _admit(self, head: Head) -> None:
        known = {host.lower() for host in (*self.hosts, self.address.host) if host}
        check_head(head, known if self.address.scheme == "tcp" else None)  # no browser gets to the others by a name
        if self.token and head.target != "/" and not compare_digest(bearer(head) or b"", self.token.encode()):
            raise Denied("this requires the token of this server (Authorization: Bearer TOKEN)")


def _refused(reason: str) -> Any:
    return {"error": reason}
