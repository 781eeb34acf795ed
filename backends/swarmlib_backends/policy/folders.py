"""The host's folders that a container binds, resolved before they are judged: a symbolic link can lead anywhere."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import trio

from swarmlib import Denied, Json, Request

from . import containers
from .demands import Demand
from .grants import Grants


def asked(demands: Sequence[Demand]) -> bool:
    """Return whether a request binds folders of the host."""
    return any(demand.kind == "binds" for demand in demands)


async def resolve(request: Request, grants: Grants) -> Request:
    """Return the creation of a container with each folder by the path to which its links lead.

    They are resolved on this machine, so they hold for an engine that runs here.

    Raises:
        Denied: a folder is not here, or its links lead to one that the rule does not allow.
    """
    sources = {each.value for each in containers.read("", request.json) if each.kind == "binds"}
    real = {source: await trio.to_thread.run_sync(_real, source) for source in sources}
    for source, path in real.items():
        if not grants.allows(Demand("binds", path, source)):
            raise Denied(f"the folder {source} leads to {path}, which binds of the rule does not list")
    body = cast("dict[str, Any]", copy.deepcopy(request.json))
    host = cast("dict[str, Any]", body["HostConfig"])
    host["Binds"] = [_replaced(each, real) for each in host.get("Binds", ())]
    for mount in host.get("Mounts", ()):
        if mount.get("Type") == "bind":
            mount["Source"] = real[mount["Source"]]
    return request.replace(body=Json.from_data(body))


def _replaced(bind: str, real: Mapping[str, str]) -> str:
    source, colon, rest = bind.partition(":")
    return real.get(source, source) + colon + rest


def _real(path: str) -> str:
    try:
        return os.path.realpath(path, strict=True)
    except OSError as exc:
        raise Denied(f"the folder {path} can't be resolved here: {exc.strerror}") from exc
