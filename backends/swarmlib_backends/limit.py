"""`limit`: a bound on concurrent calls and on calls per second, and a fair share for each client."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn

import trio

from swarmlib import UNSENT, Handler, Invalid, Reply, ReplySender, Request, Server, Unavailable, option
from swarmlib.quantities import Rate
from swarmlib.reply import FINAL

from .calls import forward, relay
from .queues import counted

_TOO_MANY_REQUESTS: Final = 429  # RFC 6585, 4


@dataclass
class Limit(Server):
    """Limits concurrent calls (`--max-concurrent`) and their rate (`--rate`); further calls wait for their turn.

    The clients take turns (a client is a certificate's name, a unix socket's user or an address, as the source says),
    so that a client with a thousand calls delays another's single call by only one turn. If `--queue` calls of a client
    are waiting already, its next one is answered `unavailable` at once (over HTTP: 429); a `retry` before this stage
    knows that it had no effect. A call has its place until it is answered; a watch or a stream continues without one.

    limit --rate 50/s --burst 100 --max-concurrent 20
    """

    position = "between"

    rate: Rate | None = option("maximum rate of calls, such as 50/s or 600/m (default: unlimited)", default=None)
    burst: int = option("calls that may exceed the rate after a quiet period", default=1)
    max_concurrent: int = option("maximum number of concurrent calls; 0: unlimited", default=0)
    queue: int = option("maximum number of waiting calls of one client", default=100)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if self.burst < 1 or self.max_concurrent < 0 or self.queue < 0:
            raise Invalid("--burst must be 1 or more, and --max-concurrent and --queue 0 or more")
        if self.rate is None and not self.max_concurrent:
            raise Invalid("--rate or --max-concurrent is required")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Open the gate."""
        self._gate = _Gate(self.max_concurrent or math.inf, self.rate.per_second if self.rate else math.inf, self.burst)
        async with counted(self.name, self._gate.all_waiting), trio.open_nursery() as nursery:
            nursery.start_soon(self._gate.keep_time)
            yield
            nursery.cancel_scope.cancel()

    def choose(self, request: Request) -> Handler | None:
        """Queue every call as it arrives."""
        ticket = self._gate.join(request.meta.caller)
        if not ticket.admitted.is_set() and self._gate.waiting(ticket.client) > self.queue:
            self._gate.leave(ticket)
            return self._turn_away
        return partial(self._call, ticket)

    async def _turn_away(self, _: Request) -> NoReturn:
        details = {UNSENT: True, "status": _TOO_MANY_REQUESTS}
        raise Unavailable(
            f"too many calls: {self.queue} of your calls are waiting already; try again later", details=details
        )

    async def _call(self, ticket: _Ticket, request: Request) -> None:
        try:
            await ticket.admitted.wait()
            await relay(request, self.next, partial(self._forward, ticket, request.reply))
        finally:
            self._gate.leave(ticket)

    async def _forward(self, ticket: _Ticket, to: ReplySender, reply: Reply) -> None:
        if isinstance(reply, FINAL):
            self._gate.leave(ticket)
        await forward(reply, to)


class _Ticket:
    def __init__(self, client: str) -> None:
        self.client = client
        self.admitted = trio.Event()
        self.left = False


class _Gate:
    """Admits calls: each client has a queue, and the clients take turns.

    The rate is kept as the time from which the next call conforms (GCRA, as in ATM's traffic contract): one number,
    instead of tokens that must be refilled.
    """

    def __init__(self, places: float, per_second: float, burst: int) -> None:
        self._places = places
        self._interval = 1 / per_second
        self._tolerance = (burst - 1) * self._interval
        self._conforms = -math.inf
        self._lines: dict[str, deque[_Ticket]] = {}  # the first client is next
        self._timed = trio.Event()

    def join(self, client: str) -> _Ticket:
        """Join the queue; the ticket is `admitted` at once if there is a place."""
        ticket = _Ticket(client)
        self._lines.setdefault(client, deque()).append(ticket)
        self._admit()
        return ticket

    def waiting(self, client: str) -> int:
        """Count the waiting calls of a client."""
        return len(self._lines.get(client, ()))

    def all_waiting(self) -> int:
        """Count the waiting calls of all clients."""
        return sum(map(len, self._lines.values()))

    def leave(self, ticket: _Ticket) -> None:
        """Give back the place, or stop waiting for one. May be called twice."""
        if ticket.left:
            return
        ticket.left = True
        if ticket.admitted.is_set():
            self._places += 1
            self._admit()
        else:
            self._take(ticket)

    def _take(self, ticket: _Ticket) -> None:
        """Remove a ticket from its queue; the client's next call has its turn after those of the other clients."""
        line = self._lines.pop(ticket.client)
        line.remove(ticket)
        if line:
            self._lines[ticket.client] = line

    def _admit(self) -> None:
        now = trio.current_time()
        while self._lines and self._places > 0:
            if self._conforms - self._tolerance > now:
                self._timed.set()
                return
            ticket = next(iter(self._lines.values()))[0]
            self._take(ticket)
            ticket.admitted.set()
            self._places -= 1
            self._conforms = max(self._conforms, now) + self._interval

    async def keep_time(self) -> None:
        """Admit the calls that only wait for time to pass."""
        while True:
            await self._timed.wait()
            self._timed = trio.Event()
            await trio.sleep_until(self._conforms - self._tolerance)
            self._admit()
