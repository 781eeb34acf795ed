"""What happened to the workloads, told to whoever watches, and kept for who asks later."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import trio

from swarmlib import Reply, Unavailable

from .values import filters, labels_fit, number
from .workload import Workload

_KEPT: Final = 1000
_MAX_UNREAD: Final = 10_000
_FILTERS: Final = {"event", "container", "type", "label", "image"}


class Events:
    """The last events, and the channels of those who watch."""

    def __init__(self) -> None:
        self._kept = deque[dict[str, Any]](maxlen=_KEPT)
        self._watchers: set[trio.MemorySendChannel[dict[str, Any]]] = set()

    def tell(self, workload: Workload, action: str, **attributes: str) -> None:
        """Make an event of the Engine API of what happened."""
        image = workload.config.get("Image", "")
        labels: dict[str, str] = workload.config.get("Labels") or {}
        about = {"image": image, "name": workload.name, **attributes, **labels}
        now = time.time_ns()
        event: dict[str, Any] = {
            "status": action,
            "id": workload.id,
            "from": image,
            "Type": "container",
            "Action": action,
            "Actor": {"ID": workload.id, "Attributes": about},
            "scope": "local",
            "time": now // 10**9,
            "timeNano": now,
        }
        self._kept.append(event)
        for watcher in list(self._watchers):
            try:
                watcher.send_nowait(event)
            except trio.WouldBlock:  # it doesn't read: its watch ends with an error rather than with a gap
                self._watchers.discard(watcher)
                watcher.close()

    async def send(self, args: Mapping[str, Any], ret: Reply) -> None:
        """Acknowledge a watch, and send it the events that it asks for, until its `until`.

        Raises:
            Invalid, Unsupported: its filters are wrong. Unavailable: its reader is too far behind.
        """
        wanted = filters(args, _FILTERS, "events")
        since, until = number(args, "since", float("inf")), number(args, "until", float("inf"))
        await ret.ack()
        kept = [event for event in self._kept if since <= event["timeNano"] / 1e9 <= until]
        sender, receiver = trio.open_memory_channel[dict[str, Any]](_MAX_UNREAD)
        self._watchers.add(sender)
        try:
            with sender, receiver:
                for event in kept:
                    if _fits(event, wanted):
                        await ret.set(event)
                with trio.CancelScope(deadline=trio.current_time() + until - time.time()):
                    async for event in receiver:
                        if _fits(event, wanted):
                            await ret.set(event)
                    raise Unavailable("the events came faster than they were read")
        finally:
            self._watchers.discard(sender)


def _fits(event: dict[str, Any], wanted: Mapping[str, list[str]]) -> bool:
    attributes = event["Actor"]["Attributes"]
    names = {
        "event": [event["Action"]],
        "type": [event["Type"]],
        "image": [event["from"]],
        "container": [event["id"], attributes["name"]],
    }
    plain = all(set(values) & set(names[key]) for key, values in wanted.items() if key in names)
    return plain and labels_fit(attributes, wanted.get("label", []))
