"""What the line of a call says, in a form that shows no secret and can't be mistaken for another line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
import orjson

from swarmlib import Ack, BadAnswer, Error, Invalid, Json, Log, Reply, Request, SwarmError, Verb
from swarmlib.terminal import escaped

from .. import redact
from ..dockerapi import references
from ..dockerapi.rows import ROWS, WHOLE, Kind, Row
from ..dockerapi.status import came_in_band, status_of
from ..notes import Notes
from ..redact_text import shortened, without_credentials, without_quotations, without_user
from . import differences
from .chain import MAX_LINE
from .journal import now

MAX_TEXT: Final = 1024
"""The most characters of a text that a client chose."""
MAX_ARGV: Final = 4096
"""The most characters of a command."""
_ID: Final = re.compile(r"[0-9a-f]{64}|sha256:[0-9a-f]{64}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_TENANT: Final = "tenant:"
_NAMES: Final = ("name", "fromImage", "repo", "t", "remote")
"""The parameters with the name that a client gives to what it creates, or of what it has fetched."""
_NAMING: Final = frozenset(_NAMES)
_ENCODE_ANY: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Encodes also what is no Unicode, which orjson refuses; it takes several times as long."""
_DELETE: Final = b"\x7f"
_UNKNOWN_STATUS: Final = 502


class _Config(msgspec.Struct):
    Image: str = ""


class _Answer(msgspec.Struct):
    """What a line takes from an answer. The rest is not decoded, which an inspection is full of."""

    Id: str = ""
    ID: str = ""
    Name: str = ""
    Image: str = ""
    Config: _Config | None = None


_NOTHING: Final = _Answer()
_decoded: Final = msgspec.json.Decoder(_Answer).decode


class _Plan:
    """What the lines about an operation can say, which is the same for all its calls.

    Attributes:
        place: where the object's name is in the path; None if it is not in the path.
        described: whether the answer describes one object.
        identified: whether the object's full id is in the answer.
        particular: whether there is more to say than the object: what was made, an image, a command.
        nameless: whether only a parameter can name the object: it is neither in the path nor in the answer.
    """

    def __init__(self, row: Row) -> None:
        one = row.verb is Verb.GET and len(row.shape) == 2
        self.place = row.shape.index(None) if None in row.shape else None
        self.described = row.verb is Verb.SPAWN or one
        self.identified = self.place is None or one
        self.particular = self.described or row.kind is Kind.PROGRESS
        self.nameless = self.place is None and not self.particular and row.kind is not Kind.WHOLE


_PLANS: Final = {row.name: _Plan(row) for row in (*ROWS, WHOLE)}


