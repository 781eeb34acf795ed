"""Protects objects that have a certain label: nobody stops, changes or removes them whom no rule lets do that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from swarmlib import BadAnswer, Denied, Json, Request, Sender, Verb
from swarmlib.asking import call

from ..clients import Client, Facts
from ..dockerapi import references
from ..dockerapi.filters import encode
from ..dockerapi.rows import Row
from ..image_patterns import qualified
from . import names, readings
from .inspected import Inspected, described, in_path, inside, inspect, listed

_HARMFUL: Final = frozenset(
    {
        *("ContainerStop", "ContainerKill", "ContainerRestart", "ContainerPause"),
        *("ContainerUpdate", "ContainerRename", "ContainerDelete"),
        *("ImageDelete", "NetworkDelete", "VolumeDelete", "VolumeUpdate"),
        *("ServiceUpdate", "ServiceDelete", "SecretUpdate", "SecretDelete", "ConfigUpdate", "ConfigDelete"),
        *("NodeUpdate", "NodeDelete"),
    }
)
"""The operations that harm the object in their path."""
_PRUNING: Final = frozenset({"ContainerPrune", "ImagePrune", "NetworkPrune", "VolumePrune"})
_DISCONNECTING: Final = "NetworkDisconnect"
_NAMING: Final = frozenset({"ImageTag", "ImageCommit", "ImageBuild", "ImageImport", "ImageCreate", "ImageLoad"})
"""The operations that can take a name from an image."""
_LEAVING: Final = "SwarmLeave"
GUARDED: Final = frozenset({*_HARMFUL, *_PRUNING, *_NAMING, _DISCONNECTING, _LEAVING})
"""The operations that can harm an object."""
_NO_TAG: Final = "<none>:<none>"
_USED: Final = frozenset({"networks", "volumes"})
"""The kinds of objects that containers use."""


def label_of(text: str) -> tuple[str, str | None]:
    """Read `LABEL` or `LABEL=VALUE`, for its name and its value. Raises ValueError if it is not that."""
    label, equals, value = text.partition("=")
    if not label or (equals and not value):
        raise ValueError(f"invalid label {text!r}: expected LABEL or LABEL=VALUE, such as swarmlib.protect")
    return label, value if equals else None


@dataclass(frozen=True)
class Protection:
    """The label of protected objects.

    Attributes:
        label: its name.
        value: its value; None for any.
        override: the clients who may do what they like.
    """

    label: str
    value: str | None
    override: Sequence[Client]

    def concerns(self, row: Row, caller: str, facts: Facts | None) -> bool:
        """Return whether an operation can harm an object, and the caller has no override."""
        return row.name in GUARDED and not any(client.is_caller(caller, facts) for client in self.override)

    async def guard(self, row: Row, request: Request, sender: Sender) -> Request:
        """Return a request that harms no protected object: with the full id of its object, or pruning the others only.

        Raises:
            Denied: it would harm one.
            SwarmError: the engine's error for an object that does not exist, or it could not be found out.
        """
        if row.name in _PRUNING:
            return await self._guard_prune(row, request, sender)
        if row.name in _NAMING:
            await self._guard_names(row, request, sender)
            return request
        if row.name == _LEAVING:
            await self._guard_swarm(row, request, sender)
            return request
        if row.name == _DISCONNECTING:
            body = cast("Mapping[str, Any]", request.json)
            found = await inspect("containers", str(body.get("Container", "")), request, sender)
            self._refuse(row, found)
            return request.replace(body=Json.from_data({**body, "Container": found.id}))
        named = await in_path(row, request, sender)
        if named is None:
            return request
        self._refuse(row, named)
        if named.kind in _USED:
            await self._refuse_if_used(row, named, request, sender)
        return request if named.kind == "images" else request.replace(path=(named.kind, named.id, *request.path[2:]))

    def _protects(self, labels: Mapping[str, str]) -> bool:
        return self.label in labels and self.value in (None, labels[self.label])

    def _refuse(self, row: Row, found: Inspected) -> None:
        if self._protects(found.labels):
            what = f"{found.kind}/{found.name}"
            raise Denied(f"{row.name} is denied: {what} is protected by the label {self.label}")

    async def _refuse_if_used(self, row: Row, found: Inspected, request: Request, sender: Sender) -> None:
        """Refuse what takes a network or a volume from a protected container, also from one that is stopped."""
        protected = await listed("containers", {"label": self._shown}, request, sender)
        uses = _is_in if found.kind == "networks" else _mounts
        users = [each for each in protected if uses(each, found)]
        if users:
            raise Denied(
                f"{row.name} is denied: {found.kind}/{found.name} is used by containers/{_name_of(users[0])}, "
                f"which is protected by the label {self.label}"
            )

    @property
    def _shown(self) -> str:
        return self.label if self.value is None else f"{self.label}={self.value}"

    async def _guard_prune(self, row: Row, request: Request, sender: Sender) -> Request:
        """Leave protected objects out, and refuse to prune networks if one is of a protected container that is stopped:
        an engine counts it as unused, and no filter leaves out objects by name. A container that waits for its restart
        is in no network either.
        """
        filters = dict(cast("Any", row.params.of(request)).filters)
        if filters.get("label!", [self._shown]) != [self._shown]:
            raise Denied(
                f"{row.name} is denied: with its filter label!, it would not leave out what is protected by the label "
                f"{self.label}, since an engine leaves out only what has all the labels of that filter"
            )
        filters["label!"] = [self._shown]
        if row.name == "NetworkPrune":
            for each in await listed("containers", {"label": self._shown}, request, sender):
                if each.get("State") not in ("running", "paused") and _own_networks(each):
                    raise Denied(
                        f"{row.name} is denied: it would remove networks of containers/{_name_of(each)}, "
                        f"which is stopped, and protected by the label {self.label}"
                    )
        return request.replace(params={**request.params, "filters": encode(filters)})

    async def _guard_names(self, row: Row, request: Request, sender: Sender) -> None:
        """Refuse what takes a name from a protected image. Nobody looks into what is loaded: it may have any."""
        given = {each.value for each in readings.demands(row, request) if each.kind in (names.TAGS, names.IMAGES)}
        same = (
            (await described("images", request.path[1], request, sender)).get("Id") if row.name == "ImageTag" else None
        )
        for image in await listed("images", {"label": self._shown}, request, sender):
            for tag in _tags_of(image) if image.get("Id") != same else ():
                if row.name == "ImageLoad" or {tag, f"{references.repository(tag)}:*"} & given:
                    raise Denied(
                        f"{row.name} is denied: it can take the name {tag} from an image that is protected by the "
                        f"label {self.label}"
                    )

    async def _guard_swarm(self, row: Row, request: Request, sender: Sender) -> None:
        """Refuse to leave a swarm with protected objects: a manager that leaves may lose what is the swarm's."""
        info: object = (await call(sender, Request(Verb.GET, ("info",), meta=request.meta.of_caller()))).value
        kinds = {"containers": "label"}
        if inside(info, "Swarm", "ControlAvailable") is not False:
            kinds |= {"services": "label", "secrets": "label", "configs": "label", "nodes": "node.label"}
        for kind, filter in kinds.items():
            if await listed(kind, {filter: self._shown}, request, sender):
                raise Denied(f"{row.name} is denied: there are {kind} that are protected by the label {self.label}")


