"""The engines of an observed chain: whether each answers, since when, how fast, and what it holds.

A stage that follows its engines itself, as `balance` does, offers what it knows of them (`ls engines`). Of the others
it is known how they answered last; one that has been asked nothing for a while is asked when somebody wants to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from time import perf_counter
from typing import Any, Final, cast

import trio

from swarmlib import Request, SwarmError, TimedOut, Verb
from swarmlib.asking import Answer, call

from ..control import Desk, listed
from .observation import Observation, name_of
from .place import Place

KIND: Final = "engines"
"""The kind of objects that a stage offers to the operator: a list of objects with the fields of `row`."""
STALE_SECONDS: Final = 5.0
"""After this time without an answer, an engine is asked again."""
PROBE_SECONDS: Final = 2.0
"""How long it may take to answer then."""


async def engines(observation: Observation, desk: Desk | None) -> list[dict[str, Any]]:
    """Return a row for each engine, as `row` describes it; ask those of which nothing new is known."""
    known = {each["name"]: each for each in await listed(desk, KIND)}
    places = [place for place in observation.places.values() if place.is_engine]
    async with trio.open_nursery() as nursery:
        for place in places:
            if name_of(place) not in known and _is_stale(place):
                nursery.start_soon(_probe, place)
    rows = [{**_row(place), **known.pop(name_of(place), {})} for place in places]
    return rows + list(known.values())


async def is_ready(observation: Observation, desk: Desk | None) -> bool:
    """Return whether an engine of the chain answers."""
    return any(each["up"] for each in await engines(observation, desk))


def row(
    name: str, *, up: bool, trouble: str, down_seconds: float, about: Mapping[str, Any], **more: object
) -> dict[str, Any]:
    """Return the row of an engine.

    name: what people call it. up: whether it answers. trouble: why it does not. down_seconds: for how long.
    about: what it says of itself. more: what else is known: `containers`, and what these reserve of its `cpus` (in
    billionths) and `memory` (in bytes); `index_age`, the seconds since it last told something of them.
    """
    return {
        "name": name,
        "up": up,
        "trouble": trouble,
        "down_seconds": round(down_seconds, 1),
        "containers": _number(about.get("Containers")),
        "running": _number(about.get("ContainersRunning")),
        "cpus": _number(about.get("NCPU")),
        "memory": _number(about.get("MemTotal")),
        "version": str(about.get("ServerVersion") or ""),
        **more,
    }


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _row(place: Place) -> dict[str, Any]:
    failure = place.failure
    since = perf_counter() - place.failed_at if failure else 0.0
    found = row(
        name_of(place),
        up=failure is None and place.answered_at > 0,
        trouble=failure.message if failure else "",
        down_seconds=since,
        about=place.about,
    )
    return {
        **found,
        "stage": place.name,
        "latency_ms": round(place.latency * 1000, 2) if place.latency else None,
        "requests": place.requests,
        "errors": place.errors,
    }


def _is_stale(place: Place) -> bool:
    return perf_counter() - max(place.answered_at, place.asked_at) > STALE_SECONDS


async def _probe(place: Place) -> None:
    """Ask an engine whether it is there, and what it holds."""
    place.asked_at = perf_counter()
    await _ask(place, Request(Verb.GET, ("ping",)))
    if place.failure is None:
        answer = await _ask(place, Request(Verb.GET))
        about: object = {}
        with suppress(SwarmError):  # it is not JSON
            about = answer and answer.value
        place.about = cast("Mapping[str, Any]", about) if isinstance(about, Mapping) else {}


async def _ask(place: Place, request: Request) -> Answer | None:
    """Return an engine's answer, and note how it went; None if it answers with an error, or not in time."""
    if place.sender is None:  # it was closed meanwhile
        return None
    began = perf_counter()
    answer: Answer | None = None
    error: SwarmError | None = TimedOut(f"it did not answer within {PROBE_SECONDS:g} s")
    with trio.move_on_after(PROBE_SECONDS):
        try:
            answer, error = await call(place.sender, request), None
        except SwarmError as exc:
            error = exc
    place.answered(request.verb, perf_counter() - began, error)
    return answer
