"""What a call is about, as its line says it: its object, and what was made, fetched or run there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from swarmlib import Json, Path, Request, SwarmError, Unsupported, Verb

from .. import redact
from ..dockerapi import references, table
from ..dockerapi.rows import ROWS, WHOLE, Kind, Row
from ..redact_text import shortened, without_credentials
from .texts import text

MAX_ARGV: Final = 4096
"""The most characters of a command."""
LONGEST_REPEATED: Final = 1024
"""The most characters of the texts of a call that is remembered by `repeated`: others decide how long they are."""
_ID: Final = re.compile(r"[0-9a-f]{64}|sha256:[0-9a-f]{64}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_NAMES: Final = ("name", "fromImage", "repo", "t", "remote")
"""The parameters with the name that a client gives to what it creates, or of what it has fetched."""
_NAMING: Final = frozenset(_NAMES)


class _Config(msgspec.Struct, frozen=True):
    Image: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What a line takes from an answer. The rest is not decoded, which an inspection is full of."""

    Id: str = ""
    ID: str = ""
    Name: str = ""
    Image: str = ""
    Config: _Config | None = None


NOTHING: Final = Answer()
_decoded: Final = msgspec.json.Decoder(Answer).decode


def answer_in(raw: bytes) -> Answer:
    """Return what an answer says; nothing if it is not of this shape."""
    try:
        return _decoded(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NOTHING


def digest_in(value: Json) -> str:
    """Return the digest of an image that a line of progress tells: of a pull, a push or a build; or ""."""
    progress = _object(value)
    told = _mapping(progress.get("aux"))
    status = str(progress.get("status", ""))
    found = str(told.get("Digest") or told.get("ID") or status.removeprefix("Digest: "))
    return found if _DIGEST.fullmatch(found) else ""


class Plan:
    """What the lines about an operation can say, which is the same for all its calls.

    Attributes:
        row: of the operation.
        place: where the object's name is in the path; None if it is not in the path.
        described: whether the answer describes one object.
        answered: whether a line takes something from the answer, which is not a progress then.
        identified: whether the object's full id is in the answer.
        particular: whether there is more to say than the object: what was made, an image, a command.
        nameless: whether only a parameter can name the object: it is neither in the path nor in the answer.
    """

    def __init__(self, row: Row) -> None:
        one = row.verb is Verb.GET and len(row.shape) == 2
        self.row = row
        self.place = row.shape.index(None) if None in row.shape else None
        self.described = row.verb is Verb.SPAWN or one
        self.identified = self.place is None or one
        self.answered = self.described and row.kind is not Kind.PROGRESS
        self.particular = self.described or row.kind is Kind.PROGRESS
        self.nameless = self.place is None and not self.particular and row.kind is not Kind.WHOLE


_PLANS: Final = {row.name: Plan(row) for row in (*ROWS, WHOLE)}
"""The plans of all operations, by their names."""


def plan_of(request: Request) -> Plan | None:
    """Return the plan of a request's operation; None if it is none of the Engine API's."""
    try:
        return _PLANS[table.row_of(request.verb, request.path, upload=request.upload is not None).name]
    except Unsupported:
        return None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of what a call is about.

    Attributes:
        plan: of its operation; None for a request that is none.
        path: of the request, as the client sent it.
        there: the path that it had in the end.
        looked_up: what names the object without doubt, if a stage has looked it up.
        answer: what the answer said.
        digest: of an image that the progress told.
        request: if it has parameters or a body, from which names, images and commands are taken.
    """

    plan: Plan | None
    path: Path
    there: Path
    looked_up: str
    answer: Answer
    digest: str
    request: Request | None

    def fields(self) -> Mapping[str, Any]:
        """Return the fields of the line."""
        found: dict[str, Any] = {"object": self._object_called()} if self.path else {}
        if self.plan and self.plan.particular:
            told = {"made": self._made(), "image": self._image(), "digest": self._known_digest(), "argv": self._argv()}
            found |= {name: text(each) if name != "argv" else each for name, each in told.items() if each}
        return found

    def _object_called(self) -> dict[str, str]:
        """Return what the call is about: its kind, its full id as far as it is known, and its name if it has one."""
        found = {"kind": text(self.path[0])}
        if self.plan and self.plan.nameless and (self.request is None or _NAMING.isdisjoint(self.request.params)):
            return found
        name, id = self._name(), self._full_id()
        if id:
            found["id"] = text(id)
        if name and name != id:
            found["name"] = text(name)
        return found

    def _name(self) -> str:
        """Return the name that the client gave."""
        request, plan = self.request, self.plan
        if plan is None or plan.row.kind is Kind.WHOLE:
            target = "" if request is None else str(request.params.get("target", ""))
            return target.partition("?")[0] or "/".join(self.path[1:])
        if plan.place is not None:
            return self.path[plan.place]
        if request is None:
            return ""
        given = next((request.params[name] for name in _NAMES if request.params.get(name)), None)
        if given is None:
            given = _object(request.body).get("Name", "") if plan.row.verb is Verb.SPAWN else ""
        tag = request.params.get("tag")
        return f"{given}:{tag}" if tag and plan.row.name == "ImageCreate" else str(given)

    def _full_id(self) -> str:
        plan = self.plan
        if plan is None:
            return ""
        if plan.place is None or plan.identified:
            return self.answer.Id or self.answer.ID or self.answer.Name
        if self.looked_up:
            return self.looked_up
        name = self.there[plan.place] if plan.place < len(self.there) else ""
        return name if _ID.fullmatch(name) or self.there[0] == "volumes" else ""

    @property
    def _operation(self) -> str:
        return self.plan.row.name if self.plan else ""

    def _made(self) -> str:
        """Return the id of what was made in the object that the call is about: a command in a container."""
        made = self.plan and self.plan.row.verb is Verb.SPAWN and self.plan.place is not None
        return self.answer.Id if made else ""

    def _image(self) -> str:
        if self._operation == "ContainerCreate":
            return str(self._body().get("Image", ""))
        inspected = self._operation == "ContainerInspect" and self.answer.Config
        return inspected.Image if inspected else ""

    def _known_digest(self) -> str:
        if self.digest:
            return self.digest
        told = {"ContainerCreate": self._image(), "ContainerInspect": self.answer.Image, "ImageInspect": self.answer.Id}
        digest = told.get(self._operation, "").rpartition("@")[2]
        return digest if references.is_digest(digest) else ""

    def _argv(self) -> str:
        """Return the command of an exec as a shell would take it, without what looks like a secret."""
        words = self._body().get("Cmd") if self._operation == "ContainerExec" else None
        return _command(cast("list[Any]", words)) if isinstance(words, list) else ""

    def _body(self) -> Mapping[str, Any]:
        return _object(None if self.request is None else self.request.body)


def described(
    plan: Plan | None, path: Path, there: Path, looked_up: str, answer: Answer, digest: str, request: Request | None
) -> Mapping[str, Any]:
    """Return the fields of a line about a subject; see `Subject`."""
    told = (plan, path, there, looked_up, answer, digest)
    image = answer.Config.Image if answer.Config else ""
    texts = (*path, *there, looked_up, answer.Id, answer.ID, answer.Name, answer.Image, image)
    if request is None and sum(map(len, texts)) <= LONGEST_REPEATED:
        return repeated(*told)
    return Subject(*told, request).fields()


@lru_cache(maxsize=256)
def repeated(
    plan: Plan | None, path: Path, there: Path, looked_up: str, answer: Answer, digest: str
) -> Mapping[str, Any]:
    """Return the fields of a line about a subject without a request; clients repeat such calls."""
    return Subject(plan, path, there, looked_up, answer, digest, None).fields()


def _command(words: Sequence[Any]) -> str:
    shown = [redact.value({"Env": [word]})["Env"][0] if _VARIABLE.match(word) else word for word in map(str, words)]
    joined = shortened(shlex.join(shown), 2 * MAX_ARGV)  # half a secret would not show that it is one
    return shortened(without_credentials(joined), MAX_ARGV)


def _object(value: Json | None) -> Mapping[str, Any]:
    """Return a JSON object; an empty one if it is something else."""
    try:
        return {} if value is None else _mapping(value.data)
    except SwarmError:
        return {}


def _mapping(data: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}
