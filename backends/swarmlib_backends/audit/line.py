"""What the line of a call says, in a form that shows no secret and can't be mistaken for another line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from swarmlib import Ack, BadAnswer, Error, Invalid, Json, Log, Reply, Request, SwarmError
from swarmlib.terminal import escaped

from .. import redact
from ..dockerapi.rows import Kind, Row
from ..dockerapi.status import came_in_band, status_of
from ..notes import Notes
from ..redact_text import shortened
from . import differences
from .chain import MAX_LINE
from .journal import now
from .subject import LONGEST_REPEATED, NOTHING, PLANS, answer_in, described, digest_in, repeated
from .texts import MAX_TEXT, message, text

_TENANT: Final = "tenant:"
_ENCODE_ANY: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Encodes also what is no Unicode, which orjson refuses; it takes several times as long."""
_DELETE: Final = b"\x7f"
_UNKNOWN_STATUS: Final = 502


class Line:
    """What is known about a call so far.

    Attributes:
        notes: what stages find out about it.
        received: bytes from the client: of the body, the upload and the conversation.
        sent: bytes to the client: of values, lines and streams.
    """

    received = sent = 0
    _answer = NOTHING
    _long = False
    """Whether the answer may hold long texts, with which nothing is remembered."""
    _digest = ""
    _status: int | None = None
    _error: SwarmError | None = None

    def __init__(self, id: str, request: Request, row: Row | None) -> None:
        self._id = id
        self._request = request
        self._plan = PLANS[row.name] if row else None
        self.notes = Notes()
        if request.body is not None:
            self.received = len(request.body.raw)

    def add(self, reply: Reply) -> None:
        """Take a reply into account."""
        if isinstance(reply, Log):
            self.sent += len(reply.line)
        elif isinstance(reply, Error):
            self._error = reply.error
            if self._status is None:
                self._status = self._status_of(reply.error)
        else:
            if reply.value is not None:
                self._add_value(reply.value)
            if isinstance(reply, Ack):
                self._status = self._usual_status(reply)

    def _add_value(self, value: Json) -> None:
        try:
            raw = value.raw
        except Invalid:  # refusing it is left to the source, which can't write it
            return
        self.sent += len(raw)
        plan = self._plan
        if plan is None or not plan.particular:
            return
        if plan.row.kind is Kind.PROGRESS:
            if b"igest: " in raw or b'"aux"' in raw:
                self._digest = digest_in(value) or self._digest
        else:
            self._answer, self._long = answer_in(raw), len(raw) > LONGEST_REPEATED

    def _usual_status(self, ack: Ack) -> int:
        status = ack.details.get("status")
        if isinstance(status, int):
            return status
        usual = 200 if self._plan is None else self._plan.row.status
        return 200 if usual == 204 and self.sent else usual

    def _status_of(self, error: SwarmError) -> int:
        if came_in_band(error):
            return 200
        try:
            return status_of(error)
        except BadAnswer:
            return _UNKNOWN_STATUS

    def finish(self, microseconds: int) -> bytes:
        """Return the entry: a JSON object on one line, without control characters."""
        fields = self._fields(microseconds)
        entry = _json(fields)
        if len(entry) <= MAX_LINE // 2:
            return entry
        for name in ("changed", "argv", "reason", "error"):  # only texts of many escaped characters are that long
            if len(entry) > MAX_LINE // 2 and name in fields:
                entry = _json({**fields, name: "left out: the line would be too long"})
        return entry

    def _fields(self, microseconds: int) -> dict[str, Any]:
        request, notes = self._request, self.notes
        fields: dict[str, Any] = {"time": now(), "id": self._id}
        if request.meta.trace:
            fields["trace"] = request.meta.trace.trace_id
        fields |= _who(request.meta.caller)
        fields["operation"] = self._plan.row.name if self._plan else f"{request.verb}"
        fields |= self._subject()
        if notes.verdict or notes.held:
            fields |= self._judgement()
        if notes.reason or self._error:
            fields |= self._problems()
        if notes.before and notes.after:
            fields["changed"] = _changes(notes.before, notes.after)
        if self._status is not None:
            fields["status"] = self._status
        fields["ms"] = microseconds / 1000
        fields["in"], fields["out"] = self.received, self.sent
        return fields

    def _subject(self) -> Mapping[str, Any]:
        request, notes = self._request, self.notes
        there = notes.after.path if notes.after else request.path
        told = (self._plan, request.path, there, notes.object, self._answer, self._digest)
        if request.params or request.body is not None:
            return described(*told, request)
        return described(*told, None) if self._long else repeated(*told, None)

    def _judgement(self) -> dict[str, str]:
        found = {"verdict": self.notes.verdict, "rule": text(self.notes.rule), "held": self.notes.held}
        return {name: each for name, each in found.items() if each}

    def _problems(self) -> dict[str, str]:
        secrets = redact.secrets_of(self._request)
        error = message(self._error.message, secrets) if self._error else ""
        found = {"reason": message(self.notes.reason, secrets), "error": error}
        return {name: each for name, each in found.items() if each}


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
