"""The stage `trace`: it begins a span for each call, below that of the client if the call belongs to a trace."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

import trio

from swarmlib import Filter, Invalid, Request, argument, trace_context
from swarmlib.options import Reader

from ..extras import load
from ..observe.observation import observed

FLUSH_SECONDS: Final = 2.0
"""How long the collector may take for the last spans, when the stage closes."""


def _url(given: str) -> str:
    parts = urlsplit(given)
    try:
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number
        known = False
    if not known or "@" in parts.netloc or parts.query or parts.fragment or not given.isprintable() or " " in given:
        raise Invalid(
            "invalid address of a collector: expected http://HOST:PORT or https://HOST:PORT, without a password"
        )
    return given.rstrip("/")


@dataclass
class Trace(Filter):
    """Sends spans of each call to a collector of OpenTelemetry: of the call, and of each stage behind this one.

    A span has the operation, its outcome, the stage or engine, and its time until the final reply. A call whose client
    names its trace (W3C Trace Context, `traceparent`) belongs to that; any other begins one. Engines, and a swarmd at
    the other side of `remote`, are told to which trace a call belongs; without this stage, what the client says of it.

    The collector is sent OTLP over HTTP, at ADDRESS/v1/traces. The SDK's environment variables apply, such as
    OTEL_EXPORTER_OTLP_HEADERS and OTEL_TRACES_SAMPLER. If it is gone or slow, spans are lost, and no call waits.

    trace http://127.0.0.1:4318
    """

    address: Annotated[str, Reader(_url)] = argument("base URL of the collector: http://HOST:PORT or https://HOST:PORT")

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        await self._load()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Export spans; at the end, wait a moment for those that are left."""
        await self._load()
        observed(self.name)
        from .exporting import Exporter

        self._exporter = Exporter(self.address)
        try:
            yield
        finally:
            with trio.move_on_after(FLUSH_SECONDS, shield=True):
                await trio.to_thread.run_sync(self._exporter.close, abandon_on_cancel=True)

    async def send(self, request: Request) -> None:
        """Begin the span of a call; forward it."""
        traced = self._exporter.begin(request)
        assert traced.meta.trace is not None
        token = trace_context.trace_id.set(traced.meta.trace.trace_id)
        try:
            await self.next.send(traced)
        finally:
            trace_context.trace_id.reset(token)

    async def _load(self) -> None:
        await load(f"{__package__}.exporting", stage=self.name, extra="tracing")
