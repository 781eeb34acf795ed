"""What an engine has told: its last events, for clients that ask for the past, and where a stream is taken up again.

An engine keeps 256 events, of which health checks alone use up three each. Balance has seen them all since it follows
the engine, and keeps as many as fit into its own bound. What is older than both is not known to anybody.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Final

import orjson

from ..dockerapi.events import FILTERS, fits

_KEPT_BYTES: Final = 2**20
"""Bytes of the events of one engine that are kept, as JSON."""
_OUT_OF_ORDER: Final = 10**8
"""Nanoseconds by which an engine may tell an event after a later one, at most."""
_REMEMBERED: Final = 1000
"""Events that are told from repeated ones: more than an engine can repeat."""


def moment(event: Mapping[str, Any]) -> int:
    """When an event happened, in nanoseconds by its engine's clock."""
    return int(event.get("timeNano") or 0)


def nanoseconds(time: str) -> int:
    """A time parameter in canonical form, in nanoseconds."""
    seconds, _, fraction = time.partition(".")
    return int(seconds) * 10**9 + int(f"{fraction:0<9}")


def time_of(nanoseconds: int) -> str:
    """The inverse of `nanoseconds`."""
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"


class Position:
    """Where a stream of events is, so that it can be taken up again: nothing is lost then, and nothing comes twice."""

    def __init__(self, start: int) -> None:
        self._start = start
        self.last = start
        """The time of the latest event."""
        self._seen = OrderedDict[int, None]()

    @property
    def since(self) -> int:
        """From when on events must be asked for."""
        return max(self.last - _OUT_OF_ORDER, self._start)

    def take(self, event: Mapping[str, Any]) -> bool:
        """Go on to an event; says whether it is new."""
        told = (moment(event), event["Type"], event.get("Action"), event.get("Actor"))
        key = hash(orjson.dumps(told, option=orjson.OPT_SORT_KEYS))
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self.last = max(self.last, moment(event))
        return True


class History:
    """The last events of one engine, all that it told since the first of them."""

    def __init__(self) -> None:
        self.position: Position | None = None
        """How far it goes; None before the engine was heard."""
        self._events = deque[tuple[int, bytes]]()
        self._size = 0

    def begin(self, now: int) -> None:
        """The engine is followed from a time of its clock on, in nanoseconds."""
        if self.position is None:
            self.position = Position(now)

    def keep(self, event: Mapping[str, Any]) -> bool:
        """Take up a well-formed event; says whether it is new."""
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
        """The time of its first event, and the time from which on the engine must be asked for what follows; None
        while there is none.
        """
        if self.position is None or not self._events:
            return None
        return self._events[0][0], self.position.since

    def told(self, since: int, until: int | None, filters: Mapping[str, list[str]]) -> list[bytes]:
        """The events of a time, as JSON, that fit filters which `knows` knows."""
        found = [raw for at, raw in self._events if since <= at and (until is None or at <= until)]
        return [raw for raw in found if not filters or fits(orjson.loads(raw), filters)]


def knows(filters: Mapping[str, list[str]]) -> bool:
    """Whether the history can be filtered by these; an engine may know others."""
    return filters.keys() <= FILTERS
