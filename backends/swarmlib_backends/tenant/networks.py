"""The operations on a tenant's networks. The one called `bridge` is made when it is first needed."""

from __future__ import annotations

import time
from typing import Any, Final

from swarmlib import Answer, Conflict, Json, NotFound, Request, Verb

from ..dockerapi.ages import since
from ..dockerapi.filters import encode, flag
from ..dockerapi.matching import named as named_by
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import NetworkList, NetworkPrune
from ..dockerapi.status import refusal
from ..enginekit.filters import pruned
from . import answers, joining
from .call import Call
from .names import BRIDGE

_DEFAULTS: Final = frozenset({BRIDGE, "default"})
_RESERVED: Final = _DEFAULTS | {"host", "none"}
"""The names that mean something else than a network that was created, where a container uses them."""
_TYPES: Final = frozenset({"builtin", "custom"})


async def named(call: Call) -> Any:
    """Forward an operation on the network that its path names."""
    return await call.forward(call.request.replace(path=await _path(call)), answers.NETWORK)


async def delete(call: Call) -> Any:
    """Remove a network, but not the one that every host has."""
    if call.request.path[1] == BRIDGE:
        raise refusal(403, f"{BRIDGE} is a pre-defined network and cannot be removed")
    return await named(call)


async def listed(call: Call) -> Any:
    """List the tenant's networks. Filters by name and by type are about what is shown."""
    filters = dict(NetworkList.of(call.request).filters)
    fits = named_by(filters.pop("name", []))
    types = frozenset(filters.pop("type")) if _TYPES.issuperset(filters.get("type", [""])) else _TYPES
    unused = "dangling" in filters and flag(filters, "dangling", ("true", "1"), ("false", "0"))
    filters["label"] = [*filters.get("label", ()), call.names.label]

    def see(value: Any) -> Any:
        shown = [answers.NETWORK(call.names, each) for each in value if call.own.owns("networks", each)]
        kept = [each for each in shown if fits(each["Name"]) and not (unused and each["Name"] == BRIDGE)]
        return [each for each in kept if ("builtin" if each["Name"] == BRIDGE else "custom") in types]

    return await call.forward_seen(call.request.replace(params={"filters": encode(filters)}), see)


async def create(call: Call) -> None:
    """Create a network; a second one of its name would keep the containers of both from starting."""
    body = dict(call.request.json)
    name = str(body.get("Name", ""))
    if name in _RESERVED:
        raise refusal(403, f"operation is not permitted on predefined {name} network ")
    if name.strip():  # an engine refuses an empty one
        body["Name"] = call.names.real(name)
    body["CheckDuplicate"] = True
    await call.reply(await _made(call, body), answers.WARNED)


async def prune(call: Call) -> Any:
    """Remove the tenant's networks that no container is in, one by one, but not the one that every host has."""
    fits = pruned(NetworkPrune.of(call.request).filters, time.time())
    gone = list[str]()
    for each in await call.own.listed("networks"):
        name, created = call.names.shown(each["Name"]), since(each["Created"])
        prunable = name != BRIDGE and fits(call.names.unlabelled(each.get("Labels")), created)
        if prunable and await call.remove(("networks", str(each["Id"]))) is not None:
            gone.append(name)
    return {"NetworksDeleted": gone or None}


async def connect(call: Call) -> Any:
    """Connect a container to a network, in which the tenant's others find it by its name."""
    await id_of(call, call.request.path[1])  # an engine would connect a container that does not run to any name
    body = dict(call.request.json)
    found = await call.own.container(str(body.get("Container", "")))
    if found is not None:
        given = dict_of(body.get("EndpointConfig"))
        if "Links" in given:
            given = {**given, "Links": [await joining.link(call, each) for each in given["Links"]]}
        name = call.names.shown(str(found["Name"])).removeprefix("/")
        body |= {"Container": found["Id"], "EndpointConfig": endpoint(given, name)}
    return await _with_container(call, body, found)


async def disconnect(call: Call) -> Any:
    """Disconnect a container from a network."""
    body = dict(call.request.json)
    return await _with_container(call, body, await call.own.container(str(body.get("Container", ""))))


async def _with_container(call: Call, body: dict[str, Any], found: Any) -> Any:
    ref = str(body.get("Container", ""))
    body["Container"] = call.names.nobody(ref) if found is None else found["Id"]
    return await call.forward(call.request.replace(path=await _path(call), body=Json.from_data(body)))


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
    try:
        return (await _made(call, {"Name": call.names.real(BRIDGE), "CheckDuplicate": True})).value
    except Conflict:  # another call was first
        return await call.own.network(BRIDGE)


async def _made(call: Call, body: dict[str, Any]) -> Answer:
    request = Request(Verb.SPAWN, ("networks",), body=call.labelled(body), meta=call.meta)
    return await call.create(str(body.get("Name", "")), request)


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
