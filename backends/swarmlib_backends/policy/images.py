"""What operations on images and builds demand: by their paths, by their parameters, and by both together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from swarmlib import Request

from ..dockerapi.operations import ImageCommit, ImageCreate, ImagePush, ImageTag
from . import containers, names
from .demands import FIELDS, Demand, Reader, assigned, each, nothing, text

_PATH: Final = "the image"


def tagged(request: Request) -> Iterator[Demand]:
    """Read a new name for an image."""
    yield from names.image(_PATH, request.path[1])
    asked = ImageTag.of(request)
    yield names.written(asked.repo, asked.tag, "repo")


def pushed(request: Request) -> Iterator[Demand]:
    """Read a push: of one tag, or of all."""
    yield names.repository(names.TAGS, request.path[1], ImagePush.of(request).tag, _PATH)


def pulled(request: Request) -> Iterator[Demand]:
    """Read a pull, or an import of what the engine fetches."""
    asked = ImageCreate.of(request)
    if asked.from_image:
        yield names.repository(names.IMAGES, asked.from_image, asked.tag, "fromImage")
    else:
        yield from imported(request)


def imported(request: Request) -> Iterator[Demand]:
    """Read the name of an image that is made of a file system."""
    asked = ImageCreate.of(request)
    if asked.repo:
        yield names.written(asked.repo, asked.tag, "repo")


def committed(request: Request) -> Iterator[Demand]:
    """Read the name of an image that is made of a container."""
    asked = ImageCommit.of(request)
    if asked.repo:
        yield names.written(asked.repo, asked.tag, "repo")


def _tag(place: str, value: Any) -> Iterator[Demand]:
    yield names.written(value, "", place)


def _output(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("build", f"outputs={value.get('Type', '')}", place)


NEW: Final[Mapping[str, Reader]] = {
    "fromSrc": text("urls", "-"),
    **dict.fromkeys(("fromImage", "repo", "tag"), nothing),  # they are read together
    **dict.fromkeys(("message", "changes", "platform"), nothing),
}
"""The readers of the parameters of pulls and imports. The changes concern an image's configuration only."""
COMMIT: Final[Mapping[str, Reader]] = dict.fromkeys(
    ("repo", "tag", "container", "comment", "author", "pause", "changes"), nothing
)
BUILD: Final[Mapping[str, Reader]] = {
    "t": each(_tag),
    "remote": text("urls"),
    "cachefrom": each(names.named_image),
    "networkmode": containers.network_mode,
    "version": assigned("build", "1"),
    "session": assigned("build"),
    "outputs": each(_output),
    "securityopt": each(containers.security),
    "ulimits": each(containers.ulimit),
    "cgroupparent": text("cgroups"),
    "shmsize": containers.shm,
    "cpushares": containers.shares,
    **dict.fromkeys(("cpusetcpus", "cpusetmems"), text("cpusets")),
    **dict.fromkeys(("memory", "memswap", "cpuperiod", "cpuquota"), containers.limit),
    "isolation": text(FIELDS, "default"),
    # What follows concerns the build's own files and image, or what is shown of it.
    **dict.fromkeys(("dockerfile", "target", "platform", "buildargs", "labels", "extrahosts", "squash"), nothing),
    **dict.fromkeys(("q", "nocache", "pull", "rm", "forcerm", "buildid"), nothing),
}
"""The readers of a build's parameters. Nobody looks into its Dockerfile, which can do what they allow."""