def _tags_of(image: Mapping[str, Any]) -> list[str]:
    """Return the names of an image in a list, with their registries."""
    tags: object = image.get("RepoTags") or []
    if not isinstance(tags, list):
        raise BadAnswer("a malformed list of images")
    return [qualified(str(tag)) for tag in cast("list[object]", tags) if tag != _NO_TAG]


def _name_of(container: Mapping[str, Any]) -> str:
    """Return the name of a container in a list."""
    names: object = container.get("Names")
    return str(cast("list[object]", names)[0]).removeprefix("/") if isinstance(names, list) and names else "?"


def _networks(container: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the networks of a container in a list, by the names, or the ids, under which it was put into them."""
    networks = inside(container, "NetworkSettings", "Networks")
    if not isinstance(networks, Mapping):
        raise BadAnswer("a malformed list of containers")
    return cast("Mapping[str, object]", networks)


def _own_networks(container: Mapping[str, Any]) -> bool:
    """Return whether a container is in a network that can be removed."""
    return bool(_networks(container).keys() - {"bridge", "host", "none"})


def _is_in(container: Mapping[str, Any], network: Inspected) -> bool:
    """Return whether a container is in a network, or will be when it starts: then the engine has no id for it yet."""
    for key, each in _networks(container).items():
        id = inside(each, "NetworkID")
        if id == network.id or (not id and (key == network.name or network.id.startswith(key))):
            return True
    return False


def _mounts(container: Mapping[str, Any], volume: Inspected) -> bool:
    """Return whether a container mounts a volume."""
    mounts: object = container.get("Mounts")
    if not isinstance(mounts, list):
        raise BadAnswer("a malformed list of containers")
    return any(inside(each, "Name") == volume.id for each in cast("list[object]", mounts))
