"""What names demand: those of images, of registries, and of what is created."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from swarmlib import SwarmError

from ..dockerapi import references
from ..image_patterns import HUB, qualified
from .demands import FIELDS, Demand

IMAGES: Final = "images"
IMAGE_IDS: Final = "image_ids"
"""The kind of a text that can be an image's id, or the start of one: the engine knows which image it is."""
TAGS: Final = "tags"
"""The kind of the names of images that a client sets, pushes and removes."""
TAG_IDS: Final = "tag_ids"
"""The same of an image that is removed: of all names that the image has."""
BY_ID: Final[Mapping[str, str]] = {IMAGE_IDS: IMAGES, TAG_IDS: TAGS}
"""The kinds of ids, and of the names that the engine has for them."""
_LIKE_AN_IMAGE_ID: Final = re.compile("(?:sha256:)?[0-9a-f]{1,64}")
_LIKE_AN_ID: Final = re.compile("/?[0-9a-f]{6,}")
_DIGEST: Final = re.compile("[a-z0-9+._-]+:[0-9a-fA-F]{32,}")
ALL_TAGS: Final = ":*"
"""Ends the name of a repository that stands for all its tags."""


def image(place: str, value: Any) -> Iterator[Demand]:
    """Read the image that something is made of: a name, or an id."""
    if value and _LIKE_AN_IMAGE_ID.fullmatch(value):
        yield Demand(IMAGE_IDS, value, place)
    elif value:
        yield reference(IMAGES, value, place)


def named_image(place: str, value: Any) -> Iterator[Demand]:
    """Read an image that no engine is asked about before: a text that can be an id is demanded as it is."""
    for found in image(place, value):
        yield Demand(IMAGES, found.value, place) if found.kind == IMAGE_IDS else found


def remote_image(place: str, value: Any) -> Iterator[Demand]:
    """Read an image that a registry is asked for."""
    yield reference(IMAGES, value, place)


def removed_image(place: str, value: Any) -> Iterator[Demand]:
    """Read an image that is removed: a name, or an id with all its names."""
    for found in image(place, value):
        yield Demand(TAG_IDS, value, place) if found.kind == IMAGE_IDS else reference(TAGS, value, place)


def saved_image(place: str, value: Any) -> Iterator[Demand]:
    """Read an image that is saved: a name without a tag stands for all its tags."""
    for found in image(place, value):
        yield found if found.kind == IMAGE_IDS else repository(IMAGES, value, "", place)


def written(name: str, tag: str, place: str) -> Demand:
    """Return the demand of a name that an image gets, with a tag beside it; without one, `latest`."""
    return repository(TAGS, name, tag, place) if tag else reference(TAGS, name, place)


def reference(kind: str, text: str, place: str) -> Demand:
    """Return the demand of an image by its name, with its registry. What is no name is a demand of the field itself."""
    try:
        return Demand(kind, qualified(text), place)
    except SwarmError:
        return Demand(FIELDS, place.partition("[")[0], place)


def repository(kind: str, text: str, tag: str, place: str) -> Demand:
    """Return the demand of an image by its name and a tag or digest beside it; of all its tags if neither has one."""
    name = text.removesuffix(":")  # an engine ignores it
    if _DIGEST.fullmatch(tag):
        return reference(kind, f"{name.partition('@')[0]}@{tag}", place)
    found = reference(kind, name, place)
    if found.kind != kind or "@" in found.value:  # a digest is stronger than a tag
        return found
    base = references.repository(found.value)
    if tag:
        return reference(kind, f"{base}:{tag}", place)
    return found if ":" in name.rpartition("/")[2] else Demand(kind, base + ALL_TAGS, place)


def plugin(place: str, value: Any) -> Iterator[Demand]:
    """Read the name of a plugin, which has the form of an image's."""
    if value:
        yield reference("plugins", value, place)


def registry(place: str, value: Any) -> Iterator[Demand]:
    """Read the address of a registry; an empty one is Docker Hub's."""
    host = (value.partition("://")[2] if "://" in value else value).partition("/")[0]
    yield Demand("registries", HUB if host in ("", f"index.{HUB}") else host, place)


def searched(place: str, value: Any) -> Iterator[Demand]:
    """Read what is searched: a text with a slash begins with a registry if an image's name would."""
    first, slash, _ = value.partition("/")
    yield Demand("registries", first if slash and references.is_registry(first) else HUB, place)


def new(place: str, value: Any) -> Iterator[Demand]:
    """Read the name of something new: one that could be the id of another object would take its place in look-ups."""
    if value and _LIKE_AN_ID.fullmatch(value):
        yield Demand("names", value, place)
