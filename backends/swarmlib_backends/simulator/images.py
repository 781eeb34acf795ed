"""Images: a busybox from the start, and what is pulled, tagged, imported, committed or loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

from swarmlib import NotFound, Request, SwarmError

from ..dockerapi.filters import flag
from ..dockerapi.matching import Matches, glob
from ..dockerapi.nulls import fields, items
from ..dockerapi.references import familiar, is_digest, is_id, looked_for, normal, repository, tagged
from ..dockerapi.status import refusal, to_tell_in_band
from ..dockerapi.values import is_true, number, stamp
from . import pulled
from .asked import Operations, filters_of, labels_wanted, ref_of, until_of
from .files import Files, Node, file, folder, tar
from .paths import graph_driver
from .programs import PROGRAMS
from .registries import DOCKER_HUB, unreachable

if TYPE_CHECKING:
    from .engine import Engine

_FILTERS: Final = {"before", "dangling", "label", "reference", "since"}
NO_CONFIG: Final[dict[str, Any]] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
"""The configuration of an image, or of a container, that says nothing."""
_SEARCH: Final = "https://index.docker.io/v1/search"


ADDED: Final[Mapping[str, Node]] = {
    **{path: folder() for path in ("/dev", "/dev/pts", "/dev/shm", "/etc", "/proc", "/sys")},
    **{path: file(b"") for path in ("/.dockerenv", "/dev/console", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")},
    "/etc/mtab": Node(0o120777, link="/proc/mounts"),
}
"""What an engine adds to an image's files in each container."""


@dataclass(eq=False)
class Image:
    """An image. `id` begins with `sha256:`."""

    id: str
    created: float
    config: dict[str, Any]
    files: Mapping[str, Node]
    tags: list[str] = field(default_factory=list[str])
    """Normal references."""
    digests: list[str] = field(default_factory=list[str])
    parent: Image | None = None
    comment: str = ""
    author: str = ""
    container: str = ""
    container_config: dict[str, Any] = field(default_factory=dict[str, Any])
    layers: tuple[str, ...] = ()

    @cached_property
    def root(self) -> Mapping[str, Node]:
        """What a container begins with: its files, and those that an engine adds."""
        return {**ADDED, **self.files}

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(len(node.data) for node in self.files.values())

    @property
    def dangling(self) -> bool:
        """Whether no reference names it."""
        return not (self.tags or self.digests)

    def names(self, ref: str) -> list[str]:
        """Where a normal reference belongs: among its tags, or its digests."""
        return self.digests if "@" in ref else self.tags

    @property
    def short(self) -> str:
        """As errors name it."""
        return self.id.removeprefix("sha256:")[:12]