class Line:
    """What is known about a call so far.

    Attributes:
        notes: what stages find out about it.
        received: bytes from the client: of the body, the upload and the conversation.
        sent: bytes to the client: of values, lines and streams.
    """

    received = sent = 0
    _answer = _NOTHING
    _digest = ""
    _status: int | None = None
    _error: SwarmError | None = None

    def __init__(self, id: str, request: Request, row: Row | None) -> None:
        self._id = id
        self._request = request
        self._row = row
        self._plan = _PLANS[row.name] if row else None
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
        if self._row is None or self._plan is None or not self._plan.particular:
            return
        if self._row.kind is Kind.PROGRESS:
            if b"igest: " in raw or b'"aux"' in raw:
                self._digest = _digest_in(_object(value)) or self._digest
        else:
            self._answer = _answer(raw)

    def _usual_status(self, ack: Ack) -> int:
        status = ack.details.get("status")
        if isinstance(status, int):
            return status
        usual = 200 if self._row is None else self._row.status
        return 200 if usual == 204 and self.sent else usual

    def _status_of(self, error: SwarmError) -> int:
        if came_in_band(error):
            return 200
        try:
            return status_of(error)
        except BadAnswer:
            return _UNKNOWN_STATUS

    def finish(self, milliseconds: float) -> bytes:
        """Return the entry: a JSON object on one line, without control characters."""
        fields = self._fields(milliseconds)
        entry = _json(fields)
        if len(entry) <= MAX_LINE // 2:
            return entry
        for name in ("changed", "argv", "reason", "error"):  # only texts of many escaped characters are that long
            if len(entry) > MAX_LINE // 2 and name in fields:
                entry = _json({**fields, name: "left out: the line would be too long"})
        return entry

    def _fields(self, milliseconds: float) -> dict[str, Any]:
        request, notes = self._request, self.notes
        fields: dict[str, Any] = {"time": now(), "id": self._id}
        if request.meta.trace:
            fields["trace"] = request.meta.trace.trace_id
        fields |= _who(request.meta.caller)
        fields["operation"] = self._row.name if self._row else f"{request.verb}"
        if request.path:
            fields["object"] = self._object()
        if self._plan and self._plan.particular:
            fields |= self._particulars()
        if notes.verdict or notes.held:
            fields |= self._judgement()
        if notes.reason or self._error:
            fields |= self._problems()
        if notes.before and notes.after:
            fields["changed"] = _changes(notes.before, notes.after)
        if self._status is not None:
            fields["status"] = self._status
        fields["ms"], fields["in"], fields["out"] = round(milliseconds, 3), self.received, self.sent
        return fields

    def _particulars(self) -> dict[str, str]:
        found = {
            "made": _text(self._made()),
            "image": _text(self._image()),
            "digest": self._known_digest(),
            "argv": self._argv(),
        }
        return {name: each for name, each in found.items() if each}

    def _judgement(self) -> dict[str, str]:
        found = {"verdict": self.notes.verdict, "rule": _text(self.notes.rule), "held": self.notes.held}
        return {name: each for name, each in found.items() if each}

    def _problems(self) -> dict[str, str]:
        secrets = redact.secrets_of(self._request)
        error = _shown(self._error.message, secrets) if self._error else ""
        found = {"reason": _shown(self.notes.reason, secrets), "error": error}
        return {name: each for name, each in found.items() if each}

    def _object(self) -> dict[str, str]:
        """Return what the call is about: its kind, its full id as far as it is known, and its name if it has one."""
        if self._plan and self._plan.nameless and _NAMING.isdisjoint(self._request.params):
            return {"kind": self._request.path[0]}  # which the row says
        found = {"kind": _text(self._request.path[0])}
        name, id = self._name(), self._full_id()
        if id:
            found["id"] = _text(id)
        if name and name != id:
            found["name"] = _text(name)
        return found

    def _name(self) -> str:
        """Return the name that the client gave."""
        request, row, plan = self._request, self._row, self._plan
        if row is None or plan is None or row.kind is Kind.WHOLE:
            return str(request.params.get("target", "")).partition("?")[0] or "/".join(request.path[1:])
        if plan.place is not None:
            return request.path[plan.place]
        if not request.params and request.body is None:
            return ""
        given = next((request.params[name] for name in _NAMES if request.params.get(name)), None)
        if given is None:
            given = _object(request.body).get("Name", "") if row.verb is Verb.SPAWN else ""
        tag = request.params.get("tag")
        return f"{given}:{tag}" if tag and row.name == "ImageCreate" else str(given)

    def _full_id(self) -> str:
        plan, notes = self._plan, self.notes
        if plan is None:
            return ""
        if plan.place is None or plan.identified:
            return self._answer.Id or self._answer.ID or self._answer.Name
        if notes.object:
            return notes.object
        path = notes.after.path if notes.after else self._request.path
        name = path[plan.place] if plan.place < len(path) else ""
        return name if _ID.fullmatch(name) or path[0] == "volumes" else ""

    def _made(self) -> str:
        """Return the id of what was made in the object that the call is about: a command in a container."""
        made = self._row and self._row.verb is Verb.SPAWN and self._plan and self._plan.place is not None
        return self._answer.Id if made else ""

    def _image(self) -> str:
        if self._row is None:
            return ""
        if self._row.name == "ContainerCreate":
            return str(_object(self._request.body).get("Image", ""))
        if self._row.name == "ContainerInspect":
            return self._answer.Config.Image if self._answer.Config else ""
        return ""

    def _known_digest(self) -> str:
        if self._row is None or self._digest:
            return self._digest
        found = self._image() if self._row.name == "ContainerCreate" else ""
        if self._row.name in ("ContainerInspect", "ImageInspect"):
            found = self._answer.Image if self._row.name == "ContainerInspect" else self._answer.Id
        digest = found.rpartition("@")[2]
        return digest if references.is_digest(digest) else ""

    def _argv(self) -> str:
        """Return the command of an exec as a shell would take it, without what looks like a secret."""
        if self._row is None or self._row.name != "ContainerExec":
            return ""
        words = _object(self._request.body).get("Cmd")
        return _command(cast("list[Any]", words)) if isinstance(words, list) else ""


def _command(words: Sequence[Any]) -> str:
    shown = [redact.value({"Env": [word]})["Env"][0] if _VARIABLE.match(word) else word for word in map(str, words)]
    text = shortened(shlex.join(shown), 2 * MAX_ARGV)  # half a secret would not show that it is one
    return shortened(without_credentials(text), MAX_ARGV)


def _json(fields: Mapping[str, Any]) -> bytes:
    try:
        entry = orjson.dumps(fields)
    except TypeError:
        return escaped(_ENCODE_ANY(fields)).encode()
    if entry.isascii() and _DELETE not in entry:
        return entry  # JSON escapes the other control characters itself
    return escaped(entry.decode()).encode()


def _changes(before: Request, after: Request) -> dict[str, Any]:
    return {_text(place): _bounded(value) for place, value in differences.between(before, after).items()}


@lru_cache(maxsize=256)
def _who(caller: str) -> Mapping[str, str]:
    """Return the tenant of a caller, if it is one's, and the caller as it was known before."""
    tenant, before = "", caller
    if caller.startswith(_TENANT):
        tenant, _, before = caller.removeprefix(_TENANT).partition("/")
    return {name: _text(each) for name, each in (("caller", before), ("tenant", tenant)) if each}


def _object(value: Json | None) -> Mapping[str, Any]:
    """Return a JSON object; an empty one if it is something else."""
    try:
        return {} if value is None else _mapping(value.data)
    except SwarmError:
        return {}


def _answer(raw: bytes) -> _Answer:
    """Return what an answer says; nothing if it is not of this shape."""
    try:
        return _decoded(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Answer()


def _mapping(data: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}


def _digest_in(progress: Mapping[str, Any]) -> str:
    """Return the digest of an image that a line of progress tells: of a pull, a push or a build."""
    told = _mapping(progress.get("aux"))
    status = str(progress.get("status", ""))
    text = str(told.get("Digest") or told.get("ID") or status.removeprefix("Digest: "))
    return text if _DIGEST.fullmatch(text) else ""


def _text(text: str) -> str:
    if len(text) <= MAX_TEXT and "@" not in text:  # as nearly all are
        return text
    return shortened(without_user(text[: 2 * MAX_TEXT]), MAX_TEXT)


def _shown(text: str, secrets: Collection[str]) -> str:
    return shortened(without_quotations(text, secrets), MAX_TEXT)


def _bounded(value: Any) -> Any:
    """Return a value of a change, or the beginning of its text if it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= MAX_TEXT else shortened(text, MAX_TEXT)
