"""The operations of images."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from swarmlib import NotFound, Request, SwarmError, Unsupported

from ..dockerapi import platforms
from ..dockerapi.filters import flag
from ..dockerapi.matching import glob
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ImageCreate, ImageInspect, ImageList
from ..dockerapi.platforms import HERE
from ..dockerapi.references import full, is_digest, looked_for, normal, repository, tagged
from ..dockerapi.status import to_tell_in_band
from ..enginekit.configs import NO_CONFIG
from ..enginekit.events import Events
from ..enginekit.filters import checked, labels_wanted
from ..enginekit.operations import answers, ref_of
from .credentials import Credentials
from .images import Images, Known

_CREDENTIALS: Final = "x-registry-auth"
_FILTERS: Final = frozenset({"dangling", "label", "reference"})


class ImageOperations:
    """Answers what is asked of images, and looks them up in their registries.

    driver: what an inspection shows as the driver of their layers.
    """

    def __init__(self, images: Images, events: Events, driver: str) -> None:
        self._images = images
        self._events = events
        self._driver = driver

    @answers("ImageCreate")
    async def _pull(self, request: Request) -> None:
        """Look an image up in its registry. It is pulled when a container needs it."""
        asked, reply = ImageCreate.of(request), request.reply
        if not asked.from_image:
            raise Unsupported("images are not imported: push the image to a registry")
        name, tag = asked.from_image.removesuffix(":"), asked.tag
        ref = f"{repository(normal(name))}@{tag}" if is_digest(tag) else tagged(name, tag)
        platform = platforms.read(asked.platform) if asked.platform else HERE
        try:
            known = await self._images.pull(ref, _credentials(request), platform)
        except SwarmError as exc:
            raise to_tell_in_band(exc) from exc
        shown = full(ref).partition("/")[2]
        await reply.set({"status": f"Pulling from {repository(shown)}", "id": ref.rpartition(":")[2]})
        await reply.set({"status": f"Digest: {known.found.digest}"})
        await reply.set({"status": f"Status: {ref} is in its registry; it is pulled when a container needs it"})
        self._events.tell_object("image", "pull", ref, {"name": repository(ref)})

    @answers("ImageInspect")
    async def _inspect(self, request: Request) -> dict[str, Any]:
        ref = ref_of(request)
        if ImageInspect.of(request).platform:
            raise Unsupported("images are inspected for the platform of the containers only")
        known = await self._images.named(ref)
        if known is None:  # a client pulls it then
            raise NotFound(f"no such image: {ref}: No such image: {looked_for(ref)}")
        about = known.found.about
        return {
            "Id": known.shown_id,
            "RepoTags": [tag for each in self._same(known) for tag in _tags(each)],
            "RepoDigests": [known.pulled],
            "Parent": "",
            "Comment": "",
            "Created": str(about.get("created") or "1970-01-01T00:00:00Z"),
            "Author": str(about.get("author") or ""),
            "Config": NO_CONFIG | known.found.config,
            "Architecture": str(about.get("architecture") or ""),
            "Os": str(about.get("os") or ""),
            "Size": known.found.size,
            "VirtualSize": known.found.size,
            "GraphDriver": {"Name": self._driver, "Data": None},
            "RootFS": {"Type": "layers", "Layers": list_of(dict_of(about.get("rootfs")).get("diff_ids"))},
            "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        }

    def _same(self, known: Known) -> list[Known]:
        """Return an image under all of its names."""
        others = (each for each in self._images.known() if each.shown_id == known.shown_id and each.name != known.name)
        return [known, *others]

    @answers("ImageHistory")
    async def _history(self, request: Request) -> None:
        raise Unsupported("history is not supported: only the registry of an image knows its layers")

    @answers("ImageList")
    async def _list(self, request: Request) -> list[Any]:
        wanted = checked(ImageList.of(request).filters, _FILTERS)
        dangling = "dangling" in wanted and flag(wanted, "dangling", ["true"], ["false"])
        patterns = [glob(pattern, any_character="[^/]") for pattern in wanted.get("reference", [])]
        await self._images.settled()
        return [
            summary(each)
            for each in reversed(self._images.known())
            if not (dangling and each.name)
            and labels_wanted(dict_of(each.found.config.get("Labels")), wanted)
            and (not patterns or any(fits(each.name) or fits(repository(each.name)) for fits in patterns))
        ]

    @answers("DistributionInspect")
    async def _distribution(self, request: Request) -> dict[str, Any]:
        known = await self._images.find(ref_of(request), _credentials(request))
        about = known.found.about
        return {
            "Descriptor": {"mediaType": "", "digest": known.found.digest, "size": known.found.size},
            "Platforms": [{"architecture": about.get("architecture"), "os": about.get("os")}],
        }


def _credentials(request: Request) -> Credentials:
    """Return the credentials that a client sends along."""
    return Credentials.read(next((value for name, value in request.meta.headers if name == _CREDENTIALS), ""))


def _tags(known: Known) -> list[str]:
    return [] if not known.name or "@" in known.name else [known.name]


def _digests(known: Known) -> list[str]:
    """Return the digest of an image for a list: one that is not of the name's repository would be a row of its own."""
    own = not known.name or repository(known.name) == repository(known.pulled)
    return [known.pulled] if own else []


def summary(known: Known) -> dict[str, Any]:
    """Return an image as lists show it."""
    found = known.found
    return {
        "Containers": -1,
        "Created": int(_moment(str(found.about.get("created") or ""))),
        "Id": known.shown_id,
        "Labels": dict_of(found.config.get("Labels")) or None,
        "ParentId": "",
        "RepoDigests": _digests(known),
        "RepoTags": _tags(known),
        "SharedSize": -1,
        "Size": found.size,
        "VirtualSize": found.size,
    }


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
