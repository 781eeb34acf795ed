"""The images of an engine: a busybox from the start, and what is pulled, built, imported, committed or loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from swarmlib import NotFound

from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import ImageCreate
from ..dockerapi.references import is_digest, is_id, looked_for, normal, repository, tagged
from ..enginekit.configs import NO_CONFIG
from . import pulled
from .context import Context
from .files import Files, Node
from .image import Image, Origin, digest, layer_of
from .programs import PROGRAMS
from .registries import DOCKER_HUB, unreachable

Tell: TypeAlias = Callable[[dict[str, Any]], Awaitable[object]]
"""What is given the progress of something."""
_MADE_HERE: Final = Origin()


class ImageStore:
    """The images of an engine."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._images: dict[str, Image] = {}
        self._tags: dict[str, Image] = {}

    def __iter__(self) -> Iterator[Image]:
        return iter(self._images.values())

    def __len__(self) -> int:
        return len(self._images)

    def __contains__(self, image: Image) -> bool:
        return image.id in self._images

    @property
    def tags(self) -> Mapping[str, Image]:
        """The images by their normal references."""
        return self._tags

    # Finding.

    def lookup(self, ref: str, *, status: int = 400) -> Image | None:
        """Return an image by reference, id, or a prefix of its id; None if there is none.

        Raises:
            SwarmError: it is no reference; with `status`, as the calls of an engine differ in it.
        """
        id = ref.removeprefix("sha256:")
        if f"sha256:{id}" in self._images:
            return self._images[f"sha256:{id}"]
        named = None if is_id(id) or ref.startswith("sha256:") else self._tags.get(normal(ref, status=status))
        if named is not None:
            return named
        fitting = [image for each, image in self._images.items() if id and each.startswith(f"sha256:{id}")]
        return fitting[0] if len(fitting) == 1 else None

    def find(self, ref: str) -> Image:
        """Look it up as `lookup` does.

        Raises:
            NotFound: there is none.
        """
        found = self.lookup(ref)
        if found is None:
            raise NotFound(f"No such image: {looked_for(ref)}")
        return found

    def shown(self, ref: str, image: Image) -> str:
        """Return how a list of containers names an image: as the user wrote it, if that is still this image.

        It is nothing for one that a build made of nothing.
        """
        return ref if not ref or self.lookup(ref) is image else image.id

    def children(self, image: Image | None) -> list[Image]:
        """Return the images that were made of another one, or of none."""
        return [each for each in self._images.values() if each.parent is image]

    # Making and unmaking.

    def nothing(self) -> Image:
        """Return the base of a container that has no image; the store does not list it."""
        return Image("", self._context.clock.now(), {}, {})

    def add(
        self,
        ref: str | None,
        *,
        id: str = "",
        config: Mapping[str, Any] = NO_CONFIG,
        files: Mapping[str, Node],
        parent: Image | None = None,
        layers: tuple[str, ...] = (),
        origin: Origin = _MADE_HERE,
    ) -> Image:
        """Add a new image, tagged if it has a reference.

        id: its id, made up if it is empty. layers: the digests of its layers; without any it has a single one.
        """
        made = Image(
            id or f"sha256:{self._context.names.id()}",
            self._context.clock.now(),
            dict(config),
            files,
            parent=parent,
            layers=layers or (digest(layer_of(files)),),
            origin=origin,
        )
        self._images[made.id] = made
        if ref is not None:
            self.tag(made, ref)
        return made

    def add_child(self, parent: Image | None, files: Files, config: Mapping[str, Any], origin: Origin) -> Image:
        """Add a new image of what differs from another one, or from none."""
        content: Mapping[str, Node] = parent.files if parent else {}
        layers = parent.layers if parent else ()
        if files.changes():
            content, layers = files.over(content), (*layers, f"sha256:{self._context.names.id()}")
        return self.add(None, config=config, files=content, parent=parent, layers=layers, origin=origin)

    def add_runnable(self, ref: str) -> Image:
        """Return an image as one that was pulled."""
        return self.add(normal(ref), config=NO_CONFIG | pulled.config(ref), files=pulled.files(ref, list(PROGRAMS)))

    async def pull_asked(self, asked: ImageCreate, tell: Tell) -> None:
        """Pull what the parameters `fromImage` and `tag` name, for the platform that `platform` names.

        Raises:
            SwarmError: they name no image, or a platform that there are no images of; no registry can be reached.
        """
        name, tag = asked.from_image.removesuffix(":"), asked.tag
        ref = f"{repository(normal(name))}@{tag}" if is_digest(tag) else tagged(name, tag)
        if self._context.online and asked.platform:
            pulled.check_platform(asked.platform)
        await self.pull(ref, name, tell)

    async def pull(self, ref: str, name: str, tell: Tell) -> Image:
        """Pull a normal reference, which the user wrote as `name`, from the simulated registry; what is done is told.

        Raises:
            SwarmError: no registry can be reached.
        """
        if not self._context.online:
            raise unreachable(DOCKER_HUB)
        tag = ref.removeprefix(repository(ref)).lstrip(":@")
        shown = repository(ref) if "/" in ref else f"library/{repository(ref)}"
        await tell({"status": f"Pulling from {shown}", "id": tag})
        found = self._tags.get(ref)
        result = f"{'Image is up to date' if found else 'Downloaded newer image'} for {ref}"
        if found is None:
            found = self.add_runnable(ref)
            self.tag(found, f"{repository(ref)}@{pulled.digest(ref)}")
            layer = found.layers[0].removeprefix("sha256:")[:12]
            for step in ("Pulling fs layer", "Download complete", "Pull complete"):
                await tell({"status": step, "progressDetail": {}, "id": layer})
        await tell({"status": f"Digest: {pulled.digest(ref)}"})
        await tell({"status": f"Status: {result}"})
        self._context.tell_of("image", "pull", ref, {"name": name.partition(":")[0]})
        return found

    def tag(self, image: Image, ref: str) -> None:
        """Give an image a (normal) reference, which another may have had."""
        before = self._tags.get(ref)
        if before is not None:
            before.names(ref).remove(ref)
        self._tags[ref] = image
        image.names(ref).append(ref)
        self._context.all_changed()

    def untag(self, image: Image, tag: str) -> dict[str, str]:
        """Take a reference from an image; returns what an engine tells of it."""
        image.names(tag).remove(tag)
        del self._tags[tag]
        self._context.all_changed()
        self.tell("untag", image)
        return {"Untagged": tag}

    def untag_repository(self, image: Image, tag: str) -> list[dict[str, str]]:
        """Take a reference away, and with the last tag of its repository the digests that this had."""
        told, name = [self.untag(image, tag)], repository(tag)
        if any(repository(each) == name for each in image.tags):
            return told
        return told + [self.untag(image, each) for each in list(image.digests) if repository(each) == name]

    def remove(self, image: Image, prune: bool) -> list[dict[str, str]]:
        """Take all its references from an image, and delete it as `delete` does."""
        return [self.untag(image, name) for name in (*image.tags, *image.digests)] + self.delete(image, prune)

    def delete(self, image: Image, prune: bool) -> list[dict[str, str]]:
        """Delete an image, and with `prune` its parents that nothing needs; returns what an engine tells of it."""
        del self._images[image.id]
        self._context.tell_of("image", "delete", image.id, {"name": image.id})
        told = [{"Deleted": image.id}]
        parent = image.parent
        kept = parent.layers if parent else ()
        told += [{"Deleted": layer} for layer in reversed(image.layers) if layer not in kept]
        if parent is None:
            return told
        free = not (parent.tags or self._context.containers_of(parent) or self.children(parent))
        return told + (self.delete(parent, prune) if prune and free else [])

    def tell(self, action: str, image: Image, name: str | None = None) -> None:
        """Make an event of what happened to an image."""
        labels = dict_of(image.config.get("Labels"))
        self._context.tell_of("image", action, image.id, {**labels, "name": name or image.id})

    # Sizes.

    def summary(self, image: Image, tags: list[str], containers: int = -1) -> dict[str, Any]:
        """Return an image in a list."""
        return {
            "Containers": containers,
            "Created": int(image.created),
            "Id": image.id,
            "Labels": image.config.get("Labels"),
            "ParentId": image.parent.id if image.parent else "",
            "RepoDigests": image.digests or (None if image.tags else ["<none>@<none>"]),
            "RepoTags": sorted(tags) or (None if image.digests else ["<none>:<none>"]),
            "SharedSize": -1,
            "Size": image.size,
            "VirtualSize": image.size,
        }

    def disk_usage(self) -> list[dict[str, Any]]:
        """Return what `system df` shows."""
        return [
            self.summary(each, each.tags, len(self._context.containers_of(each))) | {"SharedSize": 0}
            for each in self._images.values()
        ]

    @property
    def layers_size(self) -> int:
        """Bytes of all layers, each counted once."""
        return sum(image.size for image in self._images.values() if image.parent is None)
