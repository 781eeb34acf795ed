"""The places of an observed chain: each stage, what it was sent, and the stages of the chains that it opens."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from time import perf_counter
from typing import Any, Final, Protocol

import trio

from swarmlib import Backend, Request, Sender, Source, SwarmError, Verb
from swarmlib.observing import Observer

from ..calls import LOOKS
from .call import Call, EngineAnswer, current
from .series import Series
from .spans import RecordedContext, below

UNREACHED: Final = frozenset({"unavailable", "timeout"})
"""The codes of the errors that say that an engine did not answer."""


class Book(Protocol):
    """What the places report to."""

    def opened(self, place: Place) -> int:
        """Note a place, and return its number."""
        ...

    def gone(self, place: Place) -> None:
        """Forget a place."""
        ...

    def begin(self, request: Request, stage: int) -> Call:
        """Begin the call of a request that comes to the stage of this number."""
        ...


class Place(Observer):
    """One stage of an observed chain, or the root, which opens the outermost one.

    Attributes:
        book: what it reports to.
        number: of this place; 0 for the root.
        name: the stage's.
        label: of the chain that it stands in, or of the nearest one around it that has a label.
        above: the place that has opened its chain.
        row: which of the chains that `above` has opened is its own.
        is_entry: whether clients' requests come here first.
        is_engine: whether it answers requests itself: it is the last stage of its chain, and has opened none.
        requests: how many it was sent.
        errors: how many of these ended with an error, if it is an engine.
        answers: of an engine, the series of its answers by outcome.
        latency: seconds that an engine took for its last answer to a question; changes may take any time.
        failure: why an engine did not answer the last request; None if it did, or was asked nothing.
        failed_at, answered_at: since when it does not answer, and when it last did, by `perf_counter`; 0 for never.
        asked_at: when it was last asked for its state, by `perf_counter`; 0 for never.
        sender: its own channel, while it is open.
        about: what an engine said of itself when it was last asked.
    """

    def __init__(self, book: Book, backend: Backend | None, above: Place | None, label: str, row: int) -> None:
        self.book = book
        self.name = backend.name if backend else ""
        self.above = above
        self.label = label
        self.row = row
        self.is_entry = self.is_engine = False
        self.requests = self.errors = 0
        self.answers: dict[str, Series] = {}
        self.latency = 0.0
        self.failure: SwarmError | None = None
        self.failed_at = self.answered_at = self.asked_at = 0.0
        self.sender: Sender | None = None
        self.about: Mapping[str, Any] = {}
        self._chains = 0
        self.number = 0 if above is None else book.opened(self)

    def chain(self, label: str, backends: Sequence[Backend]) -> Sequence[Place]:
        """See `Observer.chain`."""
        self._chains += 1
        self.is_engine = False
        places = [Place(self.book, each, self, label or self.label, self._chains) for each in backends]
        places[-1].is_engine = backends[-1].position in ("last", "anywhere")
        if self.above is None:
            first = 1 if isinstance(backends[0], Source) else 0
            for place in places[first : first + 1]:
                place.is_entry = True
        return places

    def inlet(self, inlet: Sender) -> Sender:
        """See `Observer.inlet`."""
        self.sender = inlet
        return Edge(self, inlet, self.book)

    def closed(self) -> None:
        """See `Observer.closed`."""
        self.sender = None
        self.book.gone(self)

    def answered(self, verb: Verb, seconds: float, error: SwarmError | None) -> None:
        """Note an answer of an engine."""
        outcome = "ok" if error is None else error.code
        series = self.answers.get(outcome)
        if series is None:
            series = self.answers[outcome] = Series()
        series.add(seconds)
        if error is not None:
            self.errors += 1
        if outcome in UNREACHED:
            if self.failure is None:
                self.failed_at = perf_counter()
            self.failure = error
        else:
            self.failure, self.answered_at = None, perf_counter()
            if verb in LOOKS:
                self.latency = seconds


class Edge(trio.abc.SendChannel[Request]):
    """The channel to a stage. It counts what is sent, in the task of the sender, and keeps nothing back."""

    def __init__(self, place: Place, inner: Sender, book: Book) -> None:
        self._place = place
        self._send = inner.send
        self._close = inner.aclose
        self._book = book

    def send(self, value: Request) -> Coroutine[Any, Any, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Note a request, and return the coroutine that sends it on: one of its own here would cost each call."""
        place = self._place
        place.requests += 1
        if type(trace := value.meta.trace) is RecordedContext:
            value = below(trace, value, place)
        call = current.get()
        if call is None or call.over:
            if place.is_entry or value.meta.caller:
                return self._begin(value)
        else:
            call.at(place.number)
        if place.is_engine:
            self._to_engine(value, call)
        return self._send(value)

    async def _begin(self, value: Request) -> None:
        call = self._book.begin(value, self._place.number)
        token = current.set(call)
        try:
            if self._place.is_engine:
                self._to_engine(value, call)
            await self._send(call.observed(value))
        except BaseException as exc:
            call.failed(exc)
            raise
        finally:
            current.reset(token)

    def _to_engine(self, request: Request, call: Call | None) -> None:
        if call is not None:
            call.engine = self._place.number
            if call.is_answered_by(request.reply, self._place.answered):
                return
        request.reply.watch(EngineAnswer(request.verb, self._place.answered))

    async def aclose(self) -> None:
        """Close the stage's channel."""
        await self._close()
