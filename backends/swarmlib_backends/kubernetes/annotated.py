"""What an object of the cluster stands for, as JSON in one of its annotations, read strictly: people can edit it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..dockerapi import strictjson
from ..dockerapi.nullable import dict_of
from ..dockerapi.schema import Wrong
from .following import Body
from .pods.record import LATEST


def annotation(key: str, data: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotation that holds some data."""
    return {key: orjson.dumps(data).decode()}


def annotated(body: Body, key: str) -> Any:
    """Return the data in an annotation of an object. Raises `SwarmError`: it isn't there, or is no JSON."""
    text = str(dict_of(body["metadata"].get("annotations")).get(key, ""))
    return strictjson.read(text.encode(), key)


def field(data: Any, name: str) -> Any:
    """Return a field of an annotation's data. Raises `Wrong` if it isn't there."""
    if not isinstance(data, dict) or name not in data:
        raise Wrong(f"lacks the field {name}")
    return data[name]  # pyright: ignore[reportUnknownVariableType] - any JSON


def text_of(data: Any, name: str) -> str:
    """Return a field that is a text, and not empty. Raises `Wrong` if it isn't one."""
    found = field(data, name)
    if not isinstance(found, str) or not found:
        raise Wrong(f"has a malformed field {name}")
    return found


def moment_of(data: Any, name: str) -> float:
    """Return a field that is a time, in seconds since the epoch. Raises `Wrong` if it isn't one."""
    found = field(data, name)
    if type(found) not in (int, float) or not 0 <= found < LATEST:
        raise Wrong(f"has a malformed field {name}")
    return float(found)
