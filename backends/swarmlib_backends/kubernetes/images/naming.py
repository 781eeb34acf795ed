"""The names of images: given to them, and taken from them."""

from __future__ import annotations

from swarmlib import Conflict, Denied, NotFound, Request, SwarmError, Unsupported

from ...dockerapi.operations import ImageDelete, ImageTag
from ...dockerapi.references import looked_for, normal, tagged
from ...dockerapi.status import refusal
from ...enginekit.events import Events
from ...enginekit.operations import answers, ref_of
from ...registry.credentials import Credentials
from .images import NamedImages

_SHORT = 12


class Naming:
    """Answers what is asked of the names of images. What is in a registry stays there."""

    def __init__(self, images: NamedImages, events: Events) -> None:
        self._images = images
        self._events = events

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
        for each in gone:
            await built.remove(each)
            self._events.tell_object("image", "untag", each.id, {"name": each.name} if each.name else {})
        untagged = [{"Untagged": each.name} for each in gone if each.name]
        return [*untagged, *([{"Deleted": found.id}] if len(gone) == len(same) else [])]


def _is_name(ref: str, name: str) -> bool:
    try:
        return normal(ref) == name
    except SwarmError:  # it is an id
        return False
