"""The events of all engines as one stream: in the order of their times, none lost, none twice.

An engine's stream that breaks is taken up again where it ended. What engines say at about the same time is held back
for a moment, so that it can be put in order; what only one engine says is not.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias

import trio

from swarmlib import Client, Json, Message, Reply, SwarmError, Unsupported, Verb, next_reply
from swarmlib.errors import ungrouped

from ..dockerapi.nulls import fields
from .index import LABEL
from .members import CLIENTS_FAULT, Member
from .mirror import sensible
from .roster import Roster
from .select import Selection

_WINDOW: Final = 0.02
"""Seconds that an event is held back, at most, for one of another engine that may have come before it."""
_AGAIN: Final = 0.2
_UNSENT_EVENTS: Final = 1000
_FOR_ENGINES: Final = {"type", "event", "daemon"}
"""The filters by which the events of balance itself can be chosen."""


class _Event(NamedTuple):
    """An event on its way: in the order of their times, then of their coming."""

    moment: int
    turn: int
    due: float
    """When it is sent on whatever others may say."""
    feed: _Feed
    value: dict[str, Any]


_Out: TypeAlias = "trio.MemorySendChannel[tuple[_Feed, dict[str, Any] | None]]"
"""Where feeds give their events; None is a feed's end."""


class _Feed:
    """One engine's events, and where they are to be taken up again."""

    def __init__(self, member: Member, selection: Selection, begun: Callable[[], Awaitable[None]]) -> None:
        self.member = member
        self.waiting = 0
        """How many of its events are held back."""
        self._args = dict(selection.args)
        self._begun = begun
        self._last = 0
        self._latest: set[bytes] = set()
        """The events of the last moment: they come again when the stream is taken up there."""

    async def run(self, out: _Out) -> None:
        """Give the events, until the engine itself ends them.

        Raises:
            Invalid, NotFound, Denied, Conflict: what is asked for is wrong, as the engine says.
        """
        bounded = bool(self._args.get("until"))
        while not bounded or self.member.up:
            await self.member.wait_up()
            try:
                await self._follow(out)
                if bounded:
                    break
            except CLIENTS_FAULT:
                raise
            except Unsupported:
                break  # it has no events of the kind
            except SwarmError:
                pass  # it is taken up again
            await trio.sleep(_AGAIN)
        await self._begun()
        await out.send((self, None))

    async def _follow(self, out: _Out) -> None:
        if self._last:
            self._args["since"] = f"{self._last // 10**9}.{self._last % 10**9:09}"
        async with Client(self.member.sender).request(Verb.WATCH, args=self._args) as replies:
            while True:
                try:
                    reply = await next_reply(replies)
                except trio.EndOfChannel:
                    return
                if reply.verb is Verb.ACK:
                    await self._begun()
                elif reply.verb is Verb.SET and (event := self._new(reply)) is not None:
                    await out.send((self, event))

    def _new(self, reply: Message) -> dict[str, Any] | None:
        """The event that a reply tells, with its engine; None if it was told before."""
        with sensible(self.member.name):
            event = fields(reply.json)
            moment, raw = _moment(event), reply.value.raw if isinstance(reply.value, Json) else b""
            if moment > self._last:
                self._last, self._latest = moment, set()
            elif raw in self._latest:
                return None
            self._latest.add(raw)
            actor = fields(event.get("Actor"))
            about = {**fields(actor.get("Attributes")), LABEL: self.member.name}
            return {**event, "Node": self.member.name, "Actor": {**actor, "Attributes": about}}


def _moment(event: Mapping[str, Any]) -> int:
    return int(event.get("timeNano") or 0)


async def relay(roster: Roster, message: Message, ret: Reply) -> None:
    """Answer a watch with the events of the engines that it asks for.

    Raises:
        Invalid, NotFound, Denied, Conflict: what is asked for is wrong.
    """
    selection = Selection.of(message.args)
    chosen = selection.chosen(roster.members)
    bounded = bool(message.args.get("until"))
    sender, receiver = trio.open_memory_channel[tuple[_Feed, dict[str, Any] | None]](_UNSENT_EVENTS)
    with ungrouped():
        async with trio.open_nursery() as nursery, roster.listening() as news:
            feeds = _Feeds(selection, sender, nursery, ret)
            if not any(member.up for member in chosen):
                await feeds.begun()
            for member in chosen:
                feeds.add(member)
            if not bounded:
                nursery.start_soon(feeds.follow, roster, news)
            await _in_order(feeds, receiver, ret, bounded=bounded)
            nursery.cancel_scope.cancel()


class _Feeds:
    """The feeds of one watch."""

    def __init__(self, selection: Selection, out: _Out, nursery: trio.Nursery, ret: Reply) -> None:
        self.active: dict[Member, _Feed] = {}
        self._selection = selection
        self._out = out
        self._nursery = nursery
        self._ret = ret

    async def begun(self) -> None:
        """The watch is accepted; by the first engine for all."""
        if not self._ret.answered:
            await self._ret.ack()

    def add(self, member: Member) -> None:
        """Take up an engine's events."""
        self.active[member] = feed = _Feed(member, self._selection, self.begun)
        self._nursery.start_soon(feed.run, self._out)

    async def follow(self, roster: Roster, news: trio.MemoryReceiveChannel[dict[str, Any]]) -> None:
        """Give what becomes of the engines, and the events of those that join."""
        async for event in news:
            for member in self._selection.chosen(roster.members):
                if member not in self.active:
                    self.add(member)
                if member.name == event["Actor"]["ID"] and self._wants(event):
                    await self._out.send((self.active[member], {**event, "Node": member.name}))

    def _wants(self, event: Mapping[str, Any]) -> bool:
        """Whether the filters let an event of balance itself pass."""
        filters = self._selection.filters
        return (
            set(filters) <= _FOR_ENGINES
            and event["Type"] in filters.get("type", [event["Type"]])
            and event["Action"] in filters.get("event", [event["Action"]])
            and event["Actor"]["ID"] in filters.get("daemon", [event["Actor"]["ID"]])
        )


async def _in_order(
    feeds: _Feeds,
    events: trio.MemoryReceiveChannel[tuple[_Feed, dict[str, Any] | None]],
    ret: Reply,
    *,
    bounded: bool,
) -> None:
    """Send events on as soon as no engine can have an earlier one, or has had a moment to say so."""
    held: list[_Event] = []
    turn = count()
    while True:
        while held and (_all_wait(feeds) or held[0].due <= trio.current_time()):
            event = heapq.heappop(held)
            event.feed.waiting -= 1
            await ret.set(event.value)
        if bounded and not feeds.active:
            return
        with trio.move_on_at(held[0].due if held else float("inf")):
            feed, arrived = await events.receive()
            if arrived is None:
                feeds.active.pop(feed.member, None)
            else:
                feed.waiting += 1
                due = trio.current_time() + _WINDOW
                heapq.heappush(held, _Event(_moment(arrived), next(turn), due, feed, arrived))


def _all_wait(feeds: _Feeds) -> bool:
    return all(feed.waiting or not feed.member.up for feed in feeds.active.values())
