"""What objects use of a tenant's quota, as engines describe them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, TypeVar

import msgspec

from swarmlib import BadAnswer

from . import ports
from .ledger import Found
from .names import LABEL, REGISTRY
from .resources import UNLIMITED, Amounts
from .terms import LIMITED

T = TypeVar("T")


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
    """An entry of a list of containers or networks."""

    Id: str


class WithName(TypedDict):
    """An entry of a list of volumes."""

    Name: str


class Volumes(TypedDict):
    """A list of volumes."""

    Volumes: list[WithName] | None


class WithTags(TypedDict):
    """An entry of a list of images."""

    RepoTags: list[str] | None


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
        return Found((other["Labels"] or {}).get(LABEL), other["Name"], {kind: 1})
    container = read(_Container, value)
    labels = container["Config"].get("Labels") or {}
    published = ports.labelled(labels)
    there = {"containers": 1, "ports": len(published)}
    state = container["State"]
    runs = state.get("Running") or state.get("Restarting")  # one that the engine is about to restart counts too
    used = {**there, **running(container["HostConfig"])} if runs else there
    return Found(labels.get(LABEL), container["Name"].removeprefix("/"), used, published)


def owner_of(tag: str) -> str | None:
    """Return the tenant whose the tag of an image is; None if it is nobody's."""
    return tag.removeprefix(REGISTRY).partition("/")[0] if tag.startswith(REGISTRY) else None


def unreadable(kind: str) -> Found:
    """Return what counts for an object that can't be inspected: it may use anything."""
    return Found(None, "", {kind: 1, **running({})} if kind == "containers" else {kind: 1})
