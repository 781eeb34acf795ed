"""`dockerserver`: a Docker API server at the head of a chain. It makes requests of HTTP requests, by the routing table.

Each connection has one task that reads requests (`connection`), and admits only those meant for this server
(`admission`). A reply channel (`reply`) writes the response to the connection itself, from checked fields (`fields`),
in the task of whichever stage replies: there is no queue between them. While a call is in progress, the connection's
task continues to read where it can, and the state of its socket is watched, so that a disconnecting client is noticed
at once, and its call cancelled in every stage.
"""

from __future__ import annotations

import shlex
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import trio

from swarmlib import Invalid, Source, Unavailable, argument, option
from swarmlib.net import callers
from swarmlib.net.address import Address
from swarmlib.net.hangups import Hangups
from swarmlib.net.limiter import ClientConnection, ConnectionLimiter, Heed, most_connections
from swarmlib.net.listening import Risk, check_addresses, listening, serve, unix_users
from swarmlib.net.sockets import lean
from swarmlib.net.tls import secured, server_context
from swarmlib.options import Reader

from .asked import HeadReader
from .connection import Connection, linger
from .reply import last_response

_RISK: Final = Risk("get root access", "require client certificates (--tlsverify)")


class _Address(Address):
    schemes = ("tcp", "unix", "fd")


_Url: TypeAlias = Annotated[str | Address, Reader(_Address.read)]


@dataclass
class DockerServer(Source):
    """A Docker API endpoint for the chain that follows it.

    Whoever can reach a Docker API is as good as root. A unix socket can be opened only by the user who runs swarmd, and
    by the members of --group. A tcp address is open to every user and program of this machine; other machines can
    connect only with a certificate (--tlsverify).

    dockerserver unix:///run/swarm.sock --group docker
    """

    addresses: Sequence[_Url] = argument(
        "address to listen on: tcp://HOST:PORT, unix:///PATH, or fd://[NAME] (socket activation)"
    )
    tls: bool = option("use TLS on tcp addresses", default=False)
    tlsverify: bool = option("use TLS, and serve only clients with a certificate of the authority", default=False)
    tlscacert: str = option("certificate of the authority", default="~/.docker/ca.pem", metavar="FILE")
    tlscert: str = option("certificate of this server", default="~/.docker/cert.pem", metavar="FILE")
    tlskey: str = option("key of this server", default="~/.docker/key.pem", metavar="FILE")
    insecure: bool = option(
        "let other machines connect without certificates; all of them get root access", default=False
    )
    max_connections: int = option(
        "maximum number of connections; a new one replaces the longest idle one", default=10_000
    )
    group: str = option("group that may also use the unix sockets (mode 0660)", default="")
    allow_host: list[str] = option(
        "name that clients on plain tcp may use for this server (header Host)", default=[], metavar="HOST"
    )
    tokens: bool = option(
        "know a client that sends a bearer token by that alone, and not by its user, certificate or address",
        default=False,
    )
    heed: Heed | None = None
    """Called with the number of clients that are connected, and of those with a call under way, when it changes."""

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if self.max_connections < 1:
            raise Invalid(f"--max-connections must be 1 or more, not {self.max_connections}")

    @property
    def endpoints(self) -> Sequence[str]:
        """See `Backend.endpoints`."""
        return [each.text for each in self._urls]

    def invitation(self, address: str) -> str:
        """See `Source.invitation`."""
        export = f"export DOCKER_HOST={shlex.quote(address)}"
        if address.startswith("unix:"):
            return f"for {unix_users(address)}: {export}"
        if self.tlsverify:
            return f"for clients with a certificate: {export} DOCKER_TLS_VERIFY=1"
        if self.insecure:
            return f"for everybody who can connect, with root access: {export}"
        return f"for every user and program of this machine, with root access (a unix socket is private): {export}"

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        check_addresses(self._urls, exposed=self._exposed, risk=_RISK, group=self.group)
        self._tls_context()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Bind every address, then serve until cancelled."""
        self._limiter = ConnectionLimiter(most_connections(self.max_connections), self.name, self.heed)
        self._tls = self._tls_context()
        addresses = self._urls
        hosts = {host.lower() for host in (*self.allow_host, *(address.host for address in addresses)) if host}
        self._plain, self._private = (HeadReader(each, tokens=self.tokens) for each in (hosts, None))
        async with (
            listening(addresses, exposed=self._exposed, risk=_RISK, group=self.group) as listeners,
            Hangups.open() as self._hangups,
        ):
            task_status.started()
            await serve(listeners, self._serve, self.name, make_room=self._limiter.make_room)

    @property
    def _urls(self) -> list[Address]:
        return list(map(_Address.read, self.addresses))

    @property
    def _exposed(self) -> bool:
        return self.insecure or self.tlsverify

    def _tls_context(self) -> ssl.SSLContext | None:
        if not (self.tls or self.tlsverify):
            return None
        return server_context(self.tlscert, self.tlskey, self.tlscacert if self.tlsverify else "")

    async def _serve(self, stream: trio.SocketStream, caller: str) -> None:
        tls = None if stream.socket.family == socket.AF_UNIX else self._tls
        with self._limiter.admit() as client:
            if client is None:
                await _turn_away(lean(stream), in_words=tls is None)
            elif tls is None:
                await self._converse(stream, lean(stream), client, caller)
            elif (hidden := await secured(lean(stream), tls, self.name, caller)) is not None:
                async with hidden:
                    caller = callers.by_certificate(hidden.peer_certificate) or caller
                    await self._converse(stream, hidden, client, caller)

    async def _converse(
        self, carrier: trio.SocketStream, stream: trio.abc.HalfCloseableStream, client: ClientConnection, caller: str
    ) -> None:
        plain = self._tls is None and carrier.socket.family != socket.AF_UNIX
        with self._hangups.watching(carrier.socket, ended=client.ended.set, gone=client.abort) as client.is_watched:
            reader = self._plain if plain else self._private
            await Connection(stream, self.next, client, caller, reader).serve()


async def _turn_away(stream: trio.abc.HalfCloseableStream, *, in_words: bool) -> None:
    full = Unavailable("too many clients are connected, and all have calls under way; try again later")
    if in_words:
        await stream.send_all(last_response(full))
        await linger(stream)
