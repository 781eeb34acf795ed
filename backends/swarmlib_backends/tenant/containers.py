"""The operations on a tenant's containers, but for their creation."""

from __future__ import annotations

import time
from typing import Any, Final

from swarmlib import SwarmError

from ..dockerapi.filters import encode
from ..dockerapi.matching import named as named_by
from ..dockerapi.nullable import list_of
from ..dockerapi.operations import ContainerList, ContainerPrune, ContainerRename
from ..dockerapi.status import refusal
from ..enginekit.filters import pruned
from . import answers, creation, ports
from .call import Call, reworded
from .shapes import Show

_STOPPED: Final = frozenset({"created", "exited", "dead"})
_MAY_BE_NAMES: Final = ("network", "volume")
"""The filters whose values are names, or something else: a network's id, a place where a volume is mounted."""
_NO_PORT: Final = "65535/sctp"
"""A port that no container has: a filter for ports that nobody has published."""
_BOUNDS: Final = ("before", "since")
"""The filters that name a container."""


async def named(call: Call, show: Show | None) -> Any:
    """Forward an operation on the container that its path names."""
    ref = call.request.path[1]
    path = call.at(await call.own.container(ref), ref)
    return await call.forward(call.request.replace(path=path), show)


async def start(call: Call) -> Any:
    """Start or restart a container, if the quota has room for it."""
    ref = call.request.path[1]
    found = await call.own.container(ref)
    request = call.request.replace(path=call.at(found, ref))
    if found is None:
        return await call.forward(request)
    published = ports.labelled(found["Config"]["Labels"])
    try:
        await call.reply(await call.quotas.start(call.names.tenant, found["Id"], request))
    except SwarmError as exc:
        raise reworded(exc, lambda text: ports.show_text(text, published)) from None
    return None


async def update(call: Call) -> Any:
    """Change the limits of a container, if the quota has room for it."""
    ref = call.request.path[1]
    found = await call.own.container(ref)
    request = call.request.replace(path=call.at(found, ref))
    if found is None:
        return await call.forward(request)
    await call.reply(await call.quotas.update(call.names.tenant, found["Id"], request), answers.WARNED)
    return None


async def listed(call: Call) -> Any:
    """List the tenant's containers. Their names are compared here: a filter is an expression about the shown ones."""
    asked = ContainerList.of(call.request)
    filters = dict(asked.filters)
    fits, limit = named_by(filters.pop("name", [])), None
    params = {name: value for name, value in asked.items() if name not in (*_BOUNDS, "filters")}
    if "name" in asked.filters and (asked.limit or 0) > 0:
        limit = asked.limit
        params = {name: value for name, value in params.items() if name != "limit"} | {"all": "1"}
    for name in _MAY_BE_NAMES:
        if name in filters:
            filters[name] = [each for value in filters[name] for each in (value, call.names.real(value))]
    for name in _BOUNDS:
        given = [*filters.get(name, ()), *([asked[name]] if asked.get(name) else ())]
        if given:
            filters[name] = [await _bound(call, each) for each in given]
    if "publish" in filters:
        known = await call.quotas.ports_of(call.names.tenant)
        filters["publish"] = [given for each in filters["publish"] for given in known.at_engine(each)] or [_NO_PORT]
    if "ancestor" in filters:
        filters["ancestor"] = [await call.own.image(each) for each in filters["ancestor"]]
    filters["label"] = [*filters.get("label", ()), call.names.label]

    def see(value: Any) -> Any:
        shown = [answers.CONTAINER_SUMMARY(call.names, each) for each in value if call.own.owns("containers", each)]
        return [each for each in shown if fits(*_names(each))][:limit]

    return await call.forward_seen(call.request.replace(params={**params, "filters": encode(filters)}), see)


async def _bound(call: Call, ref: str) -> str:
    found = await call.own.container(ref)
    return call.names.nobody(ref) if found is None else str(found["Id"])


def _names(shown: Any) -> list[str]:
    """Return the names of a listed container that a filter is about: with their slashes, and without them."""
    return [form for name in list_of(shown.get("Names")) for form in (name, name.removeprefix("/"))]


async def rename(call: Call) -> Any:
    """Give a container another name of the tenant's."""
    name = creation.real_name(call, ContainerRename.of(call.request).name)
    ref = call.request.path[1]
    path = call.at(await call.own.container(ref), ref)
    return await call.forward(call.request.replace(path=path, params={**call.request.params, "name": name}))


async def prune(call: Call) -> Any:
    """Remove the tenant's containers that don't run, one by one: a label alone does not say whose a container is."""
    fits = pruned(ContainerPrune.of(call.request).filters, time.time())
    gone, size = list[str](), 0
    for each in await call.own.listed("containers", all="1", size="1"):
        id = str(each["Id"])
        prunable = each.get("State") in _STOPPED and fits(call.names.unlabelled(each.get("Labels")), each["Created"])
        if prunable and await call.remove(("containers", id)) is not None:
            gone.append(id)
            size += each.get("SizeRw") or 0
    return {"ContainersDeleted": gone or None, "SpaceReclaimed": size}


async def of_exec(call: Call) -> Any:
    """Forward an operation on a command in one of the tenant's containers."""
    id = call.request.path[1]
    if await call.own.exec(id) is None:
        raise refusal(404, f"No such exec instance: {id}")
    return await call.forward(call.request)
