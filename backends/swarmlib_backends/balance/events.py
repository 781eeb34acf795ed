"""The events of all engines as one stream: in the order of their times, none lost, none twice.

An engine's stream that breaks is taken up again where it ended. What engines say at about the same time is held back
for a moment, so that it can be put in order; what only one engine says is not.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import trio

from swarmlib import Client, Json, Message, Reply, SwarmError, Verb, next_reply

from .index import LABEL
from .members import Member
from .roster import Roster
from .select import Selection

_WINDOW: Final = 0.02
"""Seconds that an event is held back, at most, for one of another engine that may have come before it."""
_AGAIN: Final = 0.2
_UNSENT_EVENTS: Final = 1000
_FOR_ENGINES: Final = {"type", "event", "daemon"}
"""The filters by which the events of balance itself can be chosen."""


class _Feed:
    """One engine's events, and where they are to be taken up again."""

    def __init__(self, member: Member, selection: Selection) -> None:
        self.member = member
        self.waiting = 0
        """How many of its events are held back."""
        self.ended = False
        self._args = dict(selection.args)
        self._last = 0
        self._latest: set[bytes] = set()
        """The events of the last moment: they come again when the stream is taken up there."""

    async def run(self, out: trio.MemorySendChannel[tuple[_Feed, Message | None]]) -> None:
        """Give the events, until the engine itself ends them."""
        bounded = bool(self._args.get("until"))
        while bounded is False or self.member.up:
            await self.member.wait_up()
            try:
                await self._follow(out)
            except SwarmError:
                await trio.sleep(_AGAIN)
                continue
            if bounded:
                break
            await trio.sleep(_AGAIN)
        await out.send((self, None))

    async def _follow(self, out: trio.MemorySendChannel[tuple[_Feed, Message | None]]) -> None:
        if self._last:
            self._args["since"] = f"{self._last // 10**9}.{self._last % 10**9:09}"
        async with Client(self.member.sender).request(Verb.WATCH, args=self._args) as replies:
            while True:
                try:
                    reply = await next_reply(replies)
                except trio.EndOfChannel:
                    return
                if reply.verb is Verb.SET and self._is_new(reply):
                    await out.send((self, reply))

    def _is_new(self, reply: Message) -> bool:
        moment, raw = _moment(reply), reply.value.raw if isinstance(reply.value, Json) else b""
        if moment > self._last:
            self._last, self._latest = moment, set()
        elif raw in self._latest:
            return False
        self._latest.add(raw)
        return True


def _moment(reply: Message) -> int:
    event: Mapping[str, Any] = reply.json or {}
    return int(event.get("timeNano") or 0)


async def relay(roster: Roster, message: Message, ret: Reply) -> None:
    """Answer a watch with the events of the engines that it asks for."""
    selection = Selection.of(message.args)
    await ret.ack()
    sender, receiver = trio.open_memory_channel[tuple[_Feed, Message | None]](_UNSENT_EVENTS)
    async with trio.open_nursery() as nursery, roster.listening() as news:
        feeds = _Feeds(selection, sender, nursery)
        for member in selection.chosen(roster.members):
            feeds.add(member)
        if not message.args.get("until"):
            nursery.start_soon(feeds.follow, roster, news)
        await _in_order(feeds, receiver, ret)
        nursery.cancel_scope.cancel()


class _Feeds:
    def __init__(
        self,
        selection: Selection,
        out: trio.MemorySendChannel[tuple[_Feed, Message | None]],
        nursery: trio.Nursery,
    ) -> None:
        self.active: dict[Member, _Feed] = {}
        self._selection = selection
        self._out = out
        self._nursery = nursery
        self._engines = _speaks_of_engines(selection)

    def add(self, member: Member) -> None:
        self.active[member] = feed = _Feed(member, self._selection)
        self._nursery.start_soon(feed.run, self._out)

    async def follow(self, roster: Roster, news: trio.MemoryReceiveChannel[dict[str, Any]]) -> None:
        """Give what becomes of the engines, and the events of those that join."""
        wanted = self._selection.filters.get("event")
        async for event in news:
            for member in self._selection.chosen(roster.members):
                if member not in self.active:
                    self.add(member)
                if (
                    member.name == event["Actor"]["ID"]
                    and self._engines
                    and event["Action"] in (wanted or event["Action"])
                ):
                    await self._out.send((self.active[member], Message(Verb.SET, value=Json.of(event))))


def _speaks_of_engines(selection: Selection) -> bool:
    return set(selection.filters) <= _FOR_ENGINES and "daemon" in selection.filters.get("type", ["daemon"])


async def _in_order(feeds: _Feeds, events: trio.MemoryReceiveChannel[tuple[_Feed, Message | None]], ret: Reply) -> None:
    """Send events on as soon as no engine can have an earlier one, or has had a moment to say so."""
    held: list[tuple[int, int, float, _Feed, Message]] = []
    turn = count()
    while feeds.active or held:
        while held and (_all_wait(feeds) or held[0][2] <= trio.current_time()):
            _, _, _, feed, reply = heapq.heappop(held)
            feed.waiting -= 1
            await ret.set(_with_node(reply.json, feed.member))
        if not feeds.active and not held:
            return
        with trio.move_on_at(held[0][2] if held else float("inf")):
            feed, arrived = await events.receive()
            if arrived is None:
                feed.ended = True
                feeds.active.pop(feed.member, None)
                continue
            feed.waiting += 1
            due = trio.current_time() + _WINDOW
            heapq.heappush(held, (_moment(arrived), next(turn), due, feed, arrived))


def _all_wait(feeds: _Feeds) -> bool:
    return all(feed.waiting or not feed.member.up for feed in feeds.active.values())


def _with_node(event: Any, member: Member) -> dict[str, Any]:
    made: dict[str, Any] = {**event, "Node": member.name}
    actor: dict[str, Any] = event.get("Actor") or {}
    return made | {"Actor": {**actor, "Attributes": {**(actor.get("Attributes") or {}), LABEL: member.name}}}
