"""The last events of an engine, for clients that ask for past events, and the position at which a stream is resumed.

An engine keeps 256 events, and each health check alone uses three. Balance has seen all events since it began to follow
the engine, and keeps as many as its own bound allows. Events older than both are lost.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Final

import orjson

from ..dockerapi.events import FILTERS, fits

_KEPT_BYTES: Final = 2**20
"""Bytes of events, as JSON, that are kept for one engine."""
_OUT_OF_ORDER: Final = 10**8
"""Nanoseconds by which an engine may send an event after a later one, at most."""
_REMEMBERED: Final = 1000
"""Events that are remembered to detect repeated ones: more than an engine can repeat."""


def moment(event: Mapping[str, Any]) -> int:
    """Return when an event happened, in nanoseconds by its engine's clock."""
    return int(event.get("timeNano") or 0)


def nanoseconds(time: str) -> int:
    """Convert a time parameter in canonical form to nanoseconds."""
    seconds, _, fraction = time.partition(".")
    return int(seconds) * 10**9 + int(f"{fraction:0<9}")


def time_of(nanoseconds: int) -> str:
    """Convert nanoseconds to a time parameter: the inverse of `nanoseconds`."""
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"


def _key(event: Mapping[str, Any]) -> int:
    told = (moment(event), event["Type"], event.get("Action"), event.get("Actor"))
    return hash(orjson.dumps(told, option=orjson.OPT_SORT_KEYS))


class Position:
    """The position in a stream of events from which it can be resumed without losing or repeating any."""

    def __init__(self, start: int) -> None:
        self._start = start
        self.last = start
        """The time of the latest event."""
        self._seen = OrderedDict[int, None]()

    @property
    def since(self) -> int:
        """The time from which events must be requested."""
        return max(self.last - _OUT_OF_ORDER, self._start)

    def has(self, event: Mapping[str, Any]) -> bool:
        """Tell whether the position is behind an event: it was taken, or is too old to be taken."""
        return moment(event) < self.since or _key(event) in self._seen

    def take(self, event: Mapping[str, Any]) -> bool:
        """Advance to an event; return whether it is new."""
        key = _key(event)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self.last = max(self.last, moment(event))
        return True


class History:
    """The last events of one engine, complete from the first of them on."""

    def __init__(self) -> None:
        self.position: Position | None = None
        """How far the history goes; None before the engine is followed."""
        self._events = deque[tuple[int, bytes]]()
        self._size = 0

    def begin(self, now: int) -> None:
        """Begin the history at `now`, nanoseconds by the engine's clock, unless it has begun."""
        if self.position is None:
            self.position = Position(now)

    def keep(self, event: Mapping[str, Any]) -> bool:
        """Add a well-formed event; return whether it is new."""
        if self.position is None or not self.position.take(event):
            return False
        raw = orjson.dumps(event)
        self._events.append((moment(event), raw))
        self._size += len(raw)
        while self._size > _KEPT_BYTES:
            self._size -= len(self._events.popleft()[1])
        return True

    @property
    def span(self) -> tuple[int, int] | None:
        """The time of the first event, and the time from which the engine must be asked for what follows; None if
        there are no events.
        """
        if self.position is None or not self._events:
            return None
        return self._events[0][0], self.position.since

    def told(self, since: int, until: int | None, filters: Mapping[str, list[str]]) -> list[bytes]:
        """Return the events of a period, as JSON, that match filters which `knows` accepts."""
        found = [raw for at, raw in self._events if since <= at and (until is None or at <= until)]
        return [raw for raw in found if not filters or fits(orjson.loads(raw), filters)]


def knows(filters: Mapping[str, list[str]]) -> bool:
    """Return whether the history can apply these filters; an engine may know others."""
    return filters.keys() <= FILTERS
