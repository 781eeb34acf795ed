"""What the operations of a simulated engine read out of a message."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from swarmlib import Invalid, Request, TooLarge

from ..dockerapi.filters import decode
from ..dockerapi.status import refusal
from ..dockerapi.times import filter_moment
from ..dockerapi.values import labels_fit

Operations: TypeAlias = Mapping[str, Callable[[Request], Awaitable[Any]]]
"""By the names of their rows in the routing table."""

NOT_A_MANAGER: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
MAX_UPLOAD: Final = 256 * 1024 * 1024
"""Bytes of an upload, at most: it is kept in memory."""


def ref_of(request: Request) -> str:
    """The name of the object that is spoken of."""
    return request.path[1]


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a canonical request; empty where it has none."""
    return cast("dict[str, Any]", request.json or {})


def as_list(value: Any) -> list[str]:
    """All values of a parameter that may be given several times."""
    if value is None:
        return []
    return [str(each) for each in cast("list[Any]", value)] if isinstance(value, list) else [str(value)]


def filters_of(request: Request, known: set[str]) -> dict[str, list[str]]:
    """The filters of a request.

    Raises:
        Invalid: they are no JSON of that form, or one is not known.
    """
    found = decode(request.params)
    for name in found:
        if name not in known:
            raise Invalid(f"Invalid filter '{name}'")
    return found


def labels_wanted(labels: Mapping[str, str], wanted: Mapping[str, list[str]]) -> bool:
    """Whether labels fit the filters `label` and `label!`."""
    excluded = any(labels_fit(labels, [each]) for each in wanted.get("label!", []))
    return labels_fit(labels, wanted.get("label", [])) and not excluded


def until_of(wanted: Mapping[str, list[str]], now: float) -> float:
    """The moment that the `until` filter of a prune names, in seconds since the epoch.

    Raises:
        SwarmError: it is no time, or several.
    """
    values = set(wanted.get("until", []))
    if len(values) > 1:
        raise refusal(500, "more than one until filter specified")
    for value in values:
        if (found := filter_moment(value, now)) is None:
            raise refusal(500, f'failed to parse value as time or duration: "{value}"')
        return found
    return math.inf


async def upload_of(request: Request) -> bytes:
    """All bytes of an upload. Raises `TooLarge` over the bound, `Invalid` if there is none."""
    if request.upload is None:
        raise Invalid(f"{request.verb} on {'/'.join(request.path)} needs a stream of bytes")
    data = bytearray()
    async with request.upload:
        async for piece in request.upload:
            data += piece
            if len(data) > MAX_UPLOAD:
                raise TooLarge(f"the upload is over {MAX_UPLOAD} bytes")
    return bytes(data)
