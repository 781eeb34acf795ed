"""Calls that name several objects, which must be on one engine: find that engine, or refuse and say what is where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swarmlib import Conflict, Json, Request

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ImageBuild
from . import response_hooks
from .fanout import settle
from .index import Index, placed
from .members import Members
from .node import EVERYWHERE, Node
from .owners import Owner
from .placement.request import network_used
from .router import Router


def check(index: Index, owner: Owner, others: Iterable[tuple[str, str]]) -> None:
    """Refuse objects that are not on the same engine as `owner`'s object. Objects that no engine has are not checked
    here: the owner's engine decides about them.

    Raises:
        Conflict: another engine has one of them; the error says what is where.
    """
    for kind, ref in others:
        holders = index.places(kind, ref)
        if holders and owner.member not in holders and not (kind == "networks" and ref in EVERYWHERE):
            there, here = placed(kind, ref, holders), placed(owner.kind, owner.ref, [owner.member])
            raise Conflict(f"{there}, but {here}: objects that are used together must be on one engine")


def builder(index: Index, asked: ImageBuild) -> Node | None:
    """Return the engine of the network, or of the container whose network it is, in which a build's commands run.

    Return None if any engine will do, and for a build by BuildKit, which does not use such networks.
    """
    used = network_used(asked.networkmode)
    if used is None or asked.version == "2":
        return None
    return next((item.node for item in index.find(*used) if item.node.up), None)


async def connected(router: Router, members: Members, request: Request) -> Any:
    """Forward a container's connection to a network, or its disconnection, to the container's engine.

    Raises:
        Conflict: the network, or a linked container, is on another engine.
        SwarmError: as in `owners.find`.
    """
    body = dict_of(request.json)
    owner = await router.owner("containers", str(body["Container"]))
    network = request.path[1].removeprefix(f"{owner.member.name}/")
    links = [str(each).partition(":")[0] for each in list_of(dict_of(body.get("EndpointConfig")).get("Links"))]
    if not owner.missing:
        await settle(members.all, "networks")  # an event does not say on which engines a network can be used
        check(members.index, owner, [("networks", network), *(("containers", link) for link in links)])
    there = request.replace(
        path=("networks", network, request.path[2]), body=Json.from_data({**body, "Container": owner.ref})
    )
    return await router.forward(there, owner, response_hooks.touches)
