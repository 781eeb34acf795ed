"""Hooks that update the index from the replies to forwarded calls, so that a client that changes something and then
reads it sees the change.

Each function returns the hook for one call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from swarmlib import Ack, Json, Path, Reply, Request, Set, Verb

from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import ContainerRename
from . import answers, merge
from .forwarding import See
from .index import Index
from .member import Member
from .objects import Container

Learn: TypeAlias = Callable[[Index, Member, Request], See]


def says_node(index: Index, member: Member, request: Request) -> See:
    """Add its engine to the inspection of an object."""
    asked = request.verb, request.path

    def see(reply: Reply) -> Reply | None:
        return _inspected(reply, asked, member) if isinstance(reply, Set) else None

    return see


def _inspected(reply: Set, asked: tuple[Verb, Path], member: Member) -> Set:
    return reply.replace(value=Json.from_data(merge.inspected(_read(reply, asked, member), member)))


def _read(reply: Ack | Set, asked: tuple[Verb, Path], member: Member) -> Any:
    """Return the value of a reply. Raise BadAnswer if it does not have the shape that the request requires."""
    verb, path = asked
    what = answers.name_of(verb, path)
    return answers.read(answers.shape_of(verb, path), reply, what, member.name)


def touches(index: Index, member: Member, request: Request) -> See:
    """Mark the container that the request names as changed."""
    container = _container(index, member, request)
    name = ContainerRename.of(request).name.removeprefix("/") if request.path[2:] == ("rename",) else ""

    def see(reply: Reply) -> None:
        if container is None:
            return
        member.mirror.touch(container.id)
        if isinstance(reply, Ack) and name and container.id in member.mirror.containers:
            index.containers.rename(container, [name])

    return see


def _container(index: Index, member: Member, request: Request) -> Container | None:
    kind, ref = request.path[:2]
    if kind == "networks":
        ref = str(dict_of(request.json).get("Container", ""))
    elif kind != "containers":
        return None
    return next((each for each in index.containers.find(ref) if each.node is member), None)


def touches_images(index: Index, member: Member, request: Request) -> See:
    """Mark the engine's images as changed."""

    def see(reply: Reply) -> None:
        member.mirror.touch_kind("images")

    return see


def removes(index: Index, member: Member, request: Request) -> See:
    """Remove the object from the index once it is removed."""
    kind, ref = request.path[:2]
    found = [item.id for item in index.find(kind, ref) if item.node is member]

    def see(reply: Reply) -> None:
        if isinstance(reply, Ack):
            for id in found:
                member.mirror.removed(kind, id)

    return see


def makes_exec(index: Index, member: Member, request: Request) -> See:
    """Record the new process in a container."""
    asked = request.verb, request.path

    def see(reply: Reply) -> None:
        made: dict[str, Any] = _read(reply, asked, member) if isinstance(reply, Ack) else {}
        if "Id" in made:
            member.mirror.learn_exec(made["Id"])

    return see
