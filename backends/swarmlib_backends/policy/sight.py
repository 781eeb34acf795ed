"""What an owner may see of an engine's objects, and of the objects that these refer to."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from swarmlib import Json, Meta, NotFound, Path, Request, Sender, SwarmError, Verb
from swarmlib.asking import call

from ..dockerapi import references
from ..dockerapi.filters import encode
from . import names
from .demands import Demand
from .grants import Grants
from .ownership import Owner, missing

_PREDEFINED: Final = frozenset({"bridge", "host", "none", "default", "nat", ""})
"""The networks that every engine has."""
_ANONYMOUS: Final = re.compile(r"[0-9a-f]{64}")
"""The name of a volume that an engine made for a container, which belongs to whom the container does."""
_MOST_KEPT: Final = 1024 * 1024
_OTHERS_MODE: Final = "container:"
_DIGEST: Final = "sha256:"
Object: TypeAlias = dict[str, Any]


class Repeats:
    """The last answer to each operation, as it came and as it is shown: who polls mostly gets the same again.

    Only answers are kept whose sight depends on nothing but themselves and the rule.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, Json]] = {}

    def shown(self, operation: str, given: Json) -> Json | None:
        """Return what is shown of an answer, if it is the same as the last one."""
        kept = self._kept.get(operation)
        return kept[1] if kept is not None and kept[0] == given.raw else None

    def keep(self, operation: str, given: Json, shown: Json) -> None:
        """Keep an answer, unless it is large."""
        if len(given.raw) <= _MOST_KEPT:
            self._kept[operation] = given.raw, shown


