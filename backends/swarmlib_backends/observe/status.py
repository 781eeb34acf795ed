"""The state of a running chain as JSON data: for `swarmd status` and `top`, the live page, and whoever asks for it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from time import perf_counter
from typing import Any, Final

from swarmlib import Request, Server

from ..control import Desk, listed
from .call import Call
from .engines import engines
from .observation import Observation, operation_of
from .place import Place

KIND: Final = "status"
"""The kind of objects that is offered: there is one, the state of the chain."""
MOST: Final = 200
"""The most calls under way, and the most clients, that are told."""


@dataclass
class Status(Server):
    """Tells the operator the state of the chain (`get status`).

    Attributes:
        observation: what is known of the chain.
        desk: has what stages offer besides.
    """

    observation: Observation
    desk: Desk

    async def get(self, _: Request) -> dict[str, Any]:
        """Return the state."""
        return await state(self.observation, self.desk)


async def state(observation: Observation, desk: Desk | None) -> dict[str, Any]:
    """Return what is known of a chain now. Counts are since its start; rates are a second, over the last seconds."""
    observation.check()
    return {
        "pid": os.getpid(),
        "uptime": round(time.time() - observation.began, 3),
        "chain": [_stage(observation, place) for place in observation.places.values()],
        "engines": await engines(observation, desk),
        "calls": [_under_way(observation, call) for call in islice(observation.under_way.values(), MOST)],
        "under_way": len(observation.under_way),
        "streams": sum(call.streams for call in observation.under_way.values()),
        "ended": sum(series.count for series in observation.ended.values()),
        "received": observation.received,
        "sent": observation.sent,
        "operations": list(_operations(observation)),
        "clients": list(islice(_clients(observation), MOST)),
        "denials": [asdict(each) for each in reversed(observation.denials)],
        "tenants": await listed(desk, "tenants"),
        "held": await listed(desk, "held"),
    }


def _stage(observation: Observation, place: Place) -> dict[str, Any]:
    return {
        "number": place.number,
        "name": place.name,
        "label": place.label,
        "above": place.above.number if place.above else 0,
        "row": place.row,
        "engine": place.is_engine,
        "requests": place.requests,
        "rate": round(observation.rate(place), 2),
    }


def _under_way(observation: Observation, call: Call) -> dict[str, Any]:
    return {
        "number": call.number,
        "operation": operation_of(call),
        "path": "/".join(call.path),
        "caller": call.meta.caller,
        "engine": observation.engine_of(call),
        "age": round(perf_counter() - call.began, 2),
        "streams": call.streams,
    }


def _operations(observation: Observation) -> Iterator[dict[str, Any]]:
    for (operation, outcome, engine), series in list(observation.ended.items()):
        mean = series.seconds / series.count * 1000
        about = {"operation": operation, "outcome": outcome, "engine": engine}
        yield {**about, "count": series.count, "mean_ms": round(mean, 2)}


def _clients(observation: Observation) -> Iterator[dict[str, Any]]:
    under_way = Counter(call.meta.caller for call in observation.under_way.values())
    found = sorted(observation.clients.items(), key=lambda each: -each[1].seen_at)
    for caller, client in found:
        yield {
            "caller": caller,
            "calls": client.calls,
            "under_way": under_way[caller],
            "errors": client.errors,
            "denied": client.denied,
            "idle": round(perf_counter() - client.seen_at, 1),
        }
