"""The host's folders that containers bind: a symbolic link can lead anywhere.

They are resolved before a container or a service is created, so that the engine gets the path to which the links lead.
A client that may write below a folder can replace what is there by a link afterwards; so they are resolved again before
a container starts. Between that and the engine's own look at the path a moment is left.

Paths are resolved on this machine, so all this holds for an engine that runs here.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import trio

from swarmlib import Denied, Json, Request, Sender, Verb
from swarmlib.asking import call

from ..dockerapi.nullable import dict_of, list_of
from . import mounts
from .demands import Demand
from .grants import Grants

STARTING: Final = frozenset({"ContainerStart", "ContainerRestart"})
"""The operations in which an engine mounts what a container binds."""
RACED: Final = frozenset({"binds", "volume_options"})
"""The kinds of demands by which folders of the host get into containers."""


def asked(demands: Sequence[Demand]) -> bool:
    """Return whether a request binds folders of the host."""
    return any(demand.kind == "binds" for demand in demands)


async def resolve(request: Request, demands: Sequence[Demand], grants: Grants) -> Request:
    """Return the creation of a container or a service with each folder by the path to which its links lead.

    Raises:
        Denied: a folder is not here, or its links lead to one that the rule does not allow.
    """
    real = dict[str, str]()
    for source in {each.value for each in demands if each.kind == "binds"}:
        real[source] = await _real(source)
        if not grants.allows(Demand("binds", real[source], source)):
            raise Denied(f"the folder {source} leads to {real[source]}, which binds of the rule does not list")
    body = cast("dict[str, Any]", copy.deepcopy(request.json))
    host = cast("dict[str, Any]", body.get("HostConfig", {}))
    if "Binds" in host:
        host["Binds"] = [_replaced(each, real) for each in host["Binds"]]
    task = cast("dict[str, Any]", body.get("TaskTemplate", {}).get("ContainerSpec", {}))
    given: list[dict[str, Any]] = [*host.get("Mounts", ()), *task.get("Mounts", ())]
    for mount in given:
        if mount.get("Type") == "bind":
            mount["Source"] = real.get(mount.get("Source", ""), "")
    drivers = [each.get("VolumeOptions", {}).get("DriverConfig", {}).get("Options", {}) for each in given]
    for path in [path for options in (body.get("DriverOpts", {}), *drivers) for path in mounts.host_paths(options)]:
        if real[path] != path:
            raise Denied(f"the folder {path} of a volume is a link: name the folder to which it leads, {real[path]}")
    return request.replace(body=Json.from_data(body))


async def check(request: Request, kinds: Collection[str], grants: Grants, sender: Sender) -> Request:
    """Return the start of a container by its id, once the folders that it binds lead to where they did.

    kinds: those of RACED that a rule grants.

    Raises:
        Denied: a folder is not here, or a link has come into its path that leads to one that the rule does not allow.
        SwarmError: the engine's error, such as for a container that does not exist.
    """
    kind, name, *rest = request.path
    found = (await call(sender, Request(Verb.GET, (kind, name), meta=request.meta.of_caller()))).value
    host = dict_of(found.get("HostConfig"))
    sources = [*_bound(host)]
    if "volume_options" in kinds:
        sources += [source for volume in _volumes(found) for source in await _devices(volume, request, sender)]
    for source in sources:
        real = await _real(source)
        if real != source and not grants.allows(Demand("binds", real, source)):
            raise Denied(f"the folder {source} leads to {real} now, which binds of the rule does not list")
    return request.replace(path=(kind, str(found["Id"]), *rest))


def _bound(host: Mapping[str, Any]) -> Iterator[str]:
    for bind in list_of(host.get("Binds")):
        if bind.startswith("/"):
            yield bind.partition(":")[0]
    for mount in list_of(host.get("Mounts")):
        if mount.get("Type") == "bind":
            yield mount["Source"]


def _volumes(found: Mapping[str, Any]) -> Iterator[str]:
    for mount in list_of(found.get("Mounts")):
        if mount.get("Type") == "volume":
            yield mount["Name"]


async def _devices(volume: str, request: Request, sender: Sender) -> list[str]:
    """Return the paths of the host that a volume mounts."""
    found = (await call(sender, Request(Verb.GET, ("volumes", volume), meta=request.meta.of_caller()))).value
    return list(mounts.host_paths(dict_of(found.get("Options"))))


def _replaced(bind: str, real: Mapping[str, str]) -> str:
    source, colon, rest = bind.partition(":")
    return real.get(source, source) + colon + rest


async def _real(path: str) -> str:
    try:
        return await trio.to_thread.run_sync(_resolved, path)
    except OSError as exc:
        raise Denied(f"the folder {path} can't be resolved here: {exc.strerror}") from exc


def _resolved(path: str) -> str:
    return os.path.realpath(path, strict=True)
