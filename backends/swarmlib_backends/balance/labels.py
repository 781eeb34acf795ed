"""The labels that mean something to balance. Those that it keeps for itself it takes out of whatever a client sends.

Nothing is done because of a label that is reserved, so one that comes by another way (by an image, or by another client
of the engine) means nothing either. What balance shows, such as an object's engine, comes back from tools that make a
container anew from what it shows: it is taken out without a word, from a container's create by its placement, which
reads there where the container was. Other reserved labels are taken out with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import orjson

from swarmlib import Ack, Json, Reply, Request, Set, Tap, Verb

from ..dockerapi.nulls import fields, items
from ..dockerapi.operations import ImageBuild

LABEL: Final = "swarmlib.node"
"""The label that tells an object's node."""
RESCHEDULE: Final = "com.docker.swarm.reschedule-policies"
MOVED: Final = "swarmlib.rescheduled-from"
"""The label of a container that stands in for one of an engine that died; holds that one's id. It is for people to
read: nothing is done because of it, as anybody can set a label.
"""
_PROJECT: Final = "com.docker.compose.project"
RESERVED: Final = frozenset({LABEL, MOVED})
_PLACES: Final[tuple[tuple[str, ...], ...]] = ((), ("Spec",), ("TaskTemplate", "ContainerSpec"))
"""Where bodies have their `Labels`: most at the top, those of swarm mode deeper too."""


def group_of(labels: Mapping[str, str] | None) -> str:
    """Read what an object's labels say it belongs with: the Compose project, whose parts must be on one node."""
    return (labels or {}).get(_PROJECT, "")


def unreserved(request: Request) -> Request:
    """A request without reserved labels; what there is to say of those that were taken out comes with its answer."""
    if request.verb not in (Verb.SPAWN, Verb.SET):
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
    reply = Tap(request.reply, _saying(said, in_body=request.path == ("containers",))) if said else request.reply
    kept = request.body if body is request.json else Json.from_data(body)
    return request.replace(params=params, body=kept, reply=reply)


def _without(labels: Any, reserved: frozenset[str], dropped: set[str]) -> Any:
    known = _object(labels)
    if not (found := reserved & known.keys()):
        return labels
    dropped |= found
    return {name: value for name, value in known.items() if name not in found}


def _object(value: Any) -> dict[str, Any]:
    """A JSON object; {} for what is something else, which is for the engine to refuse."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _changed(body: Any, place: tuple[str, ...], change: Callable[[Any], Any]) -> Any:
    """A JSON value with another one at a place in it; the same object where that is not there, or stays as it is."""
    if not place:
        return change(body)
    known = _object(body)
    if place[0] not in known:
        return body
    made = _changed(known[place[0]], place[1:], change)
    return body if made is known[place[0]] else {**known, place[0]: made}


def _saying(texts: list[str], *, in_body: bool) -> Callable[[Reply], Reply]:
    """What adds warnings to an answer: in its body, where the Engine API has a place for them, else beside it."""

    def see(reply: Reply) -> Reply:
        if isinstance(reply, Ack) and in_body:
            return reply.replace(value=Json.from_data(_with_warnings(fields(reply.json), texts)))
        if isinstance(reply, Ack | Set):
            return reply.replace(details={**reply.details, "warnings": [*reply.details.get("warnings", ()), *texts]})
        return reply

    return see


def _with_warnings(made: Mapping[str, Any], texts: list[str]) -> dict[str, Any]:
    return {**made, "Warnings": [*items(made.get("Warnings")), *texts]}