class ImageStore:
    """The images of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._images: dict[str, Image] = {}
        self._tags: dict[str, Image] = {}

    @property
    def operations(self) -> Operations:
        """What it answers."""
        return {
            "ImageList": self._ls,
            "ImageInspect": self._get,
            "ImageTag": self._tag,
            "ImageDelete": self._rm,
            "ImageHistory": self._history,
            "ImagePush": self._push,
            "ImagePrune": self._prune,
            "ImageSearch": self._search,
        }

    def __len__(self) -> int:
        return len(self._images)

    # Finding.

    def lookup(self, ref: str, *, status: int = 400) -> Image | None:
        """An image by reference, id, or a prefix of its id; None if there is none.

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
        """As `lookup`.

        Raises:
            NotFound: there is none.
        """
        found = self.lookup(ref)
        if found is None:
            raise NotFound(f"No such image: {looked_for(ref)}")
        return found

    def shown(self, ref: str, image: Image) -> str:
        """What a list of containers says: what the user wrote, if it is still that image; nothing for one that a build
        made of nothing.
        """
        return ref if not ref or self.lookup(ref) is image else image.id

    # Making.

    def nothing(self) -> Image:
        """What a container is made of that has no image; it is none of the store's."""
        return Image("", self._engine.clock.now(), {}, {})

    def add(self, ref: str | None, **about: Any) -> Image:
        """A new image, tagged if it has a reference."""
        given: dict[str, Any] = {"created": self._engine.clock.now(), "config": dict(NO_CONFIG), "files": {}, **about}
        id = given.pop("id", None) or f"sha256:{self._engine.names.id()}"
        made = self._images[id] = Image(id, **given)
        if not made.layers:
            made.layers = (digest(layer_of(made.files)),)
        if ref is not None:
            self.tag(made, ref)
        return made

    def add_child(self, parent: Image | None, files: Files, **about: Any) -> Image:
        """A new image of what differs from another one, or from none."""
        layers = parent.layers if parent else ()
        if not files.changes():
            return self.add(None, parent=parent, files=parent.files if parent else {}, layers=layers, **about)
        layers = (*layers, f"sha256:{self._engine.names.id()}")
        return self.add(None, parent=parent, files=files.over(parent.files if parent else {}), layers=layers, **about)

    def add_runnable(self, ref: str) -> Image:
        """An image as one that was pulled."""
        return self.add(normal(ref), config=NO_CONFIG | pulled.config(ref), files=pulled.files(ref, list(PROGRAMS)))

    def tag(self, image: Image, ref: str) -> None:
        """Give an image a (normal) reference, which another may have had."""
        before = self._tags.get(ref)
        if before is not None:
            before.names(ref).remove(ref)
        self._tags[ref] = image
        image.names(ref).append(ref)
        self._engine.all_changed()

    def tell(self, action: str, image: Image, name: str | None = None) -> None:
        """Make an event of what happened to an image."""
        labels = fields(image.config.get("Labels"))
        self._engine.tell_of("image", action, image.id, {**labels, "name": name or image.id})

    # Operations.

    async def _ls(self, request: Request) -> list[Any]:
        wanted = filters_of(request, _FILTERS)
        dangling = flag(wanted, "dangling", ["true"], ["false"]) if "dangling" in wanted else None
        bounds = {name: self.find(wanted[name][0]).created for name in ("before", "since") if wanted.get(name)}
        references = [glob(pattern, any_character="[^/]") for pattern in wanted.get("reference", [])]
        newest = sorted(self._images.values(), key=lambda image: -image.created)
        whole = is_true(request.params.get("all"))
        listed = [each for each in newest if dangling in (None, each.dangling) and (whole or not self._between(each))]
        shown = [(each, self._chosen(each, wanted, bounds, references)) for each in listed]
        return [self.summary(each, tags) for each, tags in shown if tags is not None]

    def _chosen(
        self, image: Image, wanted: dict[str, list[str]], bounds: dict[str, float], references: list[Matches]
    ) -> list[str] | None:
        """The tags of an image that a list shows; None if it doesn't show it."""
        if image.created >= bounds.get("before", float("inf")) or image.created <= bounds.get("since", 0.0):
            return None
        if not labels_wanted(fields(image.config.get("Labels")), wanted):
            return None
        if references:
            tags = [tag for tag in image.tags if any(fits(tag) or fits(repository(tag)) for fits in references)]
            return tags or None
        return image.tags

    def _between(self, image: Image) -> bool:
        """Whether it is only a step of another image's build, which lists leave out unless all are asked for."""
        return not image.tags and bool(self.children(image))

    def summary(self, image: Image, tags: list[str], containers: int = -1) -> dict[str, Any]:
        """An image in a list."""
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
        """What `system df` shows."""
        return [
            self.summary(each, each.tags, len(self._engine.containers_of(each))) | {"SharedSize": 0}
            for each in self._images.values()
        ]

    @property
    def layers_size(self) -> int:
        """Bytes of all layers, each counted once."""
        return sum(image.size for image in self._images.values() if image.parent is None)

    async def _get(self, request: Request) -> dict[str, Any]:
        ref = ref_of(request)
        try:
            image = self.find(ref)
        except SwarmError as exc:
            raise type(exc)(f"no such image: {ref}: {exc.message}", details=exc.details) from exc
        return {
            "Id": image.id,
            "RepoTags": sorted(image.tags),
            "RepoDigests": image.digests,
            "Parent": image.parent.id if image.parent else "",
            "Comment": image.comment,
            "Created": stamp(image.created),
            "Container": image.container,
            "ContainerConfig": NO_CONFIG | image.container_config,
            "DockerVersion": "20.10",
            "Author": image.author,
            "Config": image.config,
            "Architecture": "amd64",
            "Os": "linux",
            "Size": image.size,
            "VirtualSize": image.size,
            "GraphDriver": graph_driver(image.short, "MergedDir", "UpperDir", "WorkDir"),
            "RootFS": {"Type": "layers", "Layers": list(image.layers)},
            "Metadata": {"LastTagTime": stamp(image.created)},
        }

    async def _history(self, request: Request) -> list[Any]:
        image: Image | None = self.find(ref_of(request))
        shown: list[Any] = []
        while image is not None:
            size = image.size - (image.parent.size if image.parent else 0)
            by = " ".join(items(image.container_config.get("Cmd")))
            about = {"Comment": image.comment, "Created": int(image.created), "CreatedBy": by, "Id": image.id}
            shown.append(about | {"Size": size, "Tags": sorted(image.tags) or None})
            image = image.parent
        return shown

    async def _tag(self, request: Request) -> None:
        image = self.find(ref_of(request))
        ref = given_reference(request, status=500)
        self.tag(image, ref)
        self.tell("tag", image, as_given(request))

    async def pull_asked(self, request: Request) -> None:
        """Pull what the args `fromImage` and `tag` name, for the platform that `platform` names.

        Raises:
            SwarmError: they name no image, or a platform that there are no images of; no registry can be reached.
        """
        name, tag = str(request.params["fromImage"]).removesuffix(":"), str(request.params.get("tag") or "")
        ref = f"{repository(normal(name))}@{tag}" if is_digest(tag) else tagged(name, tag)
        if self._engine.online and (platform := str(request.params.get("platform") or "")):
            pulled.check_platform(platform)
        await self.pull(ref, name, request.reply.set)

    async def pull(self, ref: str, name: str, tell: Callable[[Any], Awaitable[object]]) -> Image:
        """Pull a normal reference, which the user wrote as `name`; what is done is told.

        Raises:
            SwarmError: no registry can be reached.
        """
        if not self._engine.online:
            raise unreachable(DOCKER_HUB)
        tag = ref.removeprefix(repository(ref)).lstrip(":@")
        shown = repository(ref) if "/" in ref else f"library/{repository(ref)}"
        await tell({"status": f"Pulling from {shown}", "id": tag})
        found = self._tags.get(ref)
        if found is None:
            found = self.add_runnable(ref)
            self.tag(found, f"{repository(ref)}@{pulled.digest(ref)}")
            layer = found.layers[0].removeprefix("sha256:")[:12]
            for step in ("Pulling fs layer", "Download complete", "Pull complete"):
                await tell({"status": step, "progressDetail": {}, "id": layer})
            result = f"Downloaded newer image for {ref}"
        else:
            result = f"Image is up to date for {ref}"
        await tell({"status": f"Digest: {pulled.digest(ref)}"})
        await tell({"status": f"Status: {result}"})
        self._engine.tell_of("image", "pull", ref, {"name": name.partition(":")[0]})
        return found

    async def _push(self, request: Request) -> None:
        if request.meta.header("x-registry-auth") is None and request.json is None:
            raise refusal(400, "Bad parameters and missing X-Registry-Auth: EOF")
        reply = request.reply
        ref = tagged(ref_of(request), str(request.params.get("tag") or ""), status=500)
        await reply.set({"status": f"The push refers to repository [docker.io/{repository(ref)}]"})
        image = self._tags.get(ref)
        if image is None:
            raise to_tell_in_band(NotFound(f"An image does not exist locally with the tag: {repository(ref)}"))
        if not self._engine.online:
            raise to_tell_in_band(unreachable(DOCKER_HUB))
        await reply.set({"status": "Pushed", "progressDetail": {}, "id": image.layers[0].removeprefix("sha256:")[:12]})
        await reply.set({"status": f"{ref.rpartition(':')[2]}: digest: {image.id} size: 1"})
        self.tell("push", image, familiar(ref))

    async def _search(self, request: Request) -> list[Any]:
        term = str(request.params.get("term") or "")
        filters_of(request, {"is-automated", "is-official", "stars"})
        limit = number(request.params, "limit", 25)
        if not 1 <= limit <= 100:
            raise refusal(400, f"Limit {limit} is outside the range of [1, 100]")
        if not self._engine.online:
            raise unreachable(f"{_SEARCH}?q={quote_plus(term)}&n={limit}")
        names = sorted({repository(tag) for tag in self._tags if term in tag})
        about = {"description": "", "is_automated": False, "star_count": 0}
        return [{**about, "name": name, "is_official": "/" not in name} for name in names[:limit]]

    # Removing.

    async def _rm(self, request: Request) -> list[Any]:
        ref, force = ref_of(request), is_true(request.params.get("force"))
        image = self.find(ref)
        prune = not is_true(request.params.get("noprune"))
        if image.id.startswith(f"sha256:{ref.removeprefix('sha256:')}"):
            return self._rm_by_id(image, force, prune)
        users = self._engine.containers_of(image)
        if users and not force and len(image.tags) == 1:
            raise refusal(
                409,
                f'conflict: unable to remove repository reference "{ref}" (must force) - '
                f"container {users[0].id[:12]} is using its referenced image {image.short}",
            )
        told = self._untagged(image, normal(ref))
        if not image.tags and not image.digests and not users and not self.children(image):
            told += self._delete(image, prune)
        return told

    def _rm_by_id(self, image: Image, force: bool, prune: bool) -> list[Any]:
        hard, soft = self._in_the_way(image)
        problem = hard or (None if force else soft)
        if problem:
            forced = "cannot be forced" if hard else "must be forced"
            raise refusal(409, f"conflict: unable to delete {image.short} ({forced}) - {problem}")
        return [self._untag(image, name) for name in (*image.tags, *image.digests)] + self._delete(image, prune)

    def _in_the_way(self, image: Image) -> tuple[str, str]:
        """What keeps an image from being deleted, whatever is asked, and unless it is forced."""
        users = self._engine.containers_of(image)
        running = next((each for each in users if each.running), None)
        if self.children(image):
            return "image has dependent child images", ""
        if running is not None:
            return f"image is being used by running container {running.id[:12]}", ""
        if len({repository(tag) for tag in image.tags}) > 1:
            return "", "image is referenced in multiple repositories"
        if users:
            return "", f"image is being used by stopped container {users[0].id[:12]}"
        return "", ""

    def children(self, image: Image | None) -> list[Image]:
        """The images that were made of another one, or of none."""
        return [each for each in self._images.values() if each.parent is image]

    def _untag(self, image: Image, tag: str) -> dict[str, str]:
        image.names(tag).remove(tag)
        del self._tags[tag]
        self._engine.all_changed()
        self.tell("untag", image)
        return {"Untagged": tag}

    def _untagged(self, image: Image, tag: str) -> list[dict[str, str]]:
        """Take a reference away, and with the last tag of its repository the digests that this had."""
        told, name = [self._untag(image, tag)], repository(tag)
        if any(repository(each) == name for each in image.tags):
            return told
        return told + [self._untag(image, each) for each in list(image.digests) if repository(each) == name]

    def _delete(self, image: Image, prune: bool) -> list[dict[str, str]]:
        del self._images[image.id]
        self._engine.tell_of("image", "delete", image.id, {"name": image.id})
        told = [{"Deleted": image.id}]
        parent = image.parent
        kept = parent.layers if parent else ()
        told += [{"Deleted": layer} for layer in reversed(image.layers) if layer not in kept]
        if parent is None:
            return told
        free = not (parent.tags or self._engine.containers_of(parent) or self.children(parent))
        return told + (self._delete(parent, prune) if prune and free else [])

    async def _prune(self, request: Request) -> dict[str, Any]:
        wanted = filters_of(request, {"dangling", "label", "label!", "until"})
        everything = "dangling" in wanted and flag(wanted, "dangling", ("false", "0"), ("true", "1"))
        until = until_of(wanted, self._engine.clock.now())
        told: list[Any] = []
        freed = 0
        for image in list(self._images.values()):
            used = self._engine.containers_of(image) or self.children(image)
            fits = image.created <= until and labels_wanted(fields(image.config.get("Labels")), wanted)
            if image.id in self._images and fits and not used and (everything or image.dangling):
                freed += image.size
                names = (*image.tags, *image.digests)
                told += [*(self._untag(image, name) for name in names), *self._delete(image, True)]
        self._engine.tell_of("image", "prune", "", {"reclaimed": str(freed)})
        return {"ImagesDeleted": told or None, "SpaceReclaimed": freed}


def layer_of(files: Mapping[str, Node]) -> bytes:
    """The tar of a layer with these files."""
    return tar({path.lstrip("/"): node for path, node in files.items()})


def digest(data: bytes) -> str:
    """What an engine calls these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _joined(name: str, tag: Any) -> str:
    if not tag:
        return name
    return f"{name}@{tag}" if str(tag).startswith("sha256:") else f"{name}:{tag}"


def given_reference(request: Request, *, status: int) -> str:
    """The normal reference that the args `repo` and `tag` make."""
    return tagged(str(request.params.get("repo") or ""), str(request.params.get("tag") or ""), status=status)


def as_given(request: Request) -> str:
    """The reference that the args `repo` and `tag` make, as the user wrote it."""
    return _joined(str(request.params.get("repo") or ""), request.params.get("tag"))
