"""An image: its files, its configuration, and the names that it has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from .files import Node, file, folder, tar

ADDED: Final[Mapping[str, Node]] = {
    **{path: folder() for path in ("/dev", "/dev/pts", "/dev/shm", "/etc", "/proc", "/sys")},
    **{path: file(b"") for path in ("/.dockerenv", "/dev/console", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")},
    "/etc/mtab": Node(0o120777, link="/proc/mounts"),
}
"""What an engine adds to an image's files in each container."""


@dataclass(frozen=True)
class Origin:
    """How an image was made: in a container with this id and configuration, if it was made in one."""

    comment: str = ""
    author: str = ""
    container: str = ""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])


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
    layers: tuple[str, ...] = ()
    origin: Origin = Origin()

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
        """Return where a normal reference belongs: among its tags, or its digests."""
        return self.digests if "@" in ref else self.tags

    @property
    def short(self) -> str:
        """As errors name it."""
        return self.id.removeprefix("sha256:")[:12]


def layer_of(files: Mapping[str, Node]) -> bytes:
    """Return the tar of a layer with these files."""
    return tar({path.lstrip("/"): node for path, node in files.items()})


def digest(data: bytes) -> str:
    """Return what an engine calls these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
