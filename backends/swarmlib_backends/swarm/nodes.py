"""The nodes of a swarm as a manager lists them. Each is read strictly: a worker chooses what it says of itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from swarmlib import BadAnswer

from ..dockerapi.nullable import dict_of

_log = logging.getLogger(__name__)

MAX_NODES: Final = 10_000
_CLOSED: Final = {"drain": "it is drained", "pause": "it is paused"}
"""Why a node takes no new containers, by its availability."""

_Id: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,64}\Z")]
_Hostname: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")]
_Labels: TypeAlias = dict[str, str] | None


class _Spec(Struct, rename="pascal"):
    labels: _Labels = None
    role: str = ""
    availability: str = ""


class _Platform(Struct):
    os: str = field(name="OS", default="")
    architecture: str = field(name="Architecture", default="")


class _Engine(Struct, rename="pascal"):
    labels: _Labels = None


class _Description(Struct, rename="pascal"):
    hostname: _Hostname
    platform: _Platform = field(default_factory=_Platform)
    engine: _Engine = field(default_factory=_Engine)


class _Status(Struct, rename="pascal"):
    state: str = ""
    addr: str = ""


class _ManagerStatus(Struct, rename="pascal"):
    addr: str = ""


class _Listed(Struct, rename="pascal"):
    """An entry in the list of nodes."""

    id: _Id = field(name="ID")
    spec: _Spec
    description: _Description
    status: _Status
    manager_status: _ManagerStatus | None = None


@dataclass(frozen=True)
class SwarmNode:
    """A node of a swarm."""

    id: str
    hostname: str
    address: str
    """The IP address at which its engine's machine can be reached; "" if the manager knows none."""
    manages: bool
    down: bool
    closed: str
    """Why it takes no new containers; "" if it does."""
    attributes: Mapping[str, str]
    """What rules may name, by swarm mode's own names for it; its labels also by their names alone."""


def listed(value: Any) -> Iterator[SwarmNode]:
    """Yield the nodes of a manager's answer. One that can't be read is left out, and logged.

    Raises:
        BadAnswer: the answer is not a list, or has too many entries.
    """
    try:
        entries = msgspec.convert(value, Annotated[list[dict[str, Any]], Meta(max_length=MAX_NODES)])
    except msgspec.ValidationError as exc:
        raise BadAnswer(f"the manager gave a malformed answer to ls nodes: {exc}") from exc
    for entry in entries:
        try:
            yield _node(msgspec.convert(entry, _Listed))
        except msgspec.ValidationError as exc:
            _log.warning("swarm: a node is left out, as its description can't be read: %s", exc)


def _node(entry: _Listed) -> SwarmNode:
    ready = entry.status.state == "ready"
    return SwarmNode(
        entry.id,
        entry.description.hostname,
        _address(entry),
        entry.spec.role == "manager",
        entry.status.state == "down",
        _CLOSED.get(entry.spec.availability, "") if ready else f"its swarm says that it is {entry.status.state}",
        _attributes(entry),
    )


def _address(entry: _Listed) -> str:
    """Return the address of a node, as a URL holds it. That of a manager may be told in its second place alone."""
    manager = entry.manager_status.addr if entry.manager_status is not None else ""
    for text in (entry.status.addr, manager.rpartition(":")[0].strip("[]")):
        try:
            address = ip_address(text)
        except ValueError:
            continue
        if not address.is_unspecified and not address.is_loopback:
            return str(address) if address.version == 4 else f"[{address}]"
    return ""


def _attributes(entry: _Listed) -> dict[str, str]:
    own, description = dict_of(entry.spec.labels), entry.description
    return {
        **own,
        **{f"node.labels.{name}": value for name, value in own.items()},
        **{f"engine.labels.{name}": value for name, value in dict_of(description.engine.labels).items()},
        "node.id": entry.id,
        "node.hostname": description.hostname,
        "node.role": entry.spec.role,
        "node.platform.os": description.platform.os,
        "node.platform.arch": description.platform.architecture,
    }
