"""The figures in the format that the scraper asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class _Families(Collector):
    """Families of figures that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposition(families: Iterable[Metric], headers: Mapping[str, str]) -> tuple[str, bytes]:
    """Return the content type and the text of families of figures, with those of the process.

    headers: of the scraper's request, by their names in lower case.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(families)))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    encode, content_type = choose_encoder(headers.get("accept", ""))
    return content_type, encode(registry)
