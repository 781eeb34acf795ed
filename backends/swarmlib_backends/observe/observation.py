"""What is known of a chain that is observed: its places, the calls, the clients, and what was denied.

Everything here is bounded, and kept up in the tasks of the calls at a cost of some microseconds for each. Whoever reads
it does so in a task of their own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from typing import Final

import trio

from swarmlib import Denied, Invalid, Request, Unsupported, observing

from .. import redact
from ..dockerapi import table
from ..notes import Notes
from .call import Call
from .place import Place
from .series import Series
from .spans import Span, Stage

MAX_KINDS: Final = 2000
"""The most kinds of calls that are counted apart; the others are counted as `OTHER`."""
MAX_CLIENTS: Final = 1000
"""The most clients that are remembered; the one that has been silent longest is forgotten."""
MAX_DENIALS: Final = 100
MAX_FED: Final = 1000
"""The most ended calls that wait for a viewer; older ones are dropped. Each costs some memory, and time to read it."""
MAX_VALUE: Final = 16 * 1024
"""The most bytes of a body or an answer that wait for a viewer, or are kept for it."""
RATE_SECONDS: Final = 5.0
"""Rates are those of this time at least, and of twice this time at most."""
OTHER: Final = "Other"
"""The operation of a request that is none of the Engine API's."""


@dataclass(slots=True)
class Client:
    """What a client has done.

    Attributes:
        calls, errors, denied: how many have ended in all, with an error, and as denied.
        seen_at: when the last one of these began, by `perf_counter`.
    """

    calls: int = 0
    errors: int = 0
    denied: int = 0
    seen_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Denial:
    """A call that was denied: when (in seconds since 1970), whose, what, by which stage, and why."""

    at: float
    caller: str
    operation: str
    path: str
    stage: str
    message: str


@dataclass(eq=False)
class Feed:
    """The calls that have ended since a viewer last took them.

    Attributes:
        calls: these calls, the newest last.
        put: how many these were before the oldest ones were dropped, because the viewer did not take them in time.
    """

    calls: deque[Call]
    put: int = 0

    def take(self) -> tuple[list[Call], int]:
        """Return the calls and the number of dropped ones since the last time."""
        taken, put = list(self.calls), self.put
        self.calls.clear()
        self.put = 0
        return taken, put - len(taken)


