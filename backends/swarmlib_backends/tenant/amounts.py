"""What objects use of a tenant's quota, as engines describe them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypedDict, TypeVar

import msgspec

from swarmlib import BadAnswer

from . import ports
from .ledger import Found
from .names import LABEL, REGISTRY, Names
from .resources import UNLIMITED, Amounts
from .terms import LIMITED

T = TypeVar("T")
_NO_TAG: Final = "<none>:<none>"


class _State(TypedDict, total=False):
    Running: bool
    Restarting: bool


class _Config(TypedDict, total=False):
    Labels: dict[str, str] | None


class _Host(TypedDict, total=False):
    Memory: int | None
    MemorySwap: int | None
    NanoCpus: int | None
    CpuQuota: int | None
    CpuPeriod: int | None
    PidsLimit: int | None


class _Container(TypedDict):
    Name: str
    State: _State
    Config: _Config
    HostConfig: _Host


class _Other(TypedDict):
    Name: str
    Labels: dict[str, str] | None


class WithId(TypedDict):
    """What was created."""

    Id: str


class _Listed(TypedDict, total=False):
    Id: str
    Name: str
    Names: list[str] | None
    Labels: dict[str, str] | None


class _Volumes(TypedDict):
    Volumes: list[_Listed] | None


class _Tagged(TypedDict):
    Id: str
    RepoTags: list[str] | None


class _Image(_Tagged, total=False):
    Labels: dict[str, str] | None


class _Actor(TypedDict):
    ID: str


class Actor(_Actor, total=False):
    """The object that an event is about."""

    Attributes: dict[str, str] | None


class Event(TypedDict):
    """An event."""

    Type: str
    Action: str
    Actor: Actor


def read(shape: type[T], value: Any) -> T:
    """Return an engine's answer if it has a shape.

    Raises:
        BadAnswer: it has another one.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as exc:
        raise BadAnswer(f"the engine gave a malformed answer: {exc}") from exc


def running(host: Mapping[str, Any]) -> Amounts:
    """Return what a container uses while it runs: as much as its HostConfig lets it."""
    found = {name: limit(host) for name, limit in LIMITED.items()}
    return {"running": 1, **{name: UNLIMITED if each is None else each for name, each in found.items()}}


def changed(host: Mapping[str, Any], update: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the HostConfig of a container after an update, which leaves unchanged what it doesn't name, or sets to 0.

    A limit on processes of 0 lifts it.
    """
    given = {name: value for name, value in update.items() if value or name == "PidsLimit"}
    return {**host, **given}


def found(kind: str, value: Any) -> Found:
    """Read the inspection of an object.

    Raises:
        BadAnswer: it is malformed.
    """
    if kind != "containers":
        other = read(_Other, value)
        return Found(owner(kind, other["Labels"], other["Name"]), other["Name"], {kind: 1})
    container = read(_Container, value)
    labels = container["Config"].get("Labels") or {}
    published = ports.labelled(labels)
    there = {"containers": 1, "ports": len(published)}
    state = container["State"]
    runs = state.get("Running") or state.get("Restarting")  # one that the engine is about to restart counts too
    used = {**there, **running(container["HostConfig"])} if runs else there
    return Found(owner(kind, labels, container["Name"]), container["Name"].removeprefix("/"), used, published)


def owner(kind: str, labels: Mapping[str, str] | None, *names: str) -> str | None:
    """Return the tenant whose an object is, by its label and one of its names; None if it is nobody's.

    An image can give its containers any label, but no name. A volume without a name has but a label.
    """
    found = (labels or {}).get(LABEL)
    own = found is not None and (kind == "volumes" or any(map(Names(found).is_own, names)))
    return found if own else None


def listed(kind: str, value: Any) -> Iterator[tuple[str, str | None]]:
    """Yield the objects of a list: what names each without doubt, and its tenant, if it has one.

    Raises:
        BadAnswer: it is malformed.
    """
    volumes = kind == "volumes"
    for each in read(_Volumes, value)["Volumes"] or () if volumes else read(list[_Listed], value):
        id = each.get("Name") if volumes else each.get("Id")
        if id is None:
            raise BadAnswer(f"the engine gave a malformed answer: one of the {kind} has no name")
        yield id, owner(kind, each.get("Labels"), *(each.get("Names") or [each.get("Name", "")]))


def tags_of(image: Mapping[str, Any]) -> list[str]:
    """Return the tags of a listed image. Engines say in two ways that it has none."""
    return [tag for tag in image.get("RepoTags") or () if tag != _NO_TAG]


def tags(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the tags of tenants in a list of images, each with its tenant.

    Raises:
        BadAnswer: it is malformed.
    """
    for each in read(list[_Image], value):
        for tag in tags_of(each):
            if tag.startswith(REGISTRY):
                yield tag, tag.removeprefix(REGISTRY).partition("/")[0]


def nameless(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the ids of images in a list that have lost all their names, each with the tenant that made it.

    Raises:
        BadAnswer: it is malformed.
    """
    for each in read(list[_Image], value):
        owner = (each.get("Labels") or {}).get(LABEL)
        if owner is not None and not tags_of(each):
            yield each["Id"], owner


def unreadable(kind: str) -> Found:
    """Return what counts for an object that can't be inspected: it may use anything."""
    return Found(None, "", {kind: 1, **running({})} if kind == "containers" else {kind: 1})
