"""Objects as the engine behind a policy describes them: which one a name means, and what its labels are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from swarmlib import BadAnswer, NotFound, Request, Sender, Verb
from swarmlib.asking import call

from .. import notes
from ..dockerapi.filters import encode
from ..dockerapi.rows import Row

_PLACES: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "containers": ("Id", ("Name",), ("Config", "Labels")),
    "images": ("Id", ("Id",), ("Config", "Labels")),
    "networks": ("Id", ("Name",), ("Labels",)),
    "volumes": ("Name", ("Name",), ("Labels",)),
    **dict.fromkeys(("services", "secrets", "configs"), ("ID", ("Spec", "Name"), ("Spec", "Labels"))),
    "nodes": ("ID", ("Description", "Hostname"), ("Spec", "Labels")),
}
"""Where an object of a kind has what names it without doubt, its name, and its labels."""
KINDS: Final = frozenset(_PLACES)


@dataclass(frozen=True)
class Inspected:
    """An object.

    Attributes:
        kind: what it is, as in a path.
        id: what names it without doubt.
        name: its name, without a slash.
        labels: its labels.
        data: all that the engine says of it.
    """

    kind: str
    id: str
    name: str
    labels: Mapping[str, str]
    data: Mapping[str, Any]


async def inspect(kind: str, name: str, request: Request, sender: Sender, *, size: bool = False) -> Inspected:
    """Ask for the object of this name on behalf of a request; size: measure a container's files, which takes time.

    Raises:
        BadAnswer: what the engine says is not the description of such an object.
        SwarmError: the engine's error: there is none, or there are several.
    """
    found = await described(kind, name, request, sender, **({"size": "1"} if size else {}))
    id_at, name_at, labels_at = _PLACES[kind]
    id, shown, labels = inside(found, id_at), inside(found, *name_at), inside(found, *labels_at)
    if not (isinstance(id, str) and isinstance(shown, str) and isinstance(labels, Mapping | None)):
        raise BadAnswer(f"a malformed description of {kind}/{name}")
    return Inspected(kind, id, shown.removeprefix("/"), cast("Mapping[str, str]", labels or {}), found)


async def described(kind: str, name: str, request: Request, sender: Sender, **params: str) -> Mapping[str, Any]:
    """Ask for the description of an object on behalf of a request.

    Raises:
        BadAnswer: what the engine says is no description.
        SwarmError: the engine's error.
    """
    found: object = (await call(sender, Request(Verb.GET, (kind, name), params, meta=request.meta.of_caller()))).value
    if not isinstance(found, Mapping):
        raise BadAnswer(f"a malformed description of {kind}/{name}")
    return cast("Mapping[str, Any]", found)


async def in_path(row: Row, request: Request, sender: Sender) -> Inspected | None:
    """Return the object in a request's path; None if it is of a kind without labels, or a volume that is not there: a
    forced removal of that succeeds.

    Raises:
        BadAnswer, SwarmError: as `inspect`.
    """
    if None not in row.shape or row.shape[0] not in KINDS:
        return None
    try:
        found = await inspect(str(row.shape[0]), request.path[1], request, sender)
    except NotFound:
        if row.name == "VolumeDelete":
            return None
        raise
    notes.found(found.id)
    return found


def inside(data: object, *place: str) -> object:
    """Return what stands at a place in JSON data; None if there is no such place."""
    for name in place:
        data = cast("Mapping[str, object]", data).get(name) if isinstance(data, Mapping) else None
    return data


async def listed(kind: str, filters: Mapping[str, str], request: Request, sender: Sender) -> list[Mapping[str, Any]]:
    """List the objects of a kind, stopped containers too, that pass filters, on behalf of a request.

    Raises:
        BadAnswer: what the engine says is no list of objects.
        SwarmError: the engine's error.
    """
    encoded = encode({name: [value] for name, value in filters.items()})
    params = {"filters": encoded, **({"all": "1"} if kind == "containers" else {})}
    found: object = (await call(sender, Request(Verb.LS, (kind,), params, meta=request.meta.of_caller()))).value
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in cast("list[object]", found)):
        raise BadAnswer(f"a malformed list of {kind}")
    return cast("list[Mapping[str, Any]]", found)
