"""A collector of OpenTelemetry that a test makes: it takes OTLP over HTTP, and keeps the spans."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import trio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.scripted_http import Answer, Asked, served

KINDS = trace_pb2.Span.SpanKind.Name
STATUSES = trace_pb2.Status.StatusCode.Name


@dataclass
class Spanned:
    """A span as it came.

    Attributes:
        about: the attributes of the process that sent it.
    """

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    status: str
    seconds: float
    state: str
    attributes: Mapping[str, Any]
    about: Mapping[str, Any]

    @classmethod
    def of(cls, span: trace_pb2.Span, about: Mapping[str, Any]) -> Self:
        return cls(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            KINDS(span.kind).removeprefix("SPAN_KIND_"),
            STATUSES(span.status.code).removeprefix("STATUS_CODE_"),
            (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            span.trace_state,
            {each.key: each.value.string_value for each in span.attributes},
            about,
        )


@dataclass
class Collector:
    """What came so far.

    Attributes:
        url: its base URL.
        spans: in the order in which they came.
        heads: of the requests that brought them.
    """

    url: str = ""
    spans: list[Spanned] = field(default_factory=list)
    heads: list[list[tuple[str, str]]] = field(default_factory=list)
    _came: trio.Event = field(default_factory=trio.Event)

    async def take(self, asked: Asked, answer: Answer) -> None:
        assert (asked.method, asked.path) == ("POST", "/v1/traces"), asked
        self.heads.append(asked.headers)
        for resource in ExportTraceServiceRequest.FromString(asked.body).resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.spans += [Spanned.of(span, about) for scope in resource.scope_spans for span in scope.spans]
        self._came.set()
        data = ExportTraceServiceResponse().SerializeToString()
        await answer.whole(data, headers={"Content-Type": "application/x-protobuf"})

    async def of_trace(self, trace: str, count: int) -> list[Spanned]:
        """The spans of a trace, the outermost first, once there are so many."""
        with trio.fail_after(20):
            while len(found := [each for each in self.spans if each.trace == trace]) < count:
                self._came = trio.Event()
                await self._came.wait()
        return _from_the_top(found)


def _from_the_top(spans: list[Spanned]) -> list[Spanned]:
    ids = {each.id for each in spans}
    found = [each for each in spans if each.parent not in ids]
    for above in found:  # which grows meanwhile
        found += [each for each in spans if each.parent == above.id]
    return found


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Serve a collector on the loopback."""
    collector = Collector()
    async with served(collector.take) as server:
        collector.url = server.url
        yield collector
