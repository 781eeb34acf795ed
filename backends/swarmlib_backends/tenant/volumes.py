"""The operations on a tenant's volumes."""

from __future__ import annotations

import secrets
from typing import Any

from swarmlib import Conflict

from ..dockerapi.filters import encode
from ..dockerapi.matching import named as named_by
from ..dockerapi.nullable import list_of
from ..dockerapi.operations import VolumeList, VolumePrune
from . import answers
from .call import Call
from .own import check_volume


async def named(call: Call) -> Any:
    """Forward an operation on the volume that its path names."""
    ref = call.request.path[1]
    path = call.at(await call.own.volume(ref), ref)
    return await call.forward(call.request.replace(path=path), answers.VOLUME)


async def listed(call: Call) -> Any:
    """List the tenant's volumes. A filter by name is about what is shown."""
    filters = dict(VolumeList.of(call.request).filters)
    fits = named_by(filters.pop("name", []))
    filters["label"] = [*filters.get("label", ()), call.names.label]

    def see(value: Any) -> Any:
        own = [each for each in list_of(value.get("Volumes")) if call.own.owns("volumes", each)]
        shown = [answers.VOLUME(call.names, each) for each in own]
        return {**answers.WARNED(call.names, value), "Volumes": [each for each in shown if fits(each["Name"])]}

    return await call.forward_seen(call.request.replace(params={"filters": encode(filters)}), see)


async def create(call: Call) -> Any:
    """Create a volume. An engine answers with the one of this name that is there already."""
    body = dict(call.request.json or {})
    name = str(body.get("Name", ""))
    body["Name"] = call.names.real(check_volume(name)) if name else secrets.token_hex(32)
    made = (await call.create(body["Name"], call.request.replace(body=call.labelled(body)))).value
    if not call.own.owns("volumes", made):
        raise Conflict(f"the volume {name} is in use: choose another name")
    return answers.VOLUME(call.names, made)


async def prune(call: Call) -> Any:
    """Remove the tenant's volumes that no container uses."""
    filters = dict(VolumePrune.of(call.request).filters)
    filters["label"] = [*filters.get("label", ()), call.names.label]
    return await call.forward(call.request.replace(params={"filters": encode(filters)}), answers.PRUNED)
