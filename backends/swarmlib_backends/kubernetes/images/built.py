"""The images that were built, loaded or tagged through a gateway: a ConfigMap for each name says where the image is.

The images themselves are in a registry. Every gateway of the namespace knows them by these names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from swarmlib import BadAnswer, Conflict, NotFound, SwarmError

from ...dockerapi import strictjson
from ...dockerapi.nullable import dict_of
from ...dockerapi.references import id_beginning, is_digest, normal, repository
from ...dockerapi.schema import Wrong
from ...registry.client import Found, config_of
from ..api.errors import reason_of
from ..api.resources import CONFIG_MAPS
from ..cluster import Cluster
from ..following import Body
from ..pods import names

KIND: Final = "image"
"""The kind (`names.KIND`) of the ConfigMaps."""
_KEY: Final = "image.json"
_VERSION: Final = 1


@dataclass(frozen=True)
class BuiltImage:
    """An image with a name of its own.

    name: a normal reference; "" for an image that was built without one. id: as it is shown. reference: by which it is
    pulled, with a digest. made: when it got its name, in seconds since the epoch.
    """

    name: str
    id: str
    reference: str
    made: float
    found: Found

    @property
    def config_map_name(self) -> str:
        """The name of its ConfigMap: an image replaces another one of the same name."""
        return names.image_name(self.name or self.id)

    def config_map(self) -> Body:
        """Return the ConfigMap that tells of it."""
        about = self.found.about
        given = _Written(_VERSION, self.name, self.id, self.reference, self.made, about, self.found.size)
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.config_map_name, "labels": names.own_labels(KIND)},
            "data": {_KEY: msgspec.json.encode(given).decode()},
        }


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    name: str
    id: str
    reference: str
    made: float
    about: dict[str, Any]
    size: int


def read(config_map: Body) -> BuiltImage:
    """Return the image that a ConfigMap tells of. Raises `BadAnswer` if it tells of none."""
    about = config_map["metadata"]
    try:
        data = strictjson.read(str(dict_of(config_map.get("data")).get(_KEY, "")).encode(), _KEY)
        given = msgspec.convert(data, _Written)
        _check(given)
        digest = given.reference.rpartition("@")[2]
        found = Found(digest, config_of(given.about, given.reference), given.about, given.size)
        image = BuiltImage(given.name, given.id, given.reference, given.made, found)
        if image.config_map_name != about["name"]:
            raise Wrong(f"tells of {given.name!r:.80}, which has another ConfigMap")
    except (Wrong, SwarmError, msgspec.ValidationError) as exc:
        raise BadAnswer(f"the ConfigMap {about['name']} tells of no image: {exc}") from exc
    return image


def _check(given: _Written) -> None:
    if given.version != _VERSION:
        raise Wrong(f"has the version {given.version}: this swarmlib knows {_VERSION}")
    if given.name and normal(given.name) != given.name:
        raise Wrong(f"has the name {given.name!r:.80}, which is not a normal reference")
    if not is_digest(given.id) or "@" not in normal(given.reference):
        raise Wrong("lacks an id or the digest of its reference")


class BuiltImages:
    """The images of a namespace that have names of their own, as the mirror of its ConfigMaps knows them."""

    def __init__(self, cluster: Cluster, now: Callable[[], float]) -> None:
        self._cluster = cluster
        self._now = now
        self._images: dict[str, BuiltImage] = {}
        """By the names of their ConfigMaps."""
        cluster.mirror.others[KIND] = self._note

    def _note(self, body: Body, gone: bool) -> None:
        name = body["metadata"]["name"]
        self._images.pop(name, None)
        if not gone:
            try:
                self._images[name] = read(body)
            except BadAnswer as exc:
                self._cluster.mirror.left_out(exc)

    def __iter__(self) -> Iterator[BuiltImage]:
        return iter(self._images.values())

    def find(self, ref: str) -> BuiltImage | None:
        """Return an image by its name, or by its id or a prefix of that; None if there is none, or more than one id."""
        with suppress(SwarmError):  # an id is no reference
            if (named := self._images.get(names.image_name(normal(ref)))) is not None:
                return named
        found = self.with_id(ref)
        return found[0] if len({each.id for each in found}) == 1 else None

    def with_id(self, ref: str) -> list[BuiltImage]:
        """Return the images, one for each name, whose id begins so."""
        beginning = id_beginning(ref)
        return [each for each in self if beginning and each.id.startswith(beginning)]

    def of_repository(self, name: str) -> list[BuiltImage]:
        """Return the images whose names are of a repository."""
        return [each for each in self if each.name and repository(each.name) == name]

    async def put(self, name: str, id: str, reference: str, found: Found) -> BuiltImage:
        """Give an image a name, which it takes from any other, and return it; the arguments are as in `BuiltImage`.

        Raises:
            SwarmError: the cluster's error.
        """
        image = BuiltImage(name, id, reference, self._now(), found)
        body = image.config_map()
        try:
            written = await self._cluster.api.post(CONFIG_MAPS.path(self._cluster.namespace), body)
        except Conflict as exc:
            if reason_of(exc) != "AlreadyExists":
                raise
            path = CONFIG_MAPS.path(self._cluster.namespace, body["metadata"]["name"])
            written = await self._cluster.api.put(path, body)
        await self._cluster.mirror.seen(written)
        return image

    async def remove(self, image: BuiltImage) -> None:
        """Take the name from an image; what is in the registry stays. Raises `SwarmError`: the cluster's error."""
        name = image.config_map_name
        with suppress(NotFound):
            await self._cluster.api.delete(CONFIG_MAPS.path(self._cluster.namespace, name))
        what = f"tell of the removal of {image.name or image.id}"
        await self._cluster.mirror.until(CONFIG_MAPS, lambda: self._images.get(name) != image, what)
