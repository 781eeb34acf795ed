"""Confines a client to the objects that are its own: those with a certain label.

What it creates gets the label, whatever it says itself. What it lists, prunes or watches is filtered by the label. An
object that it names is looked up at the engine: if it has the label, the request goes on with the object's full id, so
that no other object can take the name's place meanwhile. If not, the client gets what the engine answers for an object
that does not exist. What an answer says of others besides is hidden in `hiding`.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from swarmlib import (
    Ambiguous,
    Conflict,
    Denied,
    Invalid,
    Json,
    NotFound,
    Request,
    Sender,
    SwarmError,
    Verb,
)
from swarmlib.asking import call

from ..dockerapi.filters import encode
from ..dockerapi.operations import ContainerList
from ..dockerapi.parameters import Params
from ..dockerapi.rows import ROWS, Row
from . import containers
from .changes import LABELLED, stamp
from .demands import Demand
from .grants import Grants
from .inspected import described, inspect

_FILTERED: Final = frozenset(
    {
        *("ContainerList", "NetworkList", "VolumeList", "SystemEvents"),
        *("ContainerPrune", "NetworkPrune", "VolumePrune", "ImagePrune"),
    }
)
"""The operations with filters by label."""
_TELLING: Final = frozenset({"ancestor", "before", "network", "since", "volume", "container", "image"})
"""The filters that name another object, whose existence an answer would tell."""
_OLDER_FILTERS: Final = frozenset({"before", "since"})
"""Filters of this kind that are parameters of a list of containers."""
_KINDS: Final = frozenset({"containers", "networks", "volumes", "exec"})
"""The kinds of objects that have owners; a command in a container has that of the container."""
_CONNECTING: Final = frozenset({"NetworkConnect", "NetworkDisconnect"})
"""The operations whose body names a container, besides the network in the path."""
_COMMIT: Final = "ImageCommit"
_OF_THE_SYSTEM: Final = frozenset({"SystemPing", "SystemPingHead", "SystemVersion", "SystemAuth"})
_HIDDEN_IN_PART: Final = frozenset({"SystemInfo", "SystemDataUsage", "ImageList", "ImageInspect", "ImageHistory"})
"""The operations whose answers are about everybody's objects, and of which `hiding` leaves what is the client's."""


def confinable(row: Row) -> bool:
    """Return whether a client can be confined to its own objects in an operation."""
    named = None in row.shape and row.shape[0] in _KINDS
    return named or row.name == _COMMIT or row.name in LABELLED | _FILTERED | _OF_THE_SYSTEM | _HIDDEN_IN_PART


OWNED: Final = frozenset({"networks", "volumes"})
"""The kinds of demands that an owner's own objects satisfy."""
CONFINABLE: Final = frozenset(row.name for row in ROWS if confinable(row))


