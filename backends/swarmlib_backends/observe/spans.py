"""Spans: the parts of a traced call's way through a chain, each with its time and outcome.

A span belongs to one request that a stage is sent. It is found again in the request's `meta.trace`, so that what the
stage sends further, also in another task, is below it: whoever traces a call only has to begin its first span.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter_ns, time_ns
from typing import Protocol

from swarmlib import Error, Reply, Request
from swarmlib.reply import FINAL
from swarmlib.trace_context import TraceContext

from .call import GONE, OK


class Stage(Protocol):
    """What a span says of the stage that its request came to: see `place.Place`."""

    name: str
    label: str

    @property
    def is_engine(self) -> bool:
        """Whether it answers requests itself."""
        ...


class Recorder(Protocol):
    """Takes the spans that have ended."""

    def new_id(self) -> str:
        """Return the id of a new span."""
        ...

    def ended(self, span: Span) -> None:
        """Take a span that has ended; it must not block."""
        ...


@dataclass(frozen=True, slots=True)
class RecordedContext(TraceContext):
    """The context of a span that is recorded."""

    recorder: Recorder = field(kw_only=True, repr=False, compare=False)


class Span:
    """One span, from a request to its final reply.

    Attributes:
        context: the trace and the span's id.
        parent: the id of the span above it; "" for the first one of a trace.
        verb, path, uploads: of its request: the operation, and whether there is an upload.
        place: the stage that the request came to; None for the call as a whole.
        began, ended: nanoseconds since 1970.
        outcome: `OK`, `GONE`, or the code of an error; "" until it has ended.
    """

    __slots__ = ("_clock", "began", "context", "ended", "outcome", "parent", "path", "place", "uploads", "verb")

    def __init__(self, context: RecordedContext, parent: str, request: Request, place: Stage | None) -> None:
        self.context = context
        self.parent = parent
        self.verb = request.verb
        self.path = request.path
        self.uploads = request.upload is not None
        self.place = place
        self.began, self.ended = time_ns(), 0
        self.outcome = ""
        self._clock = perf_counter_ns()

    def begin(self, request: Request) -> Request:
        """Begin it; return the request to send on, which tells it its end."""
        request.reply.watch(self)
        request.reply.on_gone(self.closed)
        return request.replace(meta=request.meta.replace(trace=self.context))

    def see(self, reply: Reply) -> Reply:
        """See `swarmlib.reply_channel.Watcher`."""
        if isinstance(reply, FINAL):
            self.end(reply.error.code if isinstance(reply, Error) else OK)
        return reply

    def delivered(self) -> None:
        """Do nothing."""

    def closed(self) -> None:
        """Note the end of the replies: without a final one, since the client has disconnected."""
        self.end(GONE)

    def end(self, outcome: str) -> None:
        """Note that it has ended; only the first time counts."""
        if not self.outcome:
            self.outcome = outcome
            self.ended = self.began + perf_counter_ns() - self._clock
            self.context.recorder.ended(self)


def below(above: RecordedContext, request: Request, place: Stage | None) -> Request:
    """Begin the span of a request that is sent to `place`, below another one; return the request to send on."""
    recorder = above.recorder
    context = RecordedContext(above.trace_id, recorder.new_id(), above.sampled, above.state, recorder=recorder)
    return Span(context, above.span_id, request, place).begin(request)
