"""The images that a request names by a text which can be an id, looked up before they are judged.

An engine takes such a text for a name first, and otherwise for the start of an id. So it is asked which image it means,
and the request goes on with what can mean only that: the name with its tag, or the full id.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from swarmlib import Denied, Json, Request, Sender, Verb
from swarmlib.asking import call

from ..dockerapi import references
from .demands import Demand
from .names import BY_ID, TAGS, reference

Allows = Callable[[Demand], bool]
"""Says whether a rule allows an image by one of its names."""
_IMAGES: Final = "images"


def asked(demands: Sequence[Demand]) -> bool:
    """Return whether the engine has to be asked for an image."""
    return any(demand.kind in BY_ID for demand in demands)


async def resolve(request: Request, demands: Sequence[Demand], allows: Allows, sender: Sender) -> Request:
    """Return the request with each image that could be an id by what the engine means.

    Raises:
        Denied: the rule allows it by none of its names; or, if it is removed, not by all of them.
        SwarmError: the engine's error, such as for an image that does not exist.
    """
    meant: dict[str, str] = {}
    for demand in demands:
        if demand.kind in BY_ID:
            look = Request(Verb.GET, (_IMAGES, demand.value), meta=request.meta.of_caller())
            meant[demand.value] = _judged(demand, (await call(sender, look)).value, allows)
    return _replaced(request, meant)


def _judged(demand: Demand, found: Mapping[str, Any], allows: Allows) -> str:
    """Return what the engine means by a text. Raises Denied if the rule does not allow it."""
    kind, text, place = BY_ID[demand.kind], demand.value, demand.place
    tags = [reference(kind, tag, place) for tag in found.get("RepoTags") or ()]
    if _can_be_a_name(text) and (name := reference(kind, text, place)) in tags:
        accepted, meant = allows(name), references.normal(text)
    else:
        meant = str(found["Id"])
        digests = [reference(kind, digest, place) for digest in found.get("RepoDigests") or ()]
        known = [*tags, *digests, Demand(kind, meant, place)]
        accepted = bool(tags) and all(map(allows, tags)) if kind == TAGS else any(map(allows, known))
    if not accepted:  # which names it has is for others to know
        raise Denied(f"{place} {text!r} is not an image that {kind} of the rule lists")
    return meant


def _can_be_a_name(text: str) -> bool:
    return not (references.is_id(text) or references.is_digest(text))


def _replaced(request: Request, meant: Mapping[str, str]) -> Request:
    kind, *rest = request.path
    if kind == _IMAGES and rest:
        return request.replace(path=(kind, meant[rest[0]], *rest[1:]))
    if kind == _IMAGES:
        given = request.params["names"]
        texts: Sequence[str] = [given] if isinstance(given, str) else given
        return request.replace(params={**request.params, "names": [meant.get(text, text) for text in texts]})
    body = cast("dict[str, Any]", copy.deepcopy(request.json))
    for holder, key in images_in(body):
        holder[key] = meant.get(holder[key], holder[key])
    return request.replace(body=Json.from_data(body))


def images_in(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each field in the description of a container that names an image, after the object that holds it."""
    if "Image" in body:
        yield body, "Image"
    for mount in body.get("HostConfig", {}).get("Mounts", ()):
        if mount.get("Type") == "image" and "Source" in mount:
            yield mount, "Source"
