"""What is lost when an object is removed, as far as its engine tells: a container's files, a volume and its users."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, cast

import trio

from swarmlib import Request, Sender, SwarmError, Verb
from swarmlib.asking import call

from .inspected import Inspected, inside, inspect, listed

MEASURE_SECONDS: Final = 10.0
"""How long an engine may take to measure what it holds."""
_ANONYMOUS: Final = 64
"""Characters in the name of a volume that an engine has made for a container."""
_MOST_USERS: Final = 20
_log = logging.getLogger(__name__)


async def losses(found: Inspected | None, request: Request, sender: Sender) -> Mapping[str, Any]:
    """Return what depends on an object, by words such as `image`, `created`, `bytes`, `used by`; nothing for None.

    Raises nothing: what can't be found out is left out.
    """
    lost: dict[str, Any] = {}
    if found is None:
        return lost
    try:
        with trio.move_on_after(MEASURE_SECONDS):
            await _add(lost, found, request, sender)
    except SwarmError as exc:
        _log.warning("policy: it is not known what %s/%s holds: %s", found.kind, found.id, exc.message)
    return lost


async def _add(lost: dict[str, Any], found: Inspected, request: Request, sender: Sender) -> None:
    data = found.data
    created = data.get("Created") or data.get("CreatedAt")
    lost |= {} if created is None else {"created": created}
    if found.kind == "containers":
        mounts = cast("list[Mapping[str, Any]]", data.get("Mounts") or [])
        volumes = [str(each.get("Name")) for each in mounts if each.get("Type") == "volume"]
        lost["image"] = inside(data, "Config", "Image")
        lost["state"] = inside(data, "State", "Status")
        lost["anonymous volumes"] = [name for name in volumes if len(name) == _ANONYMOUS]
        lost["bytes"] = (await inspect("containers", found.id, request, sender, size=True)).data.get("SizeRw", 0)
    elif found.kind == "images":
        lost |= {"tags": data.get("RepoTags"), "bytes": data.get("Size")}
    elif found.kind in ("networks", "volumes"):
        users = await listed("containers", {found.kind.removesuffix("s"): found.id}, request, sender)
        lost["used by"] = [name for each in users[:_MOST_USERS] for name in each.get("Names") or ()]
        if found.kind == "volumes":
            lost["bytes"] = await _size_of_volume(found.id, request, sender)


async def _size_of_volume(name: str, request: Request, sender: Sender) -> int | None:
    """Return the bytes in a volume; None if its driver does not tell."""
    usage: object = (await call(sender, Request(Verb.GET, ("df",), meta=request.meta.of_caller()))).value
    volumes = cast("list[Mapping[str, Any]]", inside(usage, "Volumes") or [])
    sizes = [inside(each, "UsageData", "Size") for each in volumes if each.get("Name") == name]
    return sizes[0] if sizes and isinstance(sizes[0], int) and sizes[0] >= 0 else None