class Observation:
    """What is known of one chain. Open the chain with `root` as its observer, and run `sample`.

    Attributes:
        root: the observer to open the chain with.
        began: when the observation did, in seconds since 1970.
        places: the open stages, by their numbers.
        under_way: the calls that have not ended, by their numbers, the oldest first.
        ended: the durations until the final replies of those that have, by kind: operation,
            outcome, and engine ("" if they came to none).
        received, sent: bytes from and to the clients, of ended calls.
        clients: by caller, those whose calls have ended.
        denials: the last ones.
    """

    def __init__(self) -> None:
        self.began = time.time()
        self.places: dict[int, Place] = {}
        self.under_way: dict[int, Call] = {}
        self.ended: dict[tuple[str, str, str], Series] = {}
        self.received = self.sent = 0
        self.clients: dict[str, Client] = {}
        self.denials: deque[Denial] = deque(maxlen=MAX_DENIALS)
        self._numbers = count(1)
        self._calls = count(1)
        self._feeds: list[Feed] = []
        self._samples: deque[tuple[float, Mapping[int, int]]] = deque([(perf_counter(), {})], maxlen=2)
        self.root = Place(self, None, None, "", 0)

    # What the places report.

    def opened(self, place: Place) -> int:
        """See `place.Book`."""
        number = next(self._numbers)
        self.places[number] = place
        return number

    def gone(self, place: Place) -> None:
        """See `place.Book`."""
        self.places.pop(place.number, None)

    def begin(self, request: Request, stage: int) -> Call:
        """See `place.Book`."""
        call = Call(next(self._calls), request, stage, self._end)
        self.under_way[call.number] = call
        if self._feeds:
            call.notes = Notes()
        return call

    def _end(self, call: Call) -> None:
        del self.under_way[call.number]
        operation = operation_of(call)
        kind = (operation, call.outcome, self.engine_of(call))
        series = self.ended.get(kind)
        if series is None:
            series = self._new_series(kind)
        series.add(call.answered or call.seconds)
        self.received += call.received
        self.sent += call.sent
        client = self._client(call)
        client.calls += 1
        if call.error is not None:
            client.errors += 1
            if isinstance(call.error, Denied):
                client.denied += 1
                self._denied(call, operation)
        if self._feeds:
            self._feed(call)

    def _feed(self, call: Call) -> None:
        """Keep a call for the viewers, without a large body or answer, or the requests that stages have changed."""
        if call.body is not None and call.body.held > MAX_VALUE:
            call.body = None
        if call.answer is not None and not 0 < call.answer.held <= MAX_VALUE:
            call.answer = None
        if call.notes is not None and call.notes.before is not None:
            call.notes.before = call.notes.after = None
        for feed in self._feeds:
            feed.calls.append(call)
            feed.put += 1

    def _client(self, call: Call) -> Client:
        caller = call.meta.caller
        client = self.clients.get(caller)
        if client is None:
            if len(self.clients) == MAX_CLIENTS:
                del self.clients[min(self.clients, key=lambda each: self.clients[each].seen_at)]
            client = self.clients[caller] = Client()
        client.seen_at = call.began
        return client

    def _new_series(self, kind: tuple[str, str, str]) -> Series:
        known = kind if len(self.ended) < MAX_KINDS else (OTHER, kind[1], "")
        return self.ended.setdefault(known, Series())

    def _denied(self, call: Call, operation: str) -> None:
        assert call.error is not None
        error = redact.error(call.error, redact.secrets_of(call.request()))
        path = "/".join(call.path)
        self.denials.append(Denial(time.time(), call.meta.caller, operation, path, error.backend, error.message))

    # What is asked of it.

    def engine_of(self, call: Call) -> str:
        """Return the name of the engine that a call came to last; "" if there is none."""
        place = self.places.get(call.engine)
        return "" if place is None else name_of(place)

    @contextmanager
    def feeding(self, most: int = MAX_FED) -> Generator[Feed]:
        """Keep the calls that end for a viewer, the last `most` of them, with what stages find out about them."""
        feed = Feed(deque(maxlen=most))
        self._feeds.append(feed)
        try:
            yield feed
        finally:
            self._feeds.remove(feed)

    async def sample(self) -> None:
        """Follow the rates, until cancelled."""
        while True:
            await trio.sleep(RATE_SECONDS)
            self.check()
            self._samples.append((perf_counter(), {number: place.requests for number, place in self.places.items()}))

    def check(self) -> None:
        """End the calls whose clients have disconnected."""
        for call in list(self.under_way.values()):
            call.check()

    def rate(self, place: Place) -> float:
        """Return how many requests a second a place was sent lately."""
        since, counts = self._samples[0]
        seconds = perf_counter() - since
        return (place.requests - counts.get(place.number, 0)) / seconds if seconds > 0 else 0.0


def operation_of(call: Call | Span) -> str:
    """Return the Engine API's name of a call's operation, or a span's; `OTHER` for what is none."""
    try:
        return table.row_of(call.verb, call.path, upload=call.uploads).name
    except Unsupported:
        return OTHER


def name_of(place: Stage) -> str:
    """Return what people call an engine: the label of its chain, or else its stage's name."""
    return place.label or place.name


def observed(stage: str) -> Observation:
    """Return the observation of the chain whose stage, of this name, reads this.

    Raises:
        Invalid: nobody observes the chain.
    """
    place = observing.here.get()
    if not isinstance(place, Place) or not isinstance(place.book, Observation):
        raise Invalid(f"{stage} requires a chain that is observed: run it by swarmd, or open it with an Observation")
    return place.book