@dataclass(slots=True)
class Sight:
    """What an owner may see on an engine. Each kind of object is listed once, when it is first needed.

    Attributes:
        owner: whose objects are seen.
        grants: what the rule allows besides: images, networks and volumes that are nobody's.
        meta: of the call that is answered.
        sender: where objects are listed.
        repeats: what was shown before by the same rule.
    """

    owner: Owner
    grants: Grants
    meta: Meta
    sender: Sender
    repeats: Repeats
    _listed: dict[str, Sequence[Object]] = field(default_factory=dict[str, Sequence[Object]])

    @property
    def needed_lists(self) -> bool:
        """Whether objects had to be listed, so that the same answer may be shown otherwise the next time."""
        return bool(self._listed)

    async def resolve_image(self, request: Request) -> Request:
        """Return the request about an image with the image's id.

        Raises:
            SwarmError: the engine's error for an image that does not exist, also if it is hidden.
        """
        kind, name, *rest = request.path
        try:
            found = object_of(await self._ask(Verb.GET, (kind, name)))
        except NotFound:
            raise await self._missing_image(name, request) from None
        if self.image(found, object_of(found.get("Config")).get("Labels")) is None:
            raise await self._missing_image(name, request)
        return request.replace(path=(kind, str(found["Id"]), *rest))

    async def _missing_image(self, name: str, request: Request) -> SwarmError:
        """Return the engine's error for an image that surely does not exist, with this name in it."""
        nobody = secrets.token_hex(32)
        if name.startswith(_DIGEST) or references.is_id(name):
            shown = name.removeprefix(_DIGEST)
            asked = name.replace(shown, nobody)
        else:
            before, slash, last = name.rpartition("/")
            shown = re.split("[:@]", last)[0]
            nobody = f"nobody-{nobody}"
            asked = before + slash + nobody + last.removeprefix(shown)
        path = (request.path[0], asked, *request.path[2:])
        return await missing(request.replace(path=path), nobody, shown, self.sender)

    async def listed(self, kind: str) -> Sequence[Object]:
        """Return the owner's objects of a kind, as a list shows them; of the images, those that it may see."""
        if kind not in self._listed:
            params: dict[str, str] = {"all": "1"} if kind == "containers" else {}
            if kind != "images":
                params["filters"] = encode({"label": [f"{self.owner.label}={self.owner.value}"]})
            found = await self._ask(Verb.LS, (kind,), **params)
            self._listed[kind] = self.images(found) if kind == "images" else self.owned(_within(kind, found))
        return self._listed[kind]

    def owned(self, given: Any) -> list[Object]:
        """Return those of some listed objects that are the owner's."""
        return [each for each in objects_of(given) if self.owner.owns(object_of(each.get("Labels")))]

    async def _ask(self, verb: Verb, path: Path, **params: str) -> Any:
        return (await call(self.sender, Request(verb, path, params, meta=self.meta.of_caller()))).value

    async def names(self, kind: str) -> Collection[str]:
        """Return the ids and names of the owner's objects of a kind, without the slash before a container's."""
        found = await self.listed(kind)
        names = {str(each.get("Name")) for each in found} | {str(each.get("Id")) for each in found}
        return names | {name.removeprefix("/") for each in found for name in texts_of(each.get("Names"))}

    def images(self, given: Any) -> Sequence[Object]:
        """Return the images that are the owner's, or have a name that the rule allows, with these names only."""
        shown = (self.image(each, each.get("Labels")) for each in objects_of(given))
        return [each for each in shown if each is not None]

    def image(self, image: Object, labels: Any) -> Object | None:
        """Return an image as the owner sees it; None if it is hidden. What it was made from is left out."""
        left = image | dict.fromkeys({"Parent", "ParentId", "Container"} & image.keys(), "")
        if self.owner.owns(object_of(labels)):
            return left
        tags = self.allowed_tags(image.get("RepoTags"))
        repositories = {references.repository(tag) for tag in tags}
        digests = [
            each
            for each in texts_of(image.get("RepoDigests"))
            if self._allows_image(each) or references.repository(each) in repositories
        ]
        return {**left, "RepoTags": tags, "RepoDigests": digests} if tags or digests else None

    def allowed_tags(self, tags: Any) -> list[str]:
        """Return the names of images that the rule allows."""
        return [each for each in texts_of(tags) if self._allows_image(each)]

    async def of_container(self, given: Object) -> Object:
        """Return a container of the owner's, listed or inspected, without references to what is hidden."""
        left = {**given}
        if isinstance(given.get("Names"), list):  # those of links from others' containers are theirs
            left["Names"] = [name for name in texts_of(given["Names"]) if "/" not in name[1:]]
        if "Mounts" in given:
            mounts = objects_of(given["Mounts"])
            left["Mounts"] = [each for each in mounts if await self._sees_volume(str(each.get("Name") or ""))]
        if isinstance(settings := given.get("NetworkSettings"), dict):
            left["NetworkSettings"] = await self._settings(cast("Object", settings))
        if isinstance(host := given.get("HostConfig"), dict):
            left["HostConfig"] = await self._host(cast("Object", host))
        return left

    async def _settings(self, settings: Object) -> Object:
        networks = dict[str, Any]()
        for name, each in object_of(settings.get("Networks")).items():
            if await self._sees_network(name):
                endpoint = object_of(each)
                links = endpoint.get("Links")
                networks[name] = {**endpoint, "Links": await self._own_links(links)} if links else endpoint
        return {**settings, "Networks": networks} if "Networks" in settings else settings

    async def _host(self, host: Object) -> Object:
        left = {**host}
        for name in ("NetworkMode", "IpcMode", "PidMode"):
            if isinstance(mode := host.get(name), str) and not await self._sees_mode(mode, network=name[0] == "N"):
                left[name] = ""
        for name in ("Links", "VolumesFrom"):
            if host.get(name):
                left[name] = await self._own_links(host[name])
        if host.get("Binds"):
            binds = texts_of(host["Binds"])
            left["Binds"] = [each for each in binds if await self._sees_volume(each.partition(":")[0])]
        if host.get("Mounts"):
            mounts = objects_of(host["Mounts"])
            left["Mounts"] = [each for each in mounts if await self._sees_volume(str(each.get("Source") or ""))]
        return left

    async def _own_links(self, links: Any) -> list[str]:
        """Return those of some links, or of the containers whose volumes are used, that lead to own containers."""
        own = await self.names("containers")
        return [each for each in texts_of(links) if each.partition(":")[0].removeprefix("/") in own]

    async def _sees_mode(self, mode: str, *, network: bool) -> bool:
        if mode.startswith(_OTHERS_MODE):
            return mode.removeprefix(_OTHERS_MODE) in await self.names("containers")
        return not network or await self._sees_network(mode)

    async def _sees_network(self, name: str) -> bool:
        if name in _PREDEFINED or self._allows("networks", name):
            return True
        return name in await self.names("networks")

    async def _sees_volume(self, name: str) -> bool:
        """Return whether a mount shows no volume of others; a mount of a folder has no name, or a path."""
        if not name or name.startswith("/") or _ANONYMOUS.fullmatch(name) or self._allows("volumes", name):
            return True
        return name in await self.names("volumes")

    def _allows_image(self, name: str) -> bool:
        return self.grants.allows(names.reference(names.IMAGES, name, ""))

    def _allows(self, kind: str, value: str) -> bool:
        return self.grants.allows(Demand(kind, value, ""))


def _within(kind: str, found: Any) -> Any:
    return object_of(found).get("Volumes") if kind == "volumes" else found


# What has not the form that it should have is left out of what an owner sees.


def object_of(given: Any) -> Object:
    """Return a JSON object; an empty one if it is none."""
    return cast("Object", given) if isinstance(given, dict) else {}


def objects_of(given: Any) -> list[Object]:
    """Return the objects in a JSON list."""
    return [cast("Object", each) for each in _items(given) if isinstance(each, dict)]


def texts_of(given: Any) -> list[str]:
    """Return the texts in a JSON list."""
    return [each for each in _items(given) if isinstance(each, str)]


def _items(given: Any) -> list[Any]:
    return cast("list[Any]", given) if isinstance(given, list) else []
