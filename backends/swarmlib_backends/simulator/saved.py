"""What a tar that `docker save` wrote, or somebody who says so, holds: read strictly, refused in an engine's words."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..dockerapi.jsonerrors import explain
from ..dockerapi.nulls import fields, items
from ..dockerapi.schema import Reader, Wrong, reader
from ..dockerapi.status import refusal
from .files import Node
from .paths import ROOT

_MANIFEST: Final = reader([{"Config": "string", "RepoTags": ["string"], "Layers": ["string"]}])
_IMAGE: Final = reader({"config": "#ContainerConfig"})


@dataclass(frozen=True)
class Saved:
    """An image of a tar."""

    id: str
    config: dict[str, Any]
    tags: list[str]
    layers: list[bytes]
    """The tars of its layers, the lowest first."""


def saved(nodes: Mapping[str, Node]) -> Iterator[Saved]:
    """Yield the images of a tar with these files.

    Raises:
        SwarmError: it is no tar of images; those before the one that is wrong were given.
    """
    # An engine looks for the older format's file where this one is missing.
    manifest = nodes.get("manifest.json") or _member(nodes, "repositories")
    for each in _read(_MANIFEST, manifest.data):
        about = str(each.get("Config") or "")
        data = _member(nodes, about).data
        name = posixpath.basename(about).removesuffix(".json")
        id = f"sha256:{name if len(name) == 64 else hashlib.sha256(data).hexdigest()}"
        layers = [_member(nodes, layer).data for layer in items(each.get("Layers"))]
        yield Saved(id, fields(_read(_IMAGE, data).get("config")), items(each.get("RepoTags")), layers)


def _member(nodes: Mapping[str, Node], name: str) -> Node:
    found = nodes.get(name)
    if found is None:
        raise refusal(500, f"open {ROOT}/tmp/docker-import-000000000/{name}: no such file or directory")
    return found


def _read(read: Reader, data: bytes) -> Any:
    try:
        return read(orjson.loads(data))
    except orjson.JSONDecodeError as exc:
        problem = explain(data) or str(exc)
        cut = problem == "unexpected end of JSON input"
        raise refusal(500, "unexpected EOF" if cut else problem) from exc
    except Wrong as exc:
        raise refusal(500, f"json: {exc}") from exc
