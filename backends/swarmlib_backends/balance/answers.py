"""Checking what engines answer: each kind of answer has a declared shape, and another one is the engine's failure.

Every answer that balance itself uses passes `checked` before anything reads it, so that the index, the mirror and the
merging of lists see only well-formed values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from swarmlib import Ack, BadAnswer, Invalid, Path, Request, Set, Verb
from swarmlib.asking import Answer

from ..dockerapi.versions import Range
from . import shapes

_WHOLE: Final[Mapping[tuple[Verb, Path], Any]] = {
    (Verb.LS, ("containers",)): shapes.Containers,
    (Verb.LS, ("images",)): shapes.Images,
    (Verb.LS, ("networks",)): shapes.Networks,
    (Verb.LS, ("volumes",)): shapes.VolumeList,
    (Verb.LS, ("plugins",)): shapes.Plugins,
    (Verb.GET, ()): shapes.Info,
    (Verb.GET, ("version",)): shapes.VersionInfo,
    (Verb.GET, ("df",)): shapes.Usage,
    (Verb.SPAWN, ("containers",)): shapes.Created,
    (Verb.SPAWN, ("networks",)): shapes.Created,
    (Verb.SPAWN, ("volumes",)): shapes.Volume,
}
_OF_AN_OBJECT: Final[Mapping[tuple[Verb, str], Any]] = {
    (Verb.GET, "containers"): shapes.Container,
    (Verb.GET, "networks"): shapes.Network,
    (Verb.GET, "volumes"): shapes.Volume,
    (Verb.GET, "images"): dict[str, Any],
    (Verb.GET, "exec"): dict[str, Any],
    (Verb.RM, "images"): shapes.Removed,
}


def shape_of(verb: Verb, path: Path) -> Any:
    """Return the shape of the answer to a request, or None if balance does not read that answer."""
    if len(path) == 1 and verb is Verb.RM:
        return shapes.Pruned | None
    if len(path) == 2:
        return _OF_AN_OBJECT.get((verb, path[0]))
    if len(path) == 3 and verb is Verb.SPAWN and path[2] == "exec":
        return shapes.Created
    return _WHOLE.get((verb, path))


def read(shape: Any, reply: Ack | Set, what: str, member: str) -> Any:
    """Return the decoded value of a member's reply unchanged if it has the required shape.

    what: names the kind of answer in the error, such as `ls containers`.

    Raises:
        BadAnswer: the value is not JSON, or has another shape; the error names the member, the kind and the field.
    """
    try:
        value = reply.json
        msgspec.convert(value, shape)
    except (Invalid, msgspec.ValidationError) as exc:
        raise BadAnswer(f"{member} gave a malformed answer to {what}: {exc}", backend=member) from exc
    return value


def name_of(verb: Verb, path: Path) -> str:
    """Return the name of a kind of answer in errors, without the name of the object, which the caller knows."""
    return " ".join([verb.value, *path[:1], *path[2:]])


def checked(answer: Answer, request: Request, member: str) -> Answer:
    """Return a member's answer to a request if it has the shape that its kind requires.

    Raises:
        BadAnswer: the answer has another shape, or is not JSON.
    """
    shape = shape_of(request.verb, request.path)
    if shape is not None:
        what = name_of(request.verb, request.path)
        value = read(shape, answer.holder, what, member)
        if request.path == ("version",):
            _check_versions(value, member)
    return answer


def _check_versions(about: Any, member: str) -> None:
    try:
        Range.of(about)
    except BadAnswer as exc:
        raise BadAnswer(f"{member} gave a malformed answer to get version: {exc.message}", backend=member) from exc


def event(reply: Set, member: str) -> Mapping[str, Any]:
    """Return the event in a reply to a member's watch.

    Raises:
        BadAnswer: the reply is not an event.
    """
    value: Mapping[str, Any] = read(shapes.Event, reply, "events", member)
    return value
