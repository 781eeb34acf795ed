"""Reaching an engine (unix, tcp, TLS, ssh, npipe), and keeping connections for its next requests."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from urllib.parse import SplitResult, urlsplit

import trio

from swarmlib import Invalid, Unavailable
from swarmlib.net.dialling import open_tcp, open_unix, reaching
from swarmlib.net.sockets import Socket
from swarmlib.net.tls import TlsStream

from ..http.repeated import RepeatedHeads
from .npipe import open_pipe
from .response import Responses
from .ssh import SshTunnel

_REPEATED: Final = RepeatedHeads()
"""The heads of all engines' answers: those of one release answer alike within a second, as their heads tell the time.
For each of a thousand engines they would take 400 KiB."""
MAX_IDLE: Final = 64
"""Connections kept for the next request, at most."""
ADDRESS_FORMS: Final = (
    "unix:///PATH, tcp://HOST:PORT, ssh://[USER@]HOST[:PORT][/SOCKET], or on Windows npipe:////./pipe/NAME"
)


@dataclass(frozen=True)
class Endpoint:
    """The address of an engine, and how to reach it."""

    address: str
    tls: ssl.SSLContext | None = None
    ssh_options: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further options for ssh, as in its configuration."""

    @property
    def parts(self) -> SplitResult:
        """The parts of the address."""
        return urlsplit(self.address)

    @cached_property
    def host(self) -> bytes:
        """The Host header: the engine's address if it is reached over TCP, as a server there may refuse others."""
        parts = self.parts
        return parts.netloc.rpartition("@")[2].encode() if parts.scheme == "tcp" else b"docker"

    def check(self) -> None:
        """Raise Invalid unless the address can be dialled."""
        parts = self.parts
        try:
            complete = {
                "unix": bool(parts.path),
                "tcp": bool(parts.hostname and parts.port),
                "npipe": bool(parts.path),
                "ssh": bool(parts.hostname) and (parts.port or 22) > 0 and not (parts.hostname or "").startswith("-"),
            }[parts.scheme]
        except (KeyError, ValueError):
            complete = False
        if not complete:
            raise Invalid(f"invalid address {self.address!r}: expected {ADDRESS_FORMS}")


class Connection:
    """One connection to an engine, which serves one exchange after another.

    sent: whether the request of the present exchange was sent completely. reused: whether it served an exchange before.
    """

    def __init__(self, stream: trio.abc.HalfCloseableStream, whose: str, repeated: RepeatedHeads | None = None) -> None:
        self.stream = stream
        self.responses = Responses(stream, whose, repeated)
        self.sent = False
        self.reused = False

    @property
    def at_rest(self) -> bool:
        """Whether the exchange is over on both sides, so that another may follow."""
        return self.sent and self.responses.at_rest

    async def close(self) -> None:
        """Close it at once."""
        self.responses.close()
        await trio.aclose_forcefully(self.stream)

    def stale(self) -> bool:
        """Return whether something arrived while no request was open: the end of the stream, or unexpected bytes."""
        transport = self.stream
        if type(transport) is Socket:  # by far the most frequent, and its test is the cheapest
            return transport.readable()
        if isinstance(transport, TlsStream):
            if transport.unread:
                return True
            transport = transport.transport
        return isinstance(transport, Socket) and transport.readable()


class Deadlines:
    """Ends the waits for answers that are overdue, by closing their connections, from one task. A cancel scope for each
    request would cost it a tenth of all.
    """

    def __init__(self) -> None:
        self._due: dict[Connection, float] = {}
        self._next = math.inf
        self._sooner = trio.Event()

    def begin(self, connection: Connection, due: float) -> None:
        """Close a connection at this time, on trio's clock, unless `end` comes before."""
        self._due[connection] = due
        if due < self._next:
            self._next = due
            self._sooner.set()

    def end(self, connection: Connection) -> None:
        """Note that what was waited for has come, if a wait had begun."""
        self._due.pop(connection, None)

    async def run(self) -> None:
        """Keep the deadlines, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next):
                await self._sooner.wait()
            self._sooner = trio.Event()
            now = trio.current_time()
            for connection in [each for each, due in self._due.items() if due <= now]:
                self.end(connection)
                connection.sent = False  # it is not used again, even if its answer has just come
                await trio.aclose_forcefully(connection.stream)  # whoever waits for the answer is told by that
            self._next = min(self._due.values(), default=math.inf)


class Engine:
    """The connections to one engine. Run `deadlines` meanwhile."""

    def __init__(self, endpoint: Endpoint, nursery: trio.Nursery) -> None:
        self.endpoint = endpoint
        self.name = f"engine {endpoint.address}"
        self._ssh = SshTunnel(endpoint.parts, nursery, endpoint.ssh_options) if endpoint.parts.scheme == "ssh" else None
        self.deadlines = Deadlines()
        self._idle: list[Connection] = []

    async def connection(self, due: float = math.inf, *, fresh: bool = False) -> Connection:
        """Return a connection that nobody else uses; `give_back` ends its use.

        due: when it is closed unless its use has ended, on trio's clock.
        fresh: return a new connection, not one that served an exchange before.

        Raises:
            Unavailable: the engine can't be reached, or not until `due`.
        """
        while self._idle and not fresh:
            found = self._idle.pop()
            if not found.stale():
                found.sent = False
                found.reused = True
                break
            await found.close()
        else:
            found = await self._new(due)
        if due != math.inf:
            self.deadlines.begin(found, due)
        return found

    async def _new(self, due: float) -> Connection:
        with trio.CancelScope(deadline=due):
            return Connection(await self._dial(), self.name, _REPEATED)
        raise Unavailable(f"can't connect to {self.name} in time")

    async def give_back(self, connection: Connection) -> None:
        """Keep a connection for another exchange if it is at rest and there are not too many; else close it."""
        self.deadlines.end(connection)
        if connection.at_rest and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            await connection.close()

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await self._idle.pop().close()

    async def _dial(self) -> trio.abc.HalfCloseableStream:
        parts = self.endpoint.parts
        with reaching(self.name):
            if parts.scheme == "unix":
                return await open_unix(parts.path)
            if parts.scheme == "npipe":
                return await open_pipe(parts.path)
            if self._ssh is not None:
                return await open_unix(await self._ssh.socket())
            return await open_tcp(parts.hostname or "", parts.port or 0, self.endpoint.tls)


@asynccontextmanager
async def open_engine(endpoint: Endpoint) -> AsyncGenerator[Engine]:
    """Open an engine; its connections are closed at the end."""
    endpoint.check()
    async with trio.open_nursery() as nursery:
        engine = Engine(endpoint, nursery)
        nursery.start_soon(engine.deadlines.run)
        try:
            yield engine
        finally:
            await engine.close()
            nursery.cancel_scope.cancel()
