"""Shell patterns over the names of images, with their registries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from .dockerapi import references
from .globs import Match, globs

HUB: Final = "docker.io"
_HUBS: Final = frozenset({HUB, f"index.{HUB}"})


@lru_cache(maxsize=1024)
def qualified(text: str) -> str:
    """Return the name of an image with its registry and its tag or digest: `docker.io/library/busybox:latest`.

    Raises:
        SwarmError: it is no name of an image.
    """
    return references.full(references.normal(text))


def images(given: Sequence[str]) -> Match:
    """Match images by their references with registry: `busybox` allows `docker.io/library/busybox:latest` only."""
    return globs([_image(each) for each in given])


def _image(given: str) -> str:
    """Return the pattern of images with the registry that it leaves out, as docker adds it to a name."""
    if references.is_digest(given):
        return given
    if "*" not in given and "?" not in given:
        return qualified(given)
    first, slash, rest = given.partition("/")
    if slash and first in _HUBS:
        given = rest
    elif first.startswith("**") or (slash and references.is_registry(first)):
        return given
    return f"{HUB}/{given}" if "/" in given or given.startswith("**") else f"{HUB}/library/{given}"
