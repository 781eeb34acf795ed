"""The names of images: given to them, and taken from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from swarmlib import Conflict, Denied, NotFound, Request, SwarmError, Unsupported

from ...dockerapi.filters import flag
from ...dockerapi.nullable import dict_of
from ...dockerapi.operations import ImageDelete, ImagePrune, ImageTag
from ...dockerapi.references import looked_for, normal, tagged
from ...dockerapi.status import refusal
from ...enginekit.events import Events
from ...enginekit.filters import PRUNE_FILTERS, pruned
from ...enginekit.operations import answers, ref_of
from ...registry.credentials import Credentials
from ..container import PodContainer
from .built import BuiltImage
from .images import NamedImages

_SHORT = 12


class Naming:
    """Answers what is asked of the names of images. What is in a registry stays there."""

    def __init__(
        self, images: NamedImages, events: Events, containers: Iterable[PodContainer], now: Callable[[], float]
    ) -> None:
        self._images = images
        self._events = events
        self._containers = containers
        self._now = now

    @answers("ImageTag")
    async def _tag(self, request: Request) -> None:
        asked = ImageTag.of(request)
        name = tagged(asked.repo, asked.tag)
        ref = ref_of(request)
        try:
            known = await self._images.find(ref)
        except (Denied, NotFound) as exc:
            raise refusal(404, f"No such image: {looked_for(ref)}") from exc
        if known.credentials != Credentials():
            raise Unsupported(f"{known.name} wants credentials: nodes can't pull it by another name")
        await self._images.built.put(name, known.shown_id, known.pulled, known.found)
        self._events.tell_object("image", "tag", known.shown_id, {"name": name})

    @answers("ImageDelete")
    async def _delete(self, request: Request) -> list[dict[str, str]]:
        ref, built = ref_of(request), self._images.built
        found = built.find(ref)
        if found is None:
            if await self._images.named(ref) is not None:
                raise Unsupported(f"a cluster can't remove {ref}: it is an image of its registry")
            raise refusal(404, f"No such image: {looked_for(ref)}")
        same = built.with_id(found.id)
        by_id = not _is_name(ref, found.name)
        if by_id and len(same) > 1 and not ImageDelete.of(request).force:
            short = found.id.removeprefix("sha256:")[:_SHORT]
            where = "image is referenced in multiple repositories"
            raise Conflict(f"conflict: unable to delete {short} (must be forced) - {where}")
        gone = same if by_id else [found]
        untagged = [told for each in gone for told in await self._removed(each)]
        return [*untagged, *([{"Deleted": found.id}] if len(gone) == len(same) else [])]

    @answers("ImagePrune")
    async def _prune(self, request: Request) -> dict[str, Any]:
        """Forget the images that no container is made of: those without names, or all that have names of their own."""
        wanted = ImagePrune.of(request).filters
        fits = pruned(wanted, self._now(), {*PRUNE_FILTERS, "dangling"})
        everything = "dangling" in wanted and flag(wanted, "dangling", ("false", "0"), ("true", "1"))
        used = {each.record.image.digest for each in self._containers if each.record.image is not None}
        gone = [
            each
            for each in self._images.built
            if each.id not in used
            and (everything or not each.name)
            and fits(dict_of(each.found.config.get("Labels")), each.made)
        ]
        told = [line for each in gone for line in await self._removed(each)]
        told += [{"Deleted": id} for id in dict.fromkeys(each.id for each in gone)]
        self._events.tell_object("image", "prune", "", {"reclaimed": "0"})
        return {"ImagesDeleted": told or None, "SpaceReclaimed": 0}

    async def _removed(self, image: BuiltImage) -> list[dict[str, str]]:
        """Take its name from an image; returns what is told of it."""
        await self._images.built.remove(image)
        self._events.tell_object("image", "untag", image.id, {"name": image.name} if image.name else {})
        return [{"Untagged": image.name}] if image.name else []


def _is_name(ref: str, name: str) -> bool:
    try:
        return normal(ref) == name
    except SwarmError:  # it is an id
        return False
