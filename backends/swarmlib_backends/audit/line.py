"""What the line of a call says, in a form that shows no secret and can't be mistaken for another line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from time import perf_counter_ns, time_ns
from typing import Any, Final

import orjson

from swarmlib import Ack, BadAnswer, Error, Invalid, Json, Log, Reply, Request, SwarmError
from swarmlib.terminal import escaped

from .. import redact
from ..dockerapi.rows import Kind
from ..dockerapi.status import came_in_band, status_of
from ..notes import Notes
from ..redact_text import shortened
from . import differences
from .chain import MAX_LINE
from .journal import time_of
from .subject import NOTHING, Plan, answer_in, described, digest_in, plan_of
from .texts import MAX_TEXT, message, text

_TENANT: Final = "tenant:"
_ENCODE_ANY: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Encodes also what is no Unicode, which orjson refuses; it takes several times as long."""
_DELETE: Final = b"\x7f"
_UNKNOWN_STATUS: Final = 502


class Line:
    """What is known about a call. Until its end this is only gathered. What the line says is worked out afterwards, for
    many calls in a row, which takes less time than amid all the other code that a call runs.

    Attributes:
        notes: what stages find out about it.
        received: bytes from the client: of the body, the upload and the conversation.
        sent: bytes to the client: of values, lines and streams.
        has_ended: whether the call has ended.
    """

    received = sent = 0
    has_ended = False
    _value: bytes | None = None
    """The last value of the replies."""
    _digest = ""
    _details: Mapping[str, Any] | None = None
    """Those of the `ack`."""
    _error: SwarmError | None = None
    _ended_at = _took = 0
    _bytes = (0, 0)

    def __init__(self, id: str, request: Request) -> None:
        self._id = id
        self._request = request
        self._began = perf_counter_ns()
        self.notes = Notes()
        if request.body is not None:
            self.received = len(request.body.raw)

    def add(self, reply: Reply) -> None:
        """Take a reply into account."""
        if isinstance(reply, Log):
            self.sent += len(reply.line)
        elif isinstance(reply, Error):
            self._error = reply.error
        else:
            if reply.value is not None:
                self._add_value(reply.value)
            if isinstance(reply, Ack):
                self._details = reply.details

    def _add_value(self, value: Json) -> None:
        try:
            raw = value.raw
        except Invalid:  # refusing it is left to the source, which can't write it
            return
        self.sent += len(raw)
        if self._value is not None and (plan := plan_of(self._request)) and plan.row.kind is Kind.PROGRESS:
            self._find_digest(self._value)
        self._value = raw

    def _find_digest(self, progress: bytes) -> None:
        if b"igest: " in progress or b'"aux"' in progress:
            self._digest = digest_in(Json(progress)) or self._digest

    def end(self) -> None:
        """Note that the call ends now; only the first time counts."""
        if not self.has_ended:
            self.has_ended = True
            self._ended_at, self._took = time_ns(), perf_counter_ns() - self._began
            self._bytes = self.received, self.sent

    def entry(self) -> bytes:
        """Return the entry of a call that has ended: a JSON object on one line, without control characters."""
        fields = self._fields()
        entry = _json(fields)
        if len(entry) <= MAX_LINE // 2:
            return entry
        for name in ("changed", "argv", "reason", "error"):  # only texts of many escaped characters are that long
            if len(entry) > MAX_LINE // 2 and name in fields:
                entry = _json({**fields, name: "left out: the line would be too long"})
        return entry

    def _fields(self) -> dict[str, Any]:
        request, notes, plan = self._request, self.notes, plan_of(self._request)
        fields: dict[str, Any] = {"time": time_of(self._ended_at), "id": self._id}
        if request.meta.trace:
            fields["trace"] = request.meta.trace.trace_id
        fields |= _who(request.meta.caller)
        fields["operation"] = plan.row.name if plan else f"{request.verb}"
        fields |= self._subject(plan)
        if notes.verdict or notes.held:
            fields |= self._judgement()
        if notes.reason or self._error:
            fields |= self._problems()
        if notes.before and notes.after:
            fields["changed"] = _changes(notes.before, notes.after)
        if self._details is not None:
            fields["status"] = self._usual_status(self._details, plan)
        elif self._error is not None:
            fields["status"] = _status_of(self._error)
        fields["ms"] = self._took // 1000 / 1000
        fields["in"], fields["out"] = self._bytes
        return fields

    def _usual_status(self, details: Mapping[str, Any], plan: Plan | None) -> int:
        status = details.get("status")
        if isinstance(status, int):
            return status
        usual = 200 if plan is None else plan.row.status
        return 200 if usual == 204 and self.sent else usual

    def _subject(self, plan: Plan | None) -> Mapping[str, Any]:
        request, notes = self._request, self.notes
        answer, value = NOTHING, self._value
        if value is not None and plan is not None:
            if plan.answered:
                answer = answer_in(value)
            elif plan.row.kind is Kind.PROGRESS:
                self._find_digest(value)
        there = notes.after.path if notes.after else request.path
        asked = request if request.params or request.body is not None else None
        return described(plan, request.path, there, notes.object, answer, self._digest, asked)

    def _judgement(self) -> dict[str, str]:
        found = {"verdict": self.notes.verdict, "rule": text(self.notes.rule), "held": self.notes.held}
        return {name: each for name, each in found.items() if each}

    def _problems(self) -> dict[str, str]:
        secrets = redact.secrets_of(self._request)
        error = message(self._error.message, secrets) if self._error else ""
        found = {"reason": message(self.notes.reason, secrets), "error": error}
        return {name: each for name, each in found.items() if each}


def _status_of(error: SwarmError) -> int:
    if came_in_band(error):
        return 200
    try:
        return status_of(error)
    except BadAnswer:
        return _UNKNOWN_STATUS


def _json(fields: Mapping[str, Any]) -> bytes:
    try:
        entry = orjson.dumps(fields)
    except TypeError:
        return escaped(_ENCODE_ANY(fields)).encode()
    if entry.isascii() and _DELETE not in entry:
        return entry  # JSON escapes the other control characters itself
    return escaped(entry.decode()).encode()


def _changes(before: Request, after: Request) -> dict[str, Any]:
    return {text(place): _bounded(value) for place, value in differences.between(before, after).items()}


@lru_cache(maxsize=256)
def _who(caller: str) -> Mapping[str, str]:
    """Return the tenant of a caller, if it is one's, and the caller as it was known before."""
    tenant, before = "", caller
    if caller.startswith(_TENANT):
        tenant, _, before = caller.removeprefix(_TENANT).partition("/")
    return {name: text(each) for name, each in (("caller", before), ("tenant", tenant)) if each}


def _bounded(value: Any) -> Any:
    """Return a value of a change, or the beginning of its text if it is long."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return value if len(shown) <= MAX_TEXT else shortened(shown, MAX_TEXT)
