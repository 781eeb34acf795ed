"""What the operations of a simulated engine read out of a message."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias, cast

from swarmlib import Invalid, Message, TooLarge

from ..dockerapi.filters import decode
from ..dockerapi.status import refusal
from ..dockerapi.values import labels_fit

Operations: TypeAlias = Mapping[str, Callable[[Message], Awaitable[Any]]]
"""By the names of their rows in the routing table."""

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
NOT_A_MANAGER: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
MAX_UPLOAD: Final = 256 * 1024 * 1024
"""Bytes of an upload, at most: it is kept in memory."""


def ref_of(message: Message) -> str:
    """The name of the object that is spoken of."""
    return message.path[1]


def body_of(message: Message) -> dict[str, Any]:
    """The JSON object of a canonical request; empty where it has none."""
    return cast("dict[str, Any]", message.json or {})


def filters_of(message: Message, known: set[str]) -> dict[str, list[str]]:
    """The filters of a request.

    Raises:
        Invalid: they are no JSON of that form, or one is not known.
    """
    found = decode(message.args)
    for name in found:
        if name not in known:
            raise Invalid(f"Invalid filter '{name}'")
    return found


def labels_wanted(labels: Mapping[str, str], wanted: Mapping[str, list[str]]) -> bool:
    """Whether labels fit the filters `label` and `label!`."""
    excluded = any(labels_fit(labels, [each]) for each in wanted.get("label!", []))
    return labels_fit(labels, wanted.get("label", [])) and not excluded


def is_pruned(labels: Mapping[str, str], created: float, wanted: Mapping[str, list[str]], now: float) -> bool:
    """Whether an object fits the filters of a prune: `label`, `label!` and `until`.

    Raises:
        SwarmError: `until` is no time.
    """
    return labels_wanted(labels, wanted) and all(created < _before(value, now) for value in wanted.get("until", []))


def _before(text: str, now: float) -> float:
    """The moment that an `until` filter names: a duration before now, or a time; in seconds since the epoch.

    Raises:
        SwarmError: it is neither.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as exc:
        raise refusal(500, f'failed to parse value as time or duration: "{text}"') from exc


async def upload_of(message: Message) -> bytes:
    """All bytes of an upload. Raises `TooLarge` over the bound, `Invalid` if there is none."""
    if message.att is None:
        raise Invalid(f"{message.verb} on {'/'.join(message.path)} needs a stream of bytes")
    data = bytearray()
    async with message.att:
        async for piece in message.att:
            data += piece
            if len(data) > MAX_UPLOAD:
                raise TooLarge(f"the upload is over {MAX_UPLOAD} bytes")
    return bytes(data)
