"""What happened to a stage's objects, told to whoever watches, and kept for who asks later."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import trio

from swarmlib import Invalid, ReplySender, Unavailable

from .clock import Clock
from .nulls import fields
from .values import filters, labels_fit, time_in

_KEPT: Final = 256
"""As many as an engine keeps."""
_MAX_UNREAD: Final = 10_000
_KINDS: Final = ("container", "network", "volume", "daemon", "plugin", "service", "node", "secret", "config")
"""Filters that name an object by its id, its name, or the beginning of one."""
FILTERS: Final = frozenset({"event", "type", "label", "image", "scope", *_KINDS})
"""The filters of events that an engine knows."""
_FILTERS: Final = {"event", "container", "type", "label", "image", "network", "volume", "scope", "daemon"}
_WITH_DETAILS: Final = {"health_status", "exec_create", "exec_start"}
"""Actions that go on after their name: a filter for one of these asks for all that begin so."""


def container_event(
    id: str, name: str, image: str, labels: Mapping[str, str], action: str, attributes: Mapping[str, str]
) -> dict[str, Any]:
    """What happened to a container."""
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

    async def send(self, args: Mapping[str, Any], reply: ReplySender) -> None:
        """Acknowledge a watch, and send it the events that it asks for, until its `until`.

        Raises:
            Invalid, Unsupported: its filters or its times are wrong. Unavailable: its reader is too far behind.
        """
        wanted = filters(args, _FILTERS, "events")
        since, until = time_in(args, "since", math.inf), time_in(args, "until", math.inf)
        if until < time_in(args, "since", -math.inf):
            raise Invalid(f"`since` time ({args['since']}) cannot be after `until` time ({args['until']})")
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
                    raise Unavailable("the events came faster than they were read")
        finally:
            self._watchers.discard(sender)


def fits(event: Mapping[str, Any], wanted: Mapping[str, list[str]]) -> bool:
    """Whether an event passes filters, as an engine judges it."""
    id, attributes = _about(event)
    tests = (
        _is_action(event.get("Action") or "", wanted.get("event", [])),
        _is_one(wanted.get("type", []), event["Type"]),
        _is_one(wanted.get("scope", []), event.get("scope") or ""),
        _is_one(wanted.get("image", []), *_image_names(event["Type"], id, attributes)),
        *(_begins(wanted.get(kind, []), id, attributes.get("name", "")) for kind in _KINDS),
    )
    return all(tests) and labels_fit(attributes, wanted.get("label", []))


def _about(event: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    actor = fields(event.get("Actor"))
    return actor.get("ID") or "", fields(actor.get("Attributes"))


def _is_one(wanted: list[str], *names: str) -> bool:
    return not wanted or bool(set(wanted) & set(names))


def _is_action(action: str, wanted: list[str]) -> bool:
    if _WITH_DETAILS & set(wanted):
        return any(action.startswith(each) for each in wanted)
    return _is_one(wanted, action)


def _image_names(kind: str, id: str, attributes: Mapping[str, str]) -> list[str]:
    names = [id, attributes.get("name" if kind == "image" else "image", "")]
    return names + [name.rpartition(":")[0] for name in names if ":" in name]


def _begins(wanted: list[str], *names: str) -> bool:
    return not wanted or any(name.startswith(each) for name in names for each in wanted)
