"""The stage `trace`: the way of each call through the chain, as spans for a collector of OpenTelemetry."""

from .trace import Trace

__all__ = ["Trace"]
