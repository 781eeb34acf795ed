"""What happens to the objects of a backend, told to whoever watches, and kept for those who ask later."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import trio

from swarmlib import Invalid, Request, Unavailable

from ..dockerapi.events import FILTERS, fits
from ..dockerapi.operations import SystemEvents
from .clock import Clock
from .filters import checked
from .operations import answers
from .played import Played

_KEPT: Final = 256
"""As many as an engine keeps."""
_MAX_UNREAD: Final = 10_000
_FILTERS: Final = {"event", "container", "type", "label", "image", "network", "volume", "scope", "daemon"}


def container_event(
    id: str, name: str, image: str, labels: Mapping[str, str], action: str, attributes: Mapping[str, str]
) -> dict[str, Any]:
    """Return the event of what happened to a container."""
    about = {"image": image, "name": name, **labels, **attributes}
    head = {"status": action, "id": id, "from": image}
    return head | {"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": about}}


class Events:
    """The last events, and the channels of those who watch."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept = deque[dict[str, Any]](maxlen=_KEPT)
        self._watchers: set[trio.MemorySendChannel[dict[str, Any]]] = set()

    def tell(self, happened: dict[str, Any]) -> None:
        """Give an event its time, keep it, and tell who watches."""
        now = int(self._clock.now() * 1e9)
        event = happened | {"scope": "local", "time": now // 10**9, "timeNano": now}
        self._kept.append(event)
        for watcher in list(self._watchers):
            try:
                watcher.send_nowait(event)
            except trio.WouldBlock:  # it doesn't read: its watch ends with an error rather than with a gap
                self._watchers.discard(watcher)
                watcher.close()

    def tell_container(self, container: Played, action: str, **attributes: str) -> None:
        """Make an event of what happened to a container."""
        image = container.config.get("Image", "")
        self.tell(container_event(container.id, container.name, image, container.labels, action, attributes))

    def tell_object(self, kind: str, action: str, id: str, attributes: Mapping[str, str]) -> None:
        """Make an event of what happened to an object of another kind, or to several at once (without an id)."""
        head = {"status": action, **({"id": id} if id else {})} if kind in ("container", "image") else {}
        self.tell(head | {"Type": kind, "Action": action, "Actor": {"ID": id, "Attributes": dict(attributes)}})

    @answers("SystemEvents")
    async def send(self, request: Request) -> None:
        """Acknowledge a watch, and send it the events that it asks for, until its `until`.

        Raises:
            Invalid, Unsupported: its filters or its times are wrong. Unavailable: its reader is too far behind.
        """
        asked, reply = SystemEvents.of(request), request.reply
        wanted = checked(asked.filters, _FILTERS, FILTERS)
        since, until = (math.inf if at is None else at for at in (asked.since, asked.until))
        if asked.since is not None and until < since:
            raise Invalid(f"`since` time ({asked['since']}) cannot be after `until` time ({asked['until']})")
        await reply.ack()
        kept = [event for event in self._kept if since <= event["timeNano"] / 1e9 <= until]
        sender, receiver = trio.open_memory_channel[dict[str, Any]](_MAX_UNREAD)
        self._watchers.add(sender)
        try:
            with sender, receiver:
                for event in kept:
                    if fits(event, wanted):
                        await reply.set(event)
                with self._clock.until(until):
                    async for event in receiver:
                        if fits(event, wanted):
                            await reply.set(event)
                    raise Unavailable("events came faster than they were read")
        finally:
            self._watchers.discard(sender)
