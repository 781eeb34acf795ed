"""What the engine behind a policy knows about the containers that call: their names, labels and images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, cast

import trio
from cachetools import TTLCache

from swarmlib import Request, Sender, SwarmError, Verb
from swarmlib.asking import call

from ..clients import Facts
from ..image_patterns import qualified

KNOWN_SECONDS: Final = 10.0
"""How long facts are remembered: labels and images never change, but a container can be renamed."""
_MOST: Final = 4096
_log = logging.getLogger(__name__)


class Callers:
    """The containers that have called recently."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._known: TTLCache[str, Facts] = TTLCache(_MOST, KNOWN_SECONDS, timer=trio.current_time)

    def known(self, id: str) -> Facts | None:
        """Return what is remembered about a container; None if the engine has to be asked."""
        return self._known.get(id)

    async def find(self, id: str) -> Facts | None:
        """Ask the engine about a container; return None if it can't tell."""
        try:
            found = (await call(self._sender, Request(Verb.GET, ("containers", id)))).value
            facts = _facts(id, found)
        except SwarmError as exc:
            _log.warning("policy: nothing is known about the container %s, which calls: %s", id, exc.message)
            return None
        if facts is not None:
            self._known[id] = facts
        return facts


def _facts(id: str, found: Any) -> Facts | None:
    match found:
        case {"Id": str(known), "Name": str(name), "Image": str(image_id), "Config": {"Image": str(image)}}:
            labels: object = found["Config"].get("Labels") or {}
            if known == id and isinstance(labels, Mapping):
                pairs = cast("Mapping[str, object]", labels).items()
                images = frozenset((image_id, qualified(image)))
                return Facts(name.removeprefix("/"), frozenset(f"{name}={value}" for name, value in pairs), images)
            return None
        case _:
            return None
