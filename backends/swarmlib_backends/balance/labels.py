"""The labels that have a meaning for balance. Reserved labels are removed from whatever a client sends.

Nothing is done because of a reserved label, so one that comes by another way (from an image, or from another client of
the engine) has no effect either. Labels that balance shows, such as an object's engine, come back from tools that
recreate a container from its inspection. They are removed silently; for the create of a container, placement removes
them, as it reads there where the container was. Other reserved labels are removed with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import orjson

from swarmlib import Ack, Json, Reply, Request, Set, Tap, Verb

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ImageBuild

LABEL: Final = "swarmlib.node"
"""The label that tells an object's node."""
VEHICLE: Final = "swarmlib.swarm"
"""The label of a container that is to be a `service` of a swarm, which runs it elsewhere when its node dies."""
RESCHEDULE: Final = "com.docker.swarm.reschedule-policies"
MOVED: Final = "swarmlib.rescheduled-from"
"""The label of a container that replaces one of an engine that died; its value is the id of that container. It is
only information: nothing is done because of it, as anybody can set a label.
"""
_CHANGING: Final = (Verb.SPAWN, Verb.SET)
"""The verbs whose bodies have labels."""
_PROJECT: Final = "com.docker.compose.project"
RESERVED: Final = frozenset({LABEL, MOVED})
_PLACES: Final[tuple[tuple[str, ...], ...]] = ((), ("Spec",), ("TaskTemplate", "ContainerSpec"))
"""Where bodies have their `Labels`: most at the top, those of swarm mode also deeper."""


def group_of(labels: Mapping[str, str] | None) -> str:
    """Return an object's group by its labels: the Compose project, whose parts must be on one node."""
    return (labels or {}).get(_PROJECT, "")


def unreserved(request: Request) -> Request:
    """Return a request without reserved labels; its answer gets the warnings about those that were removed."""
    if request.verb not in _CHANGING:
        return request
    dropped: set[str] = set()
    body, params = request.json, request.params
    reserved = RESERVED - {LABEL} if request.path == ("containers",) else RESERVED
    for place in _PLACES:
        body = _changed(body, (*place, "Labels"), lambda given: _without(given, reserved, dropped))
    if request.path == ("build",) and (labels := ImageBuild.of(request).labels):
        params = {**params, "labels": orjson.dumps(_without(labels, RESERVED, dropped)).decode()}
    if not dropped:
        return request
    said = [f"the label {name} is reserved, and was left out" for name in sorted(dropped - {LABEL})]
    reply = Tap(request.reply, saying(said, in_body=request.path == ("containers",))) if said else request.reply
    kept = request.body if body is request.json else Json.from_data(body)
    return request.replace(params=params, body=kept, reply=reply)


def _without(labels: Any, reserved: frozenset[str], dropped: set[str]) -> Any:
    known = _object(labels)
    if not (found := reserved & known.keys()):
        return labels
    dropped |= found
    return {name: value for name, value in known.items() if name not in found}


def _object(value: Any) -> dict[str, Any]:
    """Return a value that is a JSON object, or else {}: it is for the engine to refuse other values."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _changed(body: Any, place: tuple[str, ...], change: Callable[[Any], Any]) -> Any:
    """Replace the value at a place in a JSON value; return the same object if there is none, or it does not change."""
    if not place:
        return change(body)
    known = _object(body)
    if place[0] not in known:
        return body
    made = _changed(known[place[0]], place[1:], change)
    return body if made is known[place[0]] else {**known, place[0]: made}


def saying(texts: list[str], *, in_body: bool) -> Callable[[Reply], Reply]:
    """Return a hook that adds warnings to an answer: in its body if the Engine API allows it there, else beside it."""

    def see(reply: Reply) -> Reply:
        if isinstance(reply, Ack) and in_body:
            return reply.replace(value=Json.from_data(_with_warnings(dict_of(reply.json), texts)))
        if isinstance(reply, Ack | Set):
            return reply.replace(details={**reply.details, "warnings": [*reply.details.get("warnings", ()), *texts]})
        return reply

    return see


def _with_warnings(made: Mapping[str, Any], texts: list[str]) -> dict[str, Any]:
    return {**made, "Warnings": [*list_of(made.get("Warnings")), *texts]}
