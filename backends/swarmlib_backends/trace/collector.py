"""The collector, as it is told in the log: one line when it takes no more spans, and one when it takes them again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_log = logging.getLogger(__name__)
_problems: Final[ContextVar[list[str] | None]] = ContextVar("problems", default=None)
"""What the SDK says during an export of ours, which it would log at each attempt."""


def _kept(record: logging.LogRecord) -> bool:
    problems = _problems.get()
    if problems is None:  # an exporter of somebody else
        return True
    problems.append(record.getMessage())
    return False


logging.getLogger(trace_exporter.__name__).addFilter(_kept)


class Collector(SpanExporter):
    """Sends spans to a collector by OTLP. url: where it takes them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._inner: SpanExporter = OTLPSpanExporter(endpoint=url)
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; those that can't be sent are lost. Called in the exporter's thread."""
        problems: list[str] = []
        token = _problems.set(problems)
        try:
            result = self._inner.export(spans)
        finally:
            _problems.reset(token)
        self._note(len(spans), result, problems)
        return result

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._inner.shutdown()

    def _note(self, count: int, result: SpanExportResult, problems: Sequence[str]) -> None:
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                _log.warning("trace: the collector at %s takes spans again: %d were lost", self._url, self._lost)
            self._lost = 0
            return
        if not self._lost:
            why = problems[0] if problems else "it gives no reason"
            _log.warning("trace: the collector at %s takes no spans, so that they are lost: %s", self._url, why)
        self._lost += count
