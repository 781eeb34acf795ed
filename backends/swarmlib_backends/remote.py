"""`remote`: the end of a chain that continues elsewhere: requests sent here reach the chain after a `listen`.

One connection is kept, and re-established whenever it is lost. A call made while it is down is answered `unavailable`.
"""

from __future__ import annotations

import logging
import random
import shlex
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from swarmlib import UNSENT, Filter, Invalid, Request, SwarmError, Unavailable, argument, option
from swarmlib.net.address import DialAddress, DialUrl
from swarmlib.net.dialling import dial
from swarmlib.net.tls import client_context
from swarmlib.quantities import Duration
from swarmlib.supervision import supervised
from swarmlib.wire.connection import Connection, open_connection
from swarmlib.wire.limits import Limits

from .bounds import Bound, limits
from .introductions import introduction
from .pauses import pauses

__all__ = ["Remote"]

OPEN_SECONDS: Final = 3.0
"""Seconds that opening the stage waits for the first connection; after that, calls are answered `unavailable` until it
is established. A far side that is down never keeps a chain from opening."""
FIRST_PAUSE: Final = 0.1
"""Seconds until the first attempt after a loss; they double with each further attempt."""
LOGIN_SECONDS: Final = 30
"""Seconds that ssh may take to log in and start the program on the far side."""
_log = logging.getLogger(__name__)


@dataclass
class Remote(Filter):
    """The chain that another machine or process serves by `listen`; reconnects when the connection is lost.

    Opening the stage connects, which may take some seconds. While the connection is lost, calls are answered with
    `unavailable` at once, and so are those that were under way when it was lost.

    ssh:// needs no open port on the remote machine: ssh runs `swarmd stdio` there, which connects to the unix socket of
    a `listen` (/run/swarmd.sock, or the address's path) or, with --run, runs that chain.
    """

    position = "last"

    url: DialUrl = argument(f"address to connect to: {DialAddress.usage()}")
    ca: str = option("tls: authority of the server's certificate (default: the system's)", default="", metavar="FILE")
    cert: str = option("tls: certificate of this client", default="", metavar="FILE")
    key: str = option("tls: key of this client", default="", metavar="FILE")
    run: str = option(
        "ssh: chain to run on the remote machine, in place of one that listens", default="", metavar="CHAIN"
    )
    swarmd: str = option("ssh: the swarmd command on the remote machine", default="swarmd", metavar="COMMAND")
    max_backoff: Duration = option("maximum pause between attempts to reconnect", default=15.0)
    keepalive: Duration = option("ping a peer that has been silent for this time", default=10.0)
    keepalive_timeout: Duration = option("consider a peer dead that has been silent for this time", default=30.0)
    limit: Sequence[Bound] = option(
        "limit of the session (see docs/wire.md), such as channels=1000", default=[], metavar="NAME=N"
    )

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        self._address = DialAddress.read(self.url)
        self._program()
        limits(self.keepalive, self.keepalive_timeout, self.limit)
        if self.max_backoff < FIRST_PAUSE:
            raise Invalid(f"--max-backoff must be {FIRST_PAUSE} or more, not {self.max_backoff}")
        if bool(self.cert) != bool(self.key):
            raise Invalid("--cert and --key must be given together")
        if self.run and (self._address.scheme != "ssh" or self._address.path):
            raise Invalid("--run requires an ssh:// address without a socket")

    @property
    def name(self) -> str:
        """The backend and its address, as an error must say which of many it concerns."""
        return f"remote {self._address}"

    @property
    def endpoints(self) -> Sequence[str]:
        """See `Backend.endpoints`."""
        return [self._address.text]

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        self._tls_context()

    async def greet(self) -> str:
        """See `Backend.greet`."""
        async with self._connected(self._tls_context()) as connection:
            return await introduction(connection.sender, self.name)

    def _tls_context(self) -> ssl.SSLContext | None:
        return client_context(self.ca, self.cert, self.key) if self._address.scheme == "tls" else None

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Keep the connection."""
        tls = self._tls_context()
        self._connection: Connection | None = None
        self._why = "it has not been reached yet"
        self._tried = trio.Event()
        self._is_missed = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stay_connected, tls)
            with trio.move_on_after(OPEN_SECONDS):
                await self._tried.wait()
            if not self._tried.is_set():
                self._miss(self._why)
            yield
            nursery.cancel_scope.cancel()

    async def send(self, request: Request) -> None:
        """Send a request to the far side."""
        if self._connection is None:
            raise Unavailable(f"{self._address} is not connected: {self._why}", details={UNSENT: True})
        await self._connection.sender.send(request)

    async def _stay_connected(self, tls: ssl.SSLContext | None) -> None:
        waits = pauses(self.max_backoff, first=FIRST_PAUSE)
        while True:
            began = trio.current_time()
            await supervised(self.name, self._hold, tls)
            if trio.current_time() - began > self.max_backoff:  # it was a good one: this loss is not about the last one
                waits = pauses(self.max_backoff, first=FIRST_PAUSE)
            await trio.sleep(next(waits) * random.uniform(0.5, 1))  # not all peers of a restarted one at once

    async def _hold(self, tls: ssl.SSLContext | None) -> None:
        """Connect, and hold the connection until it ends."""
        try:
            async with self._connected(tls) as connection:
                self._found(connection)
                await connection.closed.wait()
                self._lost(connection.why)  # at once: closing the connection to a peer that is gone takes time
        except SwarmError as exc:
            self._lost(exc)
        except Exception as exc:
            self._lost(Unavailable(f"the connection failed: {type(exc).__name__}"))
            raise

    @asynccontextmanager
    async def _connected(self, tls: ssl.SSLContext | None) -> AsyncGenerator[Connection]:
        async with (
            dial(self._address, tls=tls, program=self._program()) as stream,
            open_connection(stream, service=None, initiator=True, limits=self._limits(), peer=self.name) as connection,
        ):
            yield connection

    def _found(self, connection: Connection) -> None:
        self._connection = connection
        self._tried.set()
        _log.log(logging.WARNING if self._is_missed else logging.INFO, "%s is connected", self.name)
        self._is_missed = False

    def _lost(self, why: SwarmError | None) -> None:
        self._connection = None
        reason = str(why).removeprefix(f"{self._address} ")
        if reason != self._why or not self._is_missed:
            self._miss(reason)
        self._why = reason
        self._tried.set()

    def _miss(self, reason: str) -> None:
        """Log why it is not connected; then the next connection is logged too."""
        self._is_missed = True
        _log.warning("%s: %s; trying again", self.name, reason)

    def _program(self) -> list[str]:
        """Return the program that ssh runs on the far side. Raise ValueError if its quotes are not balanced."""
        what = [self.run] if self.run else ["--to", f"unix://{self._address.path}"] if self._address.path else []
        return [*shlex.split(self.swarmd), "stdio", *what]

    def _limits(self) -> Limits:
        usual = [Bound("handshake", LOGIN_SECONDS)] if self._address.scheme == "ssh" else []
        return limits(self.keepalive, self.keepalive_timeout, [*usual, *self.limit])
