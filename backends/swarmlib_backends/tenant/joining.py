"""The containers that a container's description names: those whose namespaces and volumes it uses, and its links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from swarmlib import NotFound

from ..dockerapi.nullable import list_of
from .call import Call

JOINED: Final = "container:"
_JOINABLE: Final = ("NetworkMode", "IpcMode", "PidMode")
"""The namespaces that may be those of another container."""


async def join(call: Call, host: dict[str, Any]) -> None:
    """Name the tenant's containers whose namespaces or volumes are used, or that are linked, as the engine does."""
    for field in _JOINABLE:
        mode = str(host.get(field, ""))
        if mode.startswith(JOINED):
            host[field] = JOINED + (await container(call, mode.removeprefix(JOINED)))["Id"]
    if "VolumesFrom" in host:
        host["VolumesFrom"] = [await _renamed(call, each) for each in host["VolumesFrom"]]
    if "Links" in host:
        host["Links"] = [await link(call, each) for each in host["Links"]]


async def container(call: Call, ref: str) -> Mapping[str, Any]:
    """Return one of the tenant's containers. Raises NotFound if there is none of this name or id."""
    found = await call.own.container(ref)
    if found is None:
        raise NotFound(f"No such container: {ref}")
    return found


async def _renamed(call: Call, text: str) -> str:
    """Return `NAME:rest` with the container's name at the engine."""
    ref, colon, rest = text.partition(":")
    return str((await container(call, ref))["Name"]).removeprefix("/") + colon + rest


async def link(call: Call, text: str) -> str:
    """Return a link, `NAME:ALIAS`, with the container's name at the engine; the alias is the tenant's name for it."""
    ref, _, alias = text.partition(":")
    return f"{await _renamed(call, ref)}:{alias or call.names.shown(ref)}"


async def places(call: Call, inherited: Sequence[str]) -> list[str]:
    """Return where containers mount something, by their names at the engine with what follows a colon."""
    names = [each.partition(":")[0] for each in inherited]
    found = [await call.own.inspected("containers", name) or {} for name in names]
    return [str(mount["Destination"]) for each in found for mount in list_of(each.get("Mounts"))]
