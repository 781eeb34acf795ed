"""The operations of images: lists, inspections, tags, pushes, searches, and removing them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote_plus

from swarmlib import NotFound, Request

from ..dockerapi.filters import flag
from ..dockerapi.matching import Matches, glob
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ImageDelete, ImageList, ImagePrune, ImagePush, ImageSearch, ImageTag
from ..dockerapi.references import familiar, normal, repository, tagged
from ..dockerapi.status import refusal, restated, to_tell_in_band
from ..dockerapi.values import stamp
from ..enginekit.configs import NO_CONFIG
from ..enginekit.filters import IMAGES, PRUNE_FILTERS, checked, labels_wanted, pruned
from ..enginekit.operations import answers, ref_of
from .engine import Family
from .image import Image
from .paths import graph_driver
from .registries import DOCKER_HUB, unreachable
from .request_fields import as_given

_SEARCH: Final = "https://index.docker.io/v1/search"


class ImageOperations(Family):
    """Answers what is asked of images."""

    @answers("ImageList")
    async def _ls(self, request: Request) -> list[Any]:
        asked = ImageList.of(request)
        wanted = checked(asked.filters, IMAGES)
        dangling = flag(wanted, "dangling", ["true"], ["false"]) if "dangling" in wanted else None
        bounds = {
            name: self.engine.images.find(wanted[name][0]).created for name in ("before", "since") if wanted.get(name)
        }
        references = [glob(pattern, any_character="[^/]") for pattern in wanted.get("reference", [])]
        newest = sorted(self.engine.images, key=lambda image: -image.created)
        listed = [
            each for each in newest if dangling in (None, each.dangling) and (asked.all or not self._between(each))
        ]
        shown = [(each, self._chosen(each, wanted, bounds, references)) for each in listed]
        return [self.engine.images.summary(each, tags) for each, tags in shown if tags is not None]

    def _chosen(
        self, image: Image, wanted: dict[str, list[str]], bounds: dict[str, float], references: list[Matches]
    ) -> list[str] | None:
        """Return the tags of an image that a list shows; None if it doesn't show it."""
        if image.created >= bounds.get("before", float("inf")) or image.created <= bounds.get("since", 0.0):
            return None
        if not labels_wanted(dict_of(image.config.get("Labels")), wanted):
            return None
        if references:
            tags = [tag for tag in image.tags if any(fits(tag) or fits(repository(tag)) for fits in references)]
            return tags or None
        return image.tags

    def _between(self, image: Image) -> bool:
        """Return whether it is only a step of another image's build, which lists leave out unless all are asked for."""
        return not image.tags and bool(self.engine.images.children(image))

    @answers("ImageInspect")
    async def _get(self, request: Request) -> dict[str, Any]:
        ref = ref_of(request)
        with restated(f"no such image: {ref}: "):
            image = self.engine.images.find(ref)
        return {
            "Id": image.id,
            "RepoTags": sorted(image.tags),
            "RepoDigests": image.digests,
            "Parent": image.parent.id if image.parent else "",
            "Comment": image.origin.comment,
            "Created": stamp(image.created),
            "Container": image.origin.container,
            "ContainerConfig": {**NO_CONFIG, **image.origin.config},
            "DockerVersion": "20.10",
            "Author": image.origin.author,
            "Config": image.config,
            "Architecture": "amd64",
            "Os": "linux",
            "Size": image.size,
            "VirtualSize": image.size,
            "GraphDriver": graph_driver(image.short, "MergedDir", "UpperDir", "WorkDir"),
            "RootFS": {"Type": "layers", "Layers": list(image.layers)},
            "Metadata": {"LastTagTime": stamp(image.created)},
        }

    @answers("ImageHistory")
    async def _history(self, request: Request) -> list[Any]:
        image: Image | None = self.engine.images.find(ref_of(request))
        shown: list[Any] = []
        while image is not None:
            size = image.size - (image.parent.size if image.parent else 0)
            by = " ".join(list_of(image.origin.config.get("Cmd")))
            about = {"Comment": image.origin.comment, "Created": int(image.created), "CreatedBy": by, "Id": image.id}
            shown.append(about | {"Size": size, "Tags": sorted(image.tags) or None})
            image = image.parent
        return shown

    @answers("ImageTag")
    async def _tag(self, request: Request) -> None:
        image = self.engine.images.find(ref_of(request))
        asked = ImageTag.of(request)
        ref = tagged(asked.repo, asked.tag, status=500)
        self.engine.images.tag(image, ref)
        self.engine.images.tell("tag", image, as_given(asked))

    @answers("ImagePush")
    async def _push(self, request: Request) -> None:
        if request.meta.header("x-registry-auth") is None and request.json is None:
            raise refusal(400, "Bad parameters and missing X-Registry-Auth: EOF")
        reply = request.reply
        ref = tagged(ref_of(request), ImagePush.of(request).tag, status=500)
        await reply.set({"status": f"The push refers to repository [docker.io/{repository(ref)}]"})
        image = self.engine.images.tags.get(ref)
        if image is None:
            raise to_tell_in_band(NotFound(f"An image does not exist locally with the tag: {repository(ref)}"))
        if not self.engine.online:
            raise to_tell_in_band(unreachable(DOCKER_HUB))
        await reply.set({"status": "Pushed", "progressDetail": {}, "id": image.layers[0].removeprefix("sha256:")[:12]})
        await reply.set({"status": f"{ref.rpartition(':')[2]}: digest: {image.id} size: 1"})
        self.engine.images.tell("push", image, familiar(ref))

    @answers("ImageSearch")
    async def _search(self, request: Request) -> list[Any]:
        asked = ImageSearch.of(request)
        checked(asked.filters, {"is-automated", "is-official", "stars"})
        term, limit = asked.term, 25 if asked.limit is None else asked.limit
        if not 1 <= limit <= 100:
            raise refusal(400, f"Limit {limit} is outside the range of [1, 100]")
        if not self.engine.online:
            raise unreachable(f"{_SEARCH}?q={quote_plus(term)}&n={limit}")
        names = sorted({repository(tag) for tag in self.engine.images.tags if term in tag})
        about = {"description": "", "is_automated": False, "star_count": 0}
        return [{**about, "name": name, "is_official": "/" not in name} for name in names[:limit]]

    # Removing.

    @answers("ImageDelete")
    async def _rm(self, request: Request) -> list[Any]:
        ref, asked = ref_of(request), ImageDelete.of(request)
        image = self.engine.images.find(ref)
        prune, force = not asked.noprune, asked.force
        if image.id.startswith(f"sha256:{ref.removeprefix('sha256:')}"):
            return self._rm_by_id(image, force, prune)
        users = self.engine.containers_of(image)
        if users and not force and len(image.tags) == 1:
            raise refusal(
                409,
                f'conflict: unable to remove repository reference "{ref}" (must force) - '
                f"container {users[0].id[:12]} is using its referenced image {image.short}",
            )
        told = self.engine.images.untag_repository(image, normal(ref))
        if not image.tags and not image.digests and not users and not self.engine.images.children(image):
            told += self.engine.images.delete(image, prune)
        return told

    def _rm_by_id(self, image: Image, force: bool, prune: bool) -> list[Any]:
        hard, soft = self._in_the_way(image)
        problem = hard or (None if force else soft)
        if problem:
            forced = "cannot be forced" if hard else "must be forced"
            raise refusal(409, f"conflict: unable to delete {image.short} ({forced}) - {problem}")
        return self.engine.images.remove(image, prune)

    def _in_the_way(self, image: Image) -> tuple[str, str]:
        """Return what keeps an image from being deleted, whatever is asked, and unless it is forced."""
        users = self.engine.containers_of(image)
        running = next((each for each in users if each.running), None)
        if self.engine.images.children(image):
            return "image has dependent child images", ""
        if running is not None:
            return f"image is being used by running container {running.id[:12]}", ""
        if len({repository(tag) for tag in image.tags}) > 1:
            return "", "image is referenced in multiple repositories"
        if users:
            return "", f"image is being used by stopped container {users[0].id[:12]}"
        return "", ""

    @answers("ImagePrune")
    async def _prune(self, request: Request) -> dict[str, Any]:
        wanted = ImagePrune.of(request).filters
        fits = pruned(wanted, self.engine.clock.now(), {*PRUNE_FILTERS, "dangling"})
        everything = "dangling" in wanted and flag(wanted, "dangling", ("false", "0"), ("true", "1"))
        told: list[Any] = []
        freed = 0
        for image in list(self.engine.images):
            used = self.engine.containers_of(image) or self.engine.images.children(image)
            free = image in self.engine.images and not used and (everything or image.dangling)
            if free and fits(image.config.get("Labels"), image.created):
                freed += image.size
                told += self.engine.images.remove(image, prune=True)
        self.engine.tell_of("image", "prune", "", {"reclaimed": str(freed)})
        return {"ImagesDeleted": told or None, "SpaceReclaimed": freed}
