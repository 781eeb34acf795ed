"""The creation of a tenant's container: what its description names becomes what the engine has for the tenant."""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Mapping
from posixpath import normpath
from typing import Any, Final, cast

from swarmlib import Json, Unsupported

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ContainerCreate
from ..dockerapi.status import refusal
from . import answers, joining, networks
from .call import Call

_ENGINES: Final = ("none", "host")
"""The network modes that name no network of a tenant's; `host` needs a grant."""
_NAME: Final = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_EXPRESSIBLE: Final = frozenset({"", "rw", "ro", "nocopy"})
"""The options of a bind that a mount can express."""


def real_name(call: Call, name: str) -> str:
    """Return the name at the engine for a container. Raises the engine's error if it can't be a container's."""
    if not _NAME.fullmatch(name):
        raise refusal(400, f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return call.names.real(name)


async def create(call: Call) -> Any:
    """Create a container."""
    name = ContainerCreate.of(call.request).name.removeprefix("/") or f"box-{secrets.token_hex(4)}"
    params = {**call.request.params, "name": real_name(call, name)}
    body = cast("dict[str, Any]", copy.deepcopy(call.request.json))
    host = cast("dict[str, Any]", body.setdefault("HostConfig", {}))
    body["Image"] = await call.own.image(body.get("Image", ""))
    body["Labels"] = call.names.labelled(body.get("Labels"))
    await joining.join(call, host)
    await _networks(call, body, host, name)
    await _volumes(call, body, host)
    exposed = await call.own.exposed_ports(body["Image"]) if host.get("PublishAllPorts") else ()
    request = call.request.replace(params=params, body=Json.from_data(body))
    await call.reply(await call.create(params["name"], request, exposed), answers.WARNED)


async def _networks(call: Call, body: dict[str, Any], host: dict[str, Any], name: str) -> None:
    """Name the tenant's networks by their ids, and have the container found there by the tenant's name for it."""
    mode = str(host.get("NetworkMode") or "default")
    if body.get("NetworkDisabled") or mode in _ENGINES or mode.startswith(joining.JOINED):
        return
    networking = cast("dict[str, Any]", body.setdefault("NetworkingConfig", {}))
    given = dict_of(networking.get("EndpointsConfig"))
    ids = {each: await networks.id_of(call, each) for each in {mode, *given}}
    host["NetworkMode"] = ids[mode]
    endpoints = {ids[mode]: dict[str, Any]()} | {ids[each]: dict_of(endpoint) for each, endpoint in given.items()}
    if links := host.pop("Links", []):  # an engine links by endpoint in networks other than its own bridge
        endpoints[ids[mode]]["Links"] = [*list_of(endpoints[ids[mode]].get("Links")), *links]
    networking["EndpointsConfig"] = {id: networks.endpoint(each, name) for id, each in endpoints.items()}


async def _volumes(call: Call, body: dict[str, Any], host: dict[str, Any]) -> None:
    """Name the tenant's volumes as the engine does, and label those that the engine will make for the container.

    Only a mount can give a volume labels, so what binds a volume that is not there yet becomes a mount.
    """
    binds, mounts = list[str](), list_of(host.get("Mounts"))
    for mount in mounts:
        if mount.get("Type") == "volume":
            await _mount_own(call, mount)
        elif mount.get("Type") == "image":
            mount["Source"] = await call.own.image(mount.get("Source", ""))
    for each in list_of(host.get("Binds")):
        source, _, rest = each.partition(":")
        if source.startswith("/"):
            binds.append(each)
        elif (found := await call.own.volume_to_use(source)) is not None:
            binds.append(f"{found}:{rest}")
        else:
            mounts.append(_mount_of(call, each, host))
    taken = [str(mount.get("Target")) for mount in mounts] + [bind.split(":")[1] for bind in binds]
    taken += [*dict_of(host.get("Tmpfs")), *await joining.places(call, list_of(host.get("VolumesFrom")))]
    asked = {*dict_of(body.get("Volumes")), *await call.own.places_of_volumes(body["Image"])}
    for place in sorted({*map(normpath, asked)} - {*map(normpath, taken)}):
        labels = call.names.labelled({}) | {answers.ASKED: ""}
        mounts.append({"Type": "volume", "Target": place, "VolumeOptions": {"Labels": labels}})
    host["Binds"], host["Mounts"] = binds, mounts


async def _mount_own(call: Call, mount: dict[str, Any]) -> None:
    if mount.get("Source"):
        mount["Source"] = await call.own.volume_to_use(mount["Source"]) or call.names.real(mount["Source"])
    options = mount.setdefault("VolumeOptions", {})
    options["Labels"] = call.names.labelled(options.get("Labels"))


def _mount_of(call: Call, bind: str, host: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mount for a bind, `VOLUME:PLACE[:OPTIONS]`, with a label by which it is shown as that bind."""
    source, place, options = (*bind.split(":", 2), "")[:3]
    if not _EXPRESSIBLE.issuperset(asked := set(options.split(","))):
        raise Unsupported(f"the options {options!r} of a bind need a volume that is there: create {source} first")
    labels = call.names.labelled({}) | {answers.ASKED: bind}
    driver = {"DriverConfig": {"Name": host["VolumeDriver"]}} if host.get("VolumeDriver") else {}
    return {
        "Type": "volume",
        "Source": call.names.real(source),
        "Target": place,
        "ReadOnly": "ro" in asked,
        "VolumeOptions": {"NoCopy": "nocopy" in asked, "Labels": labels, **driver},
    }
