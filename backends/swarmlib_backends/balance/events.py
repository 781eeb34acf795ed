"""The events of all engines as one stream: in the order of their times, none lost, none twice.

An engine's stream that breaks is taken up again where it ended. What engines say at about the same time is held back
for a moment, so that it can be put in order; what only one engine says is not.
"""

from __future__ import annotations

import heapq
import logging
from collections import OrderedDict
from collections.abc import Mapping
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias

import trio

from swarmlib import Client, Json, Message, Reply, SwarmError, TimedOut, Unavailable, Unsupported, Verb, next_reply
from swarmlib.errors import ungrouped
from swarmlib.supervision import supervised

from ..dockerapi.nulls import fields
from . import answers
from .asking import representative
from .index import LABEL
from .members import Member
from .roster import Roster
from .select import Selection

_log = logging.getLogger("swarmlib.balance")

_WINDOW: Final = 0.02
"""Seconds that an event is held back, at most, for one of another engine that may have come before it."""
_AGAIN: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_SAME_MOMENT: Final = 1000
"""Events of one engine at the same nanosecond that are told apart from repeated ones."""
_UNSENT_EVENTS: Final = 1000
_LEFT: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
"""What sending to a client that has gone away raises."""
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

    def __init__(self, member: Member, selection: Selection, feeds: _Feeds) -> None:
        self.member = member
        self.waiting = 0
        """How many of its events are held back."""
        self.refusal: SwarmError | None = None
        """The engine's words, if it refuses to give these events."""
        self._args = dict(selection.args)
        self._feeds = feeds
        self._last = 0
        self._latest = OrderedDict[bytes, None]()
        """The events of the last moment: they come again when the stream is taken up there."""

    async def run(self, out: _Out) -> None:
        """Give the events until the engine itself ends them, or refuses the watch; take up a stream that broke off."""
        bounded = bool(self._args.get("until"))
        over, pause = False, _AGAIN

        async def attempt() -> None:
            nonlocal over
            over = await self._attempt(out, bounded=bounded)

        while not over and (not bounded or self.member.up):
            await self.member.wait_up()
            before = self._last
            await supervised(f"balance: the events of {self.member.name}", attempt, expected=_LEFT)
            pause = _AGAIN if self._last > before else min(pause * 2, _LONGEST_PAUSE)
            await trio.sleep(0 if over else pause)
        await self._feeds.ended(self)
        await out.send((self, None))

    async def _attempt(self, out: _Out, *, bounded: bool) -> bool:
        """Follow the engine's events once; says whether that was all."""
        try:
            await self._follow(out)
        except (Unavailable, TimedOut):
            return False  # it broke off, or the engine went down
        except Unsupported:
            return True  # it has no events of the kind
        except SwarmError as exc:
            self.refusal = exc
            return True
        return bounded

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
                    await self._feeds.begun()
                elif reply.verb is Verb.SET and (event := self._new(reply)) is not None:
                    await out.send((self, event))

    def _new(self, reply: Message) -> dict[str, Any] | None:
        """The event that a reply tells, with its engine; None if it was told before. Raises BadAnswer if it is none."""
        event = answers.event(reply, self.member.name)
        moment, raw = _moment(event), reply.value.raw if isinstance(reply.value, Json) else b""
        if moment > self._last:
            self._last = moment
            self._latest.clear()
        elif raw in self._latest:
            return None
        self._latest[raw] = None
        if len(self._latest) > _SAME_MOMENT:
            self._latest.popitem(last=False)
        actor = fields(event.get("Actor"))
        about = {**fields(actor.get("Attributes")), LABEL: self.member.name}
        return {**event, "Node": self.member.name, "Actor": {**actor, "Attributes": about}}


def _moment(event: Mapping[str, Any]) -> int:
    return int(event.get("timeNano") or 0)


async def relay(roster: Roster, message: Message, ret: Reply) -> None:
    """Answer a watch with the events of the engines that it asks for.

    Raises:
        SwarmError: every engine refuses it: the words of one of them.
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
        self._seen: set[Member] = set()
        self._refused: list[_Feed] = []
        self._selection = selection
        self._out = out
        self._nursery = nursery
        self._ret = ret

    async def begun(self) -> None:
        """The watch is accepted; by the first engine for all."""
        if not self._ret.answered:
            await self._ret.ack()
            for feed in self._refused:
                await self._tell_missing(feed)

    async def ended(self, feed: _Feed) -> None:
        """A feed has ended. An engine that refuses the watch is missing from it, unless none accepts it.

        Raises:
            SwarmError: every engine that is up has refused the watch: the words of one of them.
        """
        if feed.refusal is None:
            await self.begun()
        elif self._ret.answered:
            await self._tell_missing(feed)
        else:
            self._refused.append(feed)
            self._refuse_if_all_do()

    def _refuse_if_all_do(self) -> None:
        if self._refused and not self._ret.answered:
            waited_for = [each for each in self.active.values() if each.member.up and each.refusal is None]
            if not waited_for:
                raise representative([each.refusal for each in self._refused if each.refusal])

    async def _tell_missing(self, feed: _Feed) -> None:
        reason = feed.refusal.message if feed.refusal else ""
        _log.warning("%s is missing from a watch of events: %s", feed.member.name, reason)
        await self._tell(feed, feed.member.event("engine_disconnect", reason))

    async def _tell(self, feed: _Feed, event: Mapping[str, Any]) -> None:
        if self._wants(event):
            await self._out.send((feed, {**event, "Node": feed.member.name}))

    def add(self, member: Member) -> None:
        """Take up an engine's events."""
        self._seen.add(member)
        self.active[member] = feed = _Feed(member, self._selection, self)
        self._nursery.start_soon(feed.run, self._out)

    async def follow(self, roster: Roster, news: trio.MemoryReceiveChannel[dict[str, Any]]) -> None:
        """Give what becomes of the engines, and the events of those that join."""
        async for event in news:
            for member in self._selection.chosen(roster.members):
                concerned = member.name == event["Actor"]["ID"]
                if member not in self.active and (concerned or member not in self._seen):
                    self.add(member)
                if concerned:
                    await self._tell(self.active[member], event)
            self._refuse_if_all_do()

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
        while held and (_all_wait(feeds) or held[0].due <= trio.current_time() or len(held) > _UNSENT_EVENTS):
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
