"""The operations on a tenant's networks. The one called `bridge` is made when it is first needed."""

from __future__ import annotations

from typing import Any, Final

from swarmlib import Conflict, NotFound, Request, Verb

from ..dockerapi.nullable import list_of
from . import answers
from .call import Call
from .names import BRIDGE

_DEFAULTS: Final = frozenset({BRIDGE, "default"})


async def named(call: Call) -> Any:
    """Forward an operation on the network that its path names."""
    return await call.forward(call.request.replace(path=await _path(call)), answers.NETWORK)


async def create(call: Call) -> Any:
    """Create a network; a second one of its name would keep the containers of both from starting."""
    body = dict(call.request.json)
    body |= {"Name": call.names.real(str(body.get("Name", ""))), "CheckDuplicate": True}
    return await call.forward(call.request.replace(body=call.labelled(body)), answers.WARNED)


async def id_of(call: Call, ref: str) -> str:
    """Return the id of one of the tenant's networks.

    Raises:
        NotFound: there is none, in the words of an engine.
    """
    name = BRIDGE if ref in _DEFAULTS else ref
    found = await call.own.network(name)
    if found is None and name == BRIDGE:
        found = await _make_bridge(call)
    if found is None:
        raise NotFound(f"network {ref} not found")
    return str(found["Id"])


async def _make_bridge(call: Call) -> Any:
    body = call.labelled({"Name": call.names.real(BRIDGE), "CheckDuplicate": True})
    try:
        return await call.ask(Request(Verb.SPAWN, ("networks",), body=body, meta=call.request.meta))
    except Conflict:  # another call was first
        return await call.own.network(BRIDGE)


def endpoint(given: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a container's endpoint in a network, by which the tenant's other containers find it by its name.

    given: the endpoint as the tenant describes it. name: the container's.
    """
    return {**given, "Aliases": [*list_of(given.get("Aliases")), name]}


async def _path(call: Call) -> tuple[str, ...]:
    ref = call.request.path[1]
    if ref == BRIDGE:
        await id_of(call, BRIDGE)
    return call.at(await call.own.network(ref), ref)