@dataclass(frozen=True)
class Owner:
    """Whose objects they are, as a label says.

    Attributes:
        label: the label's name.
        value: its value.
    """

    label: str
    value: str

    @classmethod
    def read(cls, text: str) -> Owner:
        """Read `LABEL=VALUE`. Raises ValueError if it is not that."""
        label, equals, value = text.partition("=")
        if not (label and equals and value):
            raise ValueError(f"invalid owner {text!r}: expected LABEL=VALUE, such as team=web")
        return cls(label, value)

    def owns(self, labels: Mapping[str, str] | None) -> bool:
        """Return whether an object with these labels is the owner's."""
        return (labels or {}).get(self.label) == self.value

    async def confine(self, row: Row, request: Request, sender: Sender, grants: Grants) -> Request:
        """Return the request as it may go on.

        sender: where objects are looked up.
        grants: what a container may use without owning it.

        Raises:
            Denied: it can't be confined.
            SwarmError: the object that it names is not the owner's, or does not exist; or the engine's error.
        """
        if row.name == "ContainerCreate":
            request = await self._own_references(request, sender, grants)
        if row.name in LABELLED:
            request = self._label(row, request)
            if row.name == "VolumeCreate" and (name := request.json.get("Name")):
                await self._make_own(name, request, sender)
            return request
        if row.name in _FILTERED:
            return self._filter(row, request)
        if row.name in _OF_THE_SYSTEM:
            return request
        if row.name in _HIDDEN_IN_PART:
            _told(row.params.of(request))
            return request
        if row.name == _COMMIT:
            id = await self._container(request.params.get("container", ""), request, sender)
            return request.replace(params={**request.params, "container": id})
        if row.name in _CONNECTING:
            return await self._connect(request, sender, grants)
        return await self._resolve(request, sender)

    async def _connect(self, request: Request, sender: Sender, grants: Grants) -> Request:
        """Return the request with the full ids of the container and the network, unless any container may use that.

        An engine is never asked with a network that does not exist: it would add that to a container that is stopped.
        """
        kind, name, way = request.path
        body = cast("Mapping[str, Any]", request.json)
        id = await self._container(body.get("Container", ""), request, sender)
        if not grants.allows(Demand("networks", name, "the path")):
            name = await self._network(name, request, sender)
        return request.replace(path=(kind, name, way), body=Json.from_data({**body, "Container": id}))

    async def _own_references(self, request: Request, sender: Sender, grants: Grants) -> Request:
        """Return the creation of a container with the ids of the owner's networks, once its volumes are there."""
        demands = [each for each in containers.read("", request.json) if not grants.allows(each)]
        for name in {each.value for each in demands if each.kind == "volumes"}:
            if await self._id("volumes", name, request, sender) is None:
                labelled = Json.from_data({"Name": name, "Labels": {self.label: self.value}})
                volume = Request(Verb.SPAWN, ("volumes",), body=labelled, meta=request.meta.of_caller())
                await self._make_own(name, volume, sender)
        names = {each.value for each in demands if each.kind == "networks"}
        if not names:
            return request
        ids = {name: await self._network(name, request, sender) for name in names}
        body = cast("dict[str, Any]", copy.deepcopy(request.json))
        host = cast("dict[str, Any]", body.get("HostConfig", {}))
        if "NetworkMode" in host:
            host["NetworkMode"] = ids.get(host["NetworkMode"], host["NetworkMode"])
        networking = cast("dict[str, Any]", body.get("NetworkingConfig", {}))
        endpoints = cast("dict[str, Any]", networking.get("EndpointsConfig", {}))
        networking["EndpointsConfig"] = {ids.get(name, name): each for name, each in endpoints.items()}
        return request.replace(body=Json.from_data(body))

    async def _network(self, name: str, request: Request, sender: Sender) -> str:
        id = await self._id("networks", name, request, sender)
        if id is None:
            raise NotFound(f"network {name} not found")
        return id

    async def _container(self, name: str, request: Request, sender: Sender) -> str:
        id = await self._id("containers", name, request, sender) if name else None
        if id is None:
            raise NotFound(f"No such container: {name}")
        return id

    async def _make_own(self, name: str, creation: Request, sender: Sender) -> None:
        """Create a volume; an engine answers with the one of this name that is there already, whoever owns it."""
        made = (await call(sender, creation)).value
        if not self.owns(made.get("Labels")):
            raise Conflict(f"the volume {name} is in use: choose another name")

    def _label(self, row: Row, request: Request) -> Request:
        body = dict(cast("Mapping[str, Any]", request.json or {}))
        if row.name == "NetworkCreate":
            body["CheckDuplicate"] = True  # a second network of a name keeps containers of both from starting
        stamp(body, {self.label: self.value})
        return request.replace(body=Json.from_data(body))

    def _filter(self, row: Row, request: Request) -> Request:
        asked = row.params.of(request)
        filters = _told(asked)
        filters["label"] = [*filters.get("label", ()), f"{self.label}={self.value}"]
        return request.replace(params=asked.having({"filters": encode(filters)}))

    async def _resolve(self, request: Request, sender: Sender) -> Request:
        kind, name, *rest = request.path
        id = await self._id(kind, name, request, sender)
        if id is None:
            raise await _missing(request, sender)
        return request.replace(path=(kind, id, *rest))

    async def _id(self, kind: str, name: str, request: Request, sender: Sender) -> str | None:
        """Return the full id of an object of the owner's; None if there is none of this name."""
        try:
            if kind == "exec":
                found = await described(kind, name, request, sender)
                container = await self._id("containers", str(found["ContainerID"]), request, sender)
                return None if container is None else str(found["ID"])
            named = await inspect(kind, name, request, sender)
        except (NotFound, Invalid, Conflict, Ambiguous):  # an ambiguous prefix would tell of others' objects
            return None
        return named.id if self.owns(named.labels) else None


def _told(asked: Params) -> dict[str, list[str]]:
    """Return the filters among some parameters. Raises Denied if one of them tells whether another object exists."""
    filters: dict[str, list[str]] = cast("Any", asked).filters if "filters" in asked.declared else {}
    older = _OLDER_FILTERS & asked.keys() if isinstance(asked, ContainerList) else frozenset[str]()
    for name in (_TELLING & filters.keys()) | older:
        raise Denied(f"the filter {name!r} would tell of objects that are not yours")
    return filters


async def _missing(request: Request, sender: Sender) -> SwarmError:
    """Return the error that the engine has for the request if its object does not exist."""
    kind, name, *rest = request.path
    nobody = secrets.token_hex(32)
    return await missing(request.replace(path=(kind, nobody, *rest)), nobody, name, sender)


async def missing(request: Request, nobody: str, name: str, sender: Sender) -> SwarmError:
    """Return the error that the engine has for a request about an object that surely does not exist.

    nobody: the name in the engine's error. name: replaces it.
    """
    try:
        await call(sender, request.replace(upload=None))
    except SwarmError as exc:
        details = dict(exc.details)
        if isinstance(body := details.get("body"), bytes):
            details["body"] = body.replace(nobody.encode(), name.encode())
        return type(exc)(exc.message.replace(nobody, name), details=details)
    return Denied(f"{request.path[0]} {name!r} is not yours")
