"""One API version for several engines: the advertised versions work on every engine.

Each engine knows a range of versions. The gateway advertises the lowest of their newest, and the highest of their
oldest versions. If two engines have no version in common, each is addressed with the nearest of its own versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio

from swarmlib import Request, Sender
from swarmlib.service import Unhandled

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.versions import Range, parsed, text

_HEADER: Final = b"api-version"


def common(ranges: Sequence[Range]) -> Range:
    """Return the range to advertise for engines with these ranges, of which there must be at least one."""
    newest = min(each.newest for each in ranges)
    return Range(min(newest, max(each.oldest for each in ranges)), newest)


def said_by(about: dict[str, Any], advertised: Range) -> dict[str, Any]:
    """Return an engine's answer to `get version`, with the advertised range in each place that names one."""
    names = {"ApiVersion": text(advertised.newest), "MinAPIVersion": text(advertised.oldest)}
    parts: list[dict[str, Any]] = list_of(about.get("Components"))
    merged = about | names
    if parts:
        merged["Components"] = [_component(part, names) for part in parts]
    return merged


def _component(part: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    details = dict_of(part.get("Details"))
    return part | {"Details": details | names} if part.get("Name") == "Engine" else part


def at_version(details: Mapping[str, Any], advertised: Range) -> Mapping[str, Any]:
    """Return the details of a reply with the advertised version in its headers, if it has any."""
    headers = details.get("headers")
    if headers is None:
        return details
    newest = text(advertised.newest).encode()
    return {
        **details,
        "headers": tuple((name, newest if name.lower() == _HEADER else value) for name, value in headers),
    }


class Advertised:
    """The versions that work on every engine. Every request needs them, so they are kept until an engine's change."""

    def __init__(self) -> None:
        self._ranges: dict[Bridge, Range] = {}
        self._common: Range | None = None

    @property
    def range(self) -> Range | None:
        """The range of versions; None while no engine's range is known."""
        if self._common is None and self._ranges:
            self._common = common(list(self._ranges.values()))
        return self._common

    def learn(self, engine: Bridge, range: Range) -> None:
        """Record the range of an engine."""
        self._ranges[engine] = range
        self._common = None

    def forget(self, engine: Bridge) -> None:
        """Forget an engine, which is no longer a member."""
        self._ranges.pop(engine, None)
        self._common = None


class Bridge(trio.abc.SendChannel[Request]):
    """The channel to one engine, which is addressed with versions that it knows."""

    def __init__(self, advertised: Advertised) -> None:
        self._engine: Sender = Unhandled()
        self._advertised = advertised
        self.range: Range | None = None
        """None until it is known."""

    def connect(self, engine: Sender) -> None:
        """Send to this channel from now on."""
        self._engine = engine

    def learn(self, range: Range) -> None:
        """Record the range of the engine."""
        self.range = range
        self._advertised.learn(self, range)

    async def send(self, value: Request) -> None:
        """Send a request at the nearest version; raise what the engine's channel raises."""
        asked = value.meta.version
        if asked and self.range is not None:
            spoken = text(self.range.nearest(parsed(asked)))
            if spoken != asked:
                value = value.replace(meta=value.meta.replace(version=spoken))
        await self._engine.send(value)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
