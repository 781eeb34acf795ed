"""The figures of an observed chain as families of Prometheus' metrics.

The number of time series is bounded: kinds of calls by `observation.MAX_KINDS`, and tenants by `MAX_TENANTS`; clients
have no labels. Durations are told by operation alone, since each series of theirs has many buckets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from time import perf_counter
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric

from .. import queues
from ..control import Desk, listed
from ..observe.engines import engines
from ..observe.observation import Observation, name_of
from ..observe.series import BOUNDS, Series

MAX_TENANTS: Final = 500
"""The most tenants whose use is told."""


async def snapshot(observation: Observation, desk: Desk | None) -> list[Metric]:
    """Return the figures of this moment. Engines of which nothing new is known are asked."""
    rows = await engines(observation, desk)
    tenants, held = await listed(desk, "tenants"), await listed(desk, "held")
    return [
        *_about(observation),
        *_calls(observation),
        *_stages(observation),
        *_engines(rows),
        *_answers(observation),
        *_tenants(tenants[:MAX_TENANTS]),
        *_queues(await listed(desk, queues.KIND)),
        GaugeMetricFamily("swarmd_held_calls", "Calls that wait for approval", value=len(held)),
    ]


def _about(observation: Observation) -> Iterator[Metric]:
    yield InfoMetricFamily("swarmd", "This swarmd", value={"version": _version()})
    yield GaugeMetricFamily("swarmd_calls_under_way", "Calls that have not ended", value=len(observation.under_way))
    streams = sum(call.streams for call in observation.under_way.values())
    yield GaugeMetricFamily("swarmd_streams_open", "Streams and conversations that are open", value=streams)
    oldest = next(iter(observation.under_way.values()), None)
    age = 0.0 if oldest is None else perf_counter() - oldest.began
    yield GaugeMetricFamily("swarmd_oldest_call_age_seconds", "Age of the oldest call under way", value=age)
    yield GaugeMetricFamily("swarmd_clients_known", "Clients that have called lately", value=len(observation.clients))
    yield CounterMetricFamily("swarmd_received_bytes", "Bytes from clients, of ended calls", value=observation.received)
    yield CounterMetricFamily("swarmd_sent_bytes", "Bytes to clients, of ended calls", value=observation.sent)


@cache
def _version() -> str:
    from importlib.metadata import version  # reads files, which takes longer than all other figures

    return version("swarmlib")


def _calls(observation: Observation) -> Iterator[Metric]:
    labels = ("operation", "outcome", "engine")
    calls = CounterMetricFamily("swarmd_calls", "Calls that have ended", labels=labels)
    by_operation: dict[str, list[Series]] = {}
    for kind, series in observation.ended.items():
        calls.add_metric(kind, series.count)
        by_operation.setdefault(kind[0], []).append(series)
    yield calls
    durations = HistogramMetricFamily(
        "swarmd_call_duration_seconds", "Time from a call to its final reply", labels=("operation",)
    )
    for operation, every in by_operation.items():
        _add(durations, (operation,), every)
    yield durations


def _add(family: HistogramMetricFamily, labels: Sequence[str], series: Sequence[Series]) -> None:
    within = [sum(counts) for counts in zip(*(each.within for each in series), strict=True)]
    names = [*(str(bound) for bound in BOUNDS), "+Inf"]
    buckets = list(zip(names, accumulate(within), strict=True))
    family.add_metric(labels, buckets, sum(each.seconds for each in series))


def _stages(observation: Observation) -> Iterator[Metric]:
    """Yield what the stages of the outermost chain were sent; those of members are told as engines."""
    family = CounterMetricFamily("swarmd_stage_requests", "Requests that a stage was sent", labels=("stage", "place"))
    for place in observation.places.values():
        if place.above is observation.root:
            family.add_metric((place.name, str(place.number)), place.requests)
    yield family


_ENGINE_FIGURES: Final = {
    "up": ("swarmd_engine_up", "Whether an engine answers"),
    "down_seconds": ("swarmd_engine_down_seconds", "For how long an engine does not answer"),
    "containers": ("swarmd_engine_containers", "Containers of an engine"),
    "running": ("swarmd_engine_containers_running", "Running containers of an engine"),
    "cpus": ("swarmd_engine_cpus", "CPUs of an engine"),
    "memory": ("swarmd_engine_memory_bytes", "Memory of an engine"),
    "index_age": ("swarmd_engine_index_age_seconds", "Time since an engine last told balance something"),
    "memory_reserved": ("swarmd_engine_memory_reserved_bytes", "Memory that the containers of an engine reserve"),
}


def _engines(rows: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    by_name = {str(row["name"]): row for row in rows}  # engines of one name are one series
    for field, (name, help) in _ENGINE_FIGURES.items():
        family = GaugeMetricFamily(name, help, labels=("engine",))
        for engine, row in by_name.items():
            if isinstance(value := row.get(field), int | float):
                family.add_metric((engine,), value)
        yield family


def _answers(observation: Observation) -> Iterator[Metric]:
    """Yield the answers of engines: to calls, and to what stages ask on their own."""
    answers = CounterMetricFamily("swarmd_engine_answers", "Answers of an engine", labels=("engine", "outcome"))
    durations = HistogramMetricFamily(
        "swarmd_engine_answer_seconds", "Time that an engine takes for an answer", labels=("engine",)
    )
    by_engine: dict[str, dict[str, list[Series]]] = {}
    for place in observation.places.values():
        for outcome, series in place.answers.items():
            by_engine.setdefault(name_of(place), {}).setdefault(outcome, []).append(series)
    for engine, outcomes in by_engine.items():
        for outcome, every in outcomes.items():
            answers.add_metric((engine, outcome), sum(each.count for each in every))
        _add(durations, (engine,), [each for every in outcomes.values() for each in every])
    yield answers
    yield durations


def _queues(rows: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    family = GaugeMetricFamily("swarmd_queue_length", "What waits in a stage", labels=("stage", "chain", "place"))
    lengths = Counter[tuple[str, str, str]]()  # a stage that gives way to another one has the same labels
    for row in rows:
        lengths[row["stage"], row["chain"], str(row["place"])] += row["length"]
    for labels, length in lengths.items():
        family.add_metric(labels, length)
    yield family


def _tenants(rows: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    labels = ("tenant", "resource")
    used = GaugeMetricFamily("swarmd_tenant_used", "What a tenant uses of a resource", labels=labels)
    limits = GaugeMetricFamily("swarmd_tenant_limit", "What a tenant may use of a resource", labels=labels)
    for row in rows:
        for family, amounts in ((used, row["Used"]), (limits, row["Limits"])):
            for resource, amount in amounts.items():
                family.add_metric((row["Name"], resource), amount)
    yield used
    yield limits
