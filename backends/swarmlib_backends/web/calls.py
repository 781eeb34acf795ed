"""The calls as a viewer sees them: a line for each, and one in full, without what is secret."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final

from swarmlib import Invalid, Json, SwarmError

from .. import redact
from ..dockerapi import table
from ..observe.call import Call
from ..observe.observation import Observation, operation_of
from ..redact_text import shortened, without_quotations

MAX_KEPT: Final = 200
"""The most calls that can be seen in full."""
MAX_TEXT: Final = 500
"""The most characters of an error, or of a reason."""


def line(observation: Observation, call: Call) -> dict[str, Any]:
    """Return what a list shows of a call that has ended."""
    shown = {
        "number": call.number,
        "at": round(time.time() - (perf_counter() - call.began), 3),
        "operation": operation_of(call),
        "path": "/".join(call.path),
        "caller": call.meta.caller,
        "engine": observation.engine_of(call),
        "outcome": call.outcome,
        "verdict": verdict(call),
        "ms": round((call.answered or call.seconds) * 1000, 2),
        "in": call.received,
        "out": call.sent,
    }
    if call.error is not None:
        error = redact.error(call.error, redact.secrets_of(call.request()))
        shown |= {"stage": error.backend, "error": shortened(error.message, MAX_TEXT)}
    return shown


class Kept:
    """The last calls that viewers were shown, which can be seen in full."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation
        self._calls: OrderedDict[int, Call] = OrderedDict()

    def keep(self, call: Call) -> None:
        """Keep a call; forget the oldest one if there are too many."""
        self._calls[call.number] = call
        if len(self._calls) > MAX_KEPT:
            self._calls.popitem(last=False)

    def whole(self, number: int) -> Mapping[str, Any] | None:
        """Return a call in full: its way, its parameters, bodies, and the request to an engine; None if it is gone."""
        call = self._calls.get(number)
        if call is None:
            return None
        method, target = _request_line(call)
        return {
            **line(self._observation, call),
            "total_ms": round(call.seconds * 1000, 2),
            "version": call.meta.version,
            **_judgement(call),
            "steps": [self._step(stage, seconds) for stage, seconds in call.steps],
            "headers": dict(redact.meta(call.meta).headers),
            "method": method,
            "target": target,
            "body": _shown(call.body),
            "answer": _shown(call.answer),
        }

    def _step(self, stage: int, seconds: float) -> Mapping[str, Any]:
        place = self._observation.places.get(stage)
        name, label = (place.name, place.label) if place else ("a stage that is closed", "")
        return {"name": name, "label": label, "ms": round(seconds * 1000, 3)}


def verdict(call: Call) -> str:
    """Return what a policy decided, or how the wait for a person ended; "" if none was asked, or nobody looked."""
    notes = call.notes
    return "" if notes is None else f"held, {notes.held}" if notes.held else notes.verdict


def _judgement(call: Call) -> Mapping[str, str]:
    if call.notes is None:
        return {}
    reason = without_quotations(call.notes.reason, redact.secrets_of(call.request()))
    return {"rule": call.notes.rule, "reason": shortened(reason, MAX_TEXT)}


def _request_line(call: Call) -> tuple[str, str]:
    """Return the method and the target of the request by which an engine is asked this; "" if there is none."""
    try:
        row = table.row_of(call.verb, call.path, upload=call.uploads)
        return row.method, table.target(row, call.path, redact.params(call.params), call.meta.version)
    except SwarmError:
        return "", ""


def _shown(value: Json | None) -> Any:
    """Return a value as it may be shown; None if there is none, or it is too large to be kept."""
    try:
        return None if value is None else redact.value(value.data)
    except Invalid:
        return f"({len(value.raw)} bytes that are not JSON)" if value else None
