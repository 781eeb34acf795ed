"""Spans as OpenTelemetry's, exported by its SDK in a thread of its own.

Spans are made by `observe`, since the SDK's own take 14 µs each, which every stage of every call would cost. What is
the SDK's: whether a call is sampled, the ids, the queue with its bound, the export, and its environment variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.span import TraceState
from opentelemetry.trace.status import Status, StatusCode

from swarmlib import Request
from swarmlib.trace_context import TraceContext

from ..observe.call import GONE, OK
from ..observe.observation import name_of, operation_of
from ..observe.spans import RecordedContext, Span, Stage
from .collector import Collector

_PATH: Final = "/v1/traces"
_UNSET: Final = Status(StatusCode.UNSET)
_ERROR: Final = Status(StatusCode.ERROR)
_FAULTS: Final = frozenset({"unavailable", "bad_answer", "timeout", "internal"})
"""The outcomes that are faults of the service; the others are for the client to mend."""


class Exporter:
    """Begins the spans of calls, and sends all spans to the collector at a base URL."""

    def __init__(self, url: str) -> None:
        ours = version("swarmlib")
        about = Resource.create({SERVICE_NAME: "swarmd", SERVICE_VERSION: ours})
        self._resource = about.merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("swarmlib", ours)
        provider = TracerProvider(shutdown_on_exit=False)
        self._sampler = provider.sampler
        self._ids = provider.id_generator
        self._spans: SpanProcessor = BatchSpanProcessor(Collector(url + _PATH))

    def begin(self, request: Request) -> Request:
        """Begin the span of a call, if it is sampled; return the request to send on."""
        above = request.meta.trace
        trace_id = f"{self._ids.generate_trace_id():032x}" if above is None else above.trace_id
        state = "" if above is None else above.state
        if not self._samples(above, trace_id):
            context = TraceContext(trace_id, self.new_id(), sampled=False, state=state)
            return request.replace(meta=request.meta.replace(trace=context))
        context = RecordedContext(trace_id, self.new_id(), sampled=True, state=state, recorder=self)
        return Span(context, "" if above is None else above.span_id, request, None).begin(request)

    def _samples(self, above: TraceContext | None, trace_id: str) -> bool:
        parent = Context() if above is None else set_span_in_context(NonRecordingSpan(_context(above)), Context())
        return self._sampler.should_sample(parent, int(trace_id, 16), "").decision is Decision.RECORD_AND_SAMPLE

    # As an `observe.spans.Recorder`.

    def new_id(self) -> str:
        """See `Recorder.new_id`."""
        return f"{self._ids.generate_span_id():016x}"

    def ended(self, span: Span) -> None:
        """See `Recorder.ended`."""
        self._spans.on_end(self._readable(span))

    def close(self) -> None:
        """Export what is left; this may take as long as the collector does."""
        self._spans.shutdown()

    def _readable(self, span: Span) -> ReadableSpan:
        operation, place = operation_of(span), span.place
        return ReadableSpan(
            operation if place is None else f"{place.name.partition(' ')[0]} {operation}",
            context=_context(span.context),
            parent=_parent(span),
            resource=self._resource,
            attributes={"swarmd.operation": operation, **_where(place), **_outcome(span.outcome)},
            kind=SpanKind.SERVER if place is None else SpanKind.CLIENT if place.is_engine else SpanKind.INTERNAL,
            instrumentation_scope=self._scope,
            status=_ERROR if span.outcome in _FAULTS else _UNSET,
            start_time=span.began,
            end_time=span.ended,
        )


def _where(place: Stage | None) -> Mapping[str, str]:
    if place is None:
        return {}
    engine = {"swarmd.engine": name_of(place)} if place.is_engine else {}
    return {"swarmd.stage": place.name, "swarmd.chain": place.label, **engine}


def _outcome(outcome: str) -> Mapping[str, str]:
    failed = outcome not in (OK, GONE)
    return {"swarmd.outcome": outcome, **({"error.type": outcome} if failed else {})}


def _parent(span: Span) -> SpanContext | None:
    """Return the span above, which is another process's if this one is the call's first."""
    if not span.parent:
        return None
    trace_id, flags = int(span.context.trace_id, 16), TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(trace_id, int(span.parent, 16), is_remote=span.place is None, trace_flags=flags)


def _context(of: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if of.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([of.state]) if of.state else None
    remote = not isinstance(of, RecordedContext)
    return SpanContext(
        int(of.trace_id, 16), int(of.span_id, 16), is_remote=remote, trace_flags=flags, trace_state=state
    )
