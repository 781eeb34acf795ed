"""Lists of objects: asked for in pages, and bounded in every way, so that no cluster fills the memory with one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec
import orjson

from swarmlib import BadAnswer, TooLarge

from .client import Api
from .shapes import Metadata, Object

PAGE: Final = 100
"""The most objects of a page. An object has up to 1.5 MB, so that a page fits into `client.MAX_BODY`."""
MAX_OBJECTS: Final = 100_000
"""The most objects of a list."""
MAX_PAGES: Final = 10_000
"""The most pages of a list, of which a cluster may give some without objects."""
MAX_OBJECT: Final = 8 * 1024 * 1024
"""The most bytes of an object."""
MAX_LIST: Final = 1024 * 1024 * 1024
"""The most bytes of the objects of a list."""


class _About(Metadata, frozen=True):
    next: str | None = msgspec.field(name="continue", default=None)


class _Page(msgspec.Struct):
    metadata: _About
    items: list[msgspec.Raw] | None = None  # Go writes null for an empty list


async def listed(api: Api, path: str, params: Mapping[str, str] | None = None) -> tuple[list[Object], str]:
    """Return the objects of a list, asked for in pages, and the version that they had together.

    Raises:
        SwarmError: the cluster's error; BadAnswer if its answer is malformed, or the pages go round in a circle;
            TooLarge if the list has more than `MAX_OBJECTS` or `MAX_LIST`, or does not end.
    """
    objects: list[Object] = []
    asked = {**(params or {}), "limit": str(PAGE)}
    size, before = 0, set[int]()
    for _ in range(MAX_PAGES):
        raw = await api.get_text(path, asked)
        page = _page(raw, path)
        objects += _objects(page, path)
        size += len(raw)
        if len(objects) > MAX_OBJECTS:
            raise TooLarge(f"the list of {path} has more than {MAX_OBJECTS} objects")
        if size > MAX_LIST:
            raise TooLarge(f"the list of {path} has more than {MAX_LIST} bytes")
        if not (token := page.metadata.next):
            return objects, page.metadata.resourceVersion
        if hash(token) in before:
            raise BadAnswer(f"the list of {path} goes on where it was before, and so has no end")
        before.add(hash(token))
        asked["continue"] = token
    raise TooLarge(f"the list of {path} has more than {MAX_PAGES} pages")


def _page(raw: bytes, path: str) -> _Page:
    try:
        return msgspec.json.decode(raw, type=_Page)
    except msgspec.DecodeError as exc:
        raise BadAnswer(f"the cluster gave a malformed list of {path}: {exc}") from exc


def _objects(page: _Page, path: str) -> Iterator[Object]:
    for raw in page.items or ():
        text = memoryview(raw)
        if len(text) > MAX_OBJECT:
            raise TooLarge(f"the list of {path} has an object of more than {MAX_OBJECT} bytes")
        yield mapping(orjson.loads(text))


def mapping(value: Any) -> Object:
    """Return a JSON object.

    Raises:
        BadAnswer: it is something else.
    """
    if not isinstance(value, dict):
        raise BadAnswer(f"the cluster's answer has {type(value).__name__} where an object was expected")
    return cast("dict[str, Any]", value)
