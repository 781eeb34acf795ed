"""The events of all engines as one stream: ordered by time, none lost and none repeated.

An engine's stream that breaks is resumed where it ended. Events of several engines are held back for a moment, so that
those of about the same time can be put in order; the events of a single engine are not.
"""

from __future__ import annotations

import heapq
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
import trio

from swarmlib import (
    Ack,
    Internal,
    ReplyReceiver,
    ReplySender,
    Request,
    Set,
    SwarmError,
    TimedOut,
    Unavailable,
    Unsupported,
    ask,
    next_reply,
)
from swarmlib.errors import ungrouped
from swarmlib.supervision import supervised

from ..dockerapi.events import fits
from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import SystemEvents
from . import answers
from .fanout import representative
from .history import Position, knows, moment, nanoseconds, time_of
from .labels import LABEL
from .member import Member
from .members import Members
from .select import Selection
from .swarm_mode import SCOPE

_log = logging.getLogger(__name__)

_WINDOW: Final = 0.02
"""Seconds that an event is held back, at most, to wait for an earlier event of another engine."""
_AGAIN: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_UNSENT_EVENTS: Final = 1000
_REMEMBERED: Final = 1000
"""Events of a swarm by which a repetition is recognized."""
_LEFT: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
"""The exceptions of sending to a client that has disconnected."""


class _Event(NamedTuple):
    """An event to be sent, ordered by its time and then by its arrival."""

    moment: int
    turn: int
    due: float
    """When it is sent at the latest, whatever other engines may still send."""
    feed: _Feed
    value: dict[str, Any]


_Out: TypeAlias = "trio.MemorySendChannel[tuple[_Feed, dict[str, Any] | None]]"
"""Where feeds send their events; None marks the end of a feed."""


class _Feed:
    """One engine's events, and the position from which they are resumed."""

    def __init__(self, member: Member, selection: Selection, feeds: _Feeds) -> None:
        self.member = member
        self.waiting = 0
        """How many of its events are held back."""
        self.failure: SwarmError | None = None
        """Why the engine sends no events at present: it refused the watch, or the last attempt failed."""
        self._selection = selection
        self._feeds = feeds
        self._since, self._until = (_bound(selection, name) for name in ("since", "until"))
        self._position = None if self._since is None else Position(self._since)
        """None for a watch of future events that has not begun."""

    async def run(self, out: _Out) -> None:
        """Send the events until the engine ends them or refuses the watch; resume a stream that broke off."""
        over, pause = False, _AGAIN
        if not self.member.up:
            self.failure = Unavailable(f"{self.member.name} is down: {self.member.trouble}", backend=self.member.name)
            await self._feeds.accepted.wait()
            await self._give(self._past(), out)
        while not over and (self._until is None or self.member.up):
            await self.member.wait_up()
            before = self._last
            over = await self._attempt(out)
            self._feeds.fail_if_none_begins()
            pause = _AGAIN if self._last != before else min(pause * 2, _LONGEST_PAUSE)
            await trio.sleep(0 if over else pause)
        await self._feeds.ended(self)
        await out.send((self, None))

    @property
    def _last(self) -> int:
        return self._position.last if self._position is not None else 0

    async def _attempt(self, out: _Out) -> bool:
        """Follow the engine's events once; return whether the feed is complete."""
        ended = await self._ended(out)
        if isinstance(ended, Unsupported):
            return True  # the engine has no events of this kind
        self.failure = ended
        if ended is None:
            return self._until is not None
        return not isinstance(ended, Unavailable | TimedOut)  # these failures may pass

    async def _ended(self, out: _Out) -> SwarmError | None:
        """Follow the engine's events once; return the error that ended them, or None."""
        ended: SwarmError | None = Internal(f"following the events of {self.member.name} failed; see the log")

        async def follow() -> None:
            nonlocal ended
            try:
                await self._follow(out)
                ended = None
            except SwarmError as exc:
                ended = exc

        await supervised(f"balance: the events of {self.member.name}", follow, expected=_LEFT)
        return ended

    async def _follow(self, out: _Out) -> None:
        """Send the engine's events from before balance's history, then that history, then what the engine sends."""
        position, span = self._position, self.member.history.span
        if position is None or span is None or not knows(self._selection.filters):
            await self._watch(None if position is None else position.since, self._until, (), out)
            return
        first, end = span
        if position.since < first:
            await self._watch(position.since, self._until_at_most(first), (), out)
        past = self._past()
        await self._watch(max(position.since, self._until_at_most(end)), self._until, past, out)

    def _past(self) -> list[bytes]:
        """Return the events in balance's own history that are still to be sent."""
        if self._position is None or not knows(self._selection.filters):
            return []
        return self.member.history.told(self._position.since, self._until, self._selection.filters)

    def _until_at_most(self, moment: int) -> int:
        return moment if self._until is None else min(moment, self._until)

    async def _watch(self, since: int | None, until: int | None, past: Sequence[bytes], out: _Out) -> None:
        params = dict(self._selection.params)
        if since is not None and since != self._since:  # else as the client wrote it, which an error repeats
            params["since"] = time_of(since)
        if until is not None and until != self._until:
            params["until"] = time_of(until)
        async with await ask(self.member.calls, self._feeds.request.replace(params=params)) as replies:
            await self._accepted(replies)
            await self._give(past, out)
            while True:
                try:
                    reply = await next_reply(replies)
                except trio.EndOfChannel:
                    return
                if isinstance(reply, Set):
                    await self._tell(answers.event(reply, self.member.name), out)

    async def _accepted(self, replies: ReplyReceiver) -> None:
        """Wait until the engine accepts the watch; an engine that hangs is limited by its deadline."""
        try:
            with trio.fail_after(self.member.deadline):
                while not isinstance(await next_reply(replies), Ack):
                    pass
        except trio.TooSlowError:
            self.member.suspect()
            text = f"{self.member.name} did not begin to send events within {self.member.deadline:g} s"
            raise TimedOut(text, backend=self.member.name) from None
        except trio.EndOfChannel:
            raise Unavailable(f"{self.member.name} ended its events without an answer") from None
        known = self.member.history.position
        if self._position is None and known is not None:
            self._position = Position(known.last + 1)
        self.failure = None
        await self._feeds.begun()

    async def _give(self, past: Sequence[bytes], out: _Out) -> None:
        for raw in past:
            await self._tell(orjson.loads(raw), out)

    async def _tell(self, event: Mapping[str, Any], out: _Out) -> None:
        """Send an event, with its engine, unless it was sent before."""
        if self._position is not None and not self._position.take(event):
            return
        if not self._feeds.is_news(event):
            return
        await self.member.caught_up(event)
        actor = dict_of(event.get("Actor"))
        about = {**dict_of(actor.get("Attributes")), LABEL: self.member.name}
        await out.send((self, {**event, "Node": self.member.name, "Actor": {**actor, "Attributes": about}}))


def _bound(selection: Selection, name: str) -> int | None:
    # Parsed from the canonical text, which is exact to the nanosecond; the typed value is not.
    return nanoseconds(selection.params[name]) if name in selection.params else None


async def relay(members: Members, request: Request) -> None:
    """Answer a watch with the events of the engines that it selects.

    Raises:
        SwarmError: every engine that is up refused it or failed; the error is that of one of them.
    """
    selection = Selection.of(request)
    chosen = selection.chosen(members.all)
    bounded = SystemEvents.of(request).until is not None
    sender, receiver = trio.open_memory_channel[tuple[_Feed, dict[str, Any] | None]](_UNSENT_EVENTS)
    with ungrouped():
        async with trio.open_nursery() as nursery, members.listening() as news:
            feeds = _Feeds(request, selection, sender, nursery)
            if not any(member.up for member in chosen):
                await feeds.begun()
            for member in chosen:
                feeds.add(member)
            if not bounded:
                nursery.start_soon(feeds.follow, members, news)
            await _in_order(feeds, receiver, request.reply, bounded=bounded)
            nursery.cancel_scope.cancel()


class _Feeds:
    """The feeds of one watch."""

    def __init__(self, request: Request, selection: Selection, out: _Out, nursery: trio.Nursery) -> None:
        self.request = request
        self.active: dict[Member, _Feed] = {}
        self.accepted = trio.Event()
        """Set once the watch is accepted."""
        self._latest: dict[Member, _Feed] = {}
        """Each engine's last feed, including those that have ended."""
        self._refused: list[_Feed] = []
        self._of_swarm = OrderedDict[tuple[Any, ...], None]()
        """The last events of a swarm that were sent."""
        self._selection = selection
        self._out = out
        self._nursery = nursery

    async def begun(self) -> None:
        """Accept the watch when the first engine accepts it."""
        if not self.request.reply.answered:
            await self.request.reply.ack()
            self.accepted.set()
            for feed in self._refused:
                await self._tell_missing(feed)

    async def ended(self, feed: _Feed) -> None:
        """Record that a feed has ended. An engine that refused is reported missing once another accepts the watch."""
        if feed.failure is None:
            await self.begun()
        elif self.request.reply.answered:
            await self._tell_missing(feed)
        else:
            self._refused.append(feed)

    def is_news(self, event: Mapping[str, Any]) -> bool:
        """Return whether no other manager has told this event of a swarm, if it is one: all of them tell it.

        They agree on the time of a change, but each sees a removal at a time of its own, which happens once.
        """
        if event.get("scope") != SCOPE:
            return True
        kind, action, id = event["Type"], event.get("Action"), dict_of(event.get("Actor")).get("ID")
        key = (kind, action, id, moment(event) if action == "update" else 0)
        if key in self._of_swarm:
            return False
        self._of_swarm[key] = None
        if len(self._of_swarm) > _REMEMBERED:
            self._of_swarm.popitem(last=False)
        return True

    def fail_if_none_begins(self) -> None:
        """Let the watch fail if no engine has accepted it, and no engine that is up may still do so.

        Raises:
            SwarmError: no engine has accepted it; the error is that of one of them.
        """
        feeds = self._latest.values()
        failures = [each.failure for each in feeds if each.failure is not None]
        if failures and not self.request.reply.answered and all(each.failure or not each.member.up for each in feeds):
            raise representative(failures)

    async def _tell_missing(self, feed: _Feed) -> None:
        reason = feed.failure.message if feed.failure else ""
        _log.warning("%s is missing from a watch of events: %s", feed.member.name, reason)
        await self._tell(feed, feed.member.event("engine_disconnect", reason))

    async def _tell(self, feed: _Feed, event: Mapping[str, Any]) -> None:
        if self._wants(event):
            await self._out.send((feed, {**event, "Node": feed.member.name}))

    def add(self, member: Member) -> None:
        """Start following an engine's events."""
        self.active[member] = self._latest[member] = feed = _Feed(member, self._selection, self)
        self._nursery.start_soon(feed.run, self._out)

    async def follow(self, members: Members, news: trio.MemoryReceiveChannel[dict[str, Any]]) -> None:
        """Send what happens to the engines, and follow the events of those that join."""
        async for event in news:
            for member in self._selection.chosen(members.all):
                concerned = member.name == event["Actor"]["ID"]
                if member not in self.active and (concerned or member not in self._latest):
                    self.add(member)
                if concerned:
                    await self._tell(self.active[member], event)
            self.fail_if_none_begins()

    def _wants(self, event: Mapping[str, Any]) -> bool:
        """Return whether the filters let an event of balance itself pass."""
        filters = self._selection.filters
        return knows(filters) and fits(event, filters)


async def _in_order(
    feeds: _Feeds,
    events: trio.MemoryReceiveChannel[tuple[_Feed, dict[str, Any] | None]],
    reply: ReplySender,
    *,
    bounded: bool,
) -> None:
    """Send each event once no engine can have an earlier one, or the time to wait for one has passed."""
    held: list[_Event] = []
    turn = count()
    while True:
        while held and (_all_wait(feeds) or held[0].due <= trio.current_time() or len(held) > _UNSENT_EVENTS):
            event = heapq.heappop(held)
            event.feed.waiting -= 1
            await reply.set(event.value)
        if bounded and not feeds.active:
            return
        with trio.move_on_at(held[0].due if held else float("inf")):
            feed, arrived = await events.receive()
            if arrived is None:
                feeds.active.pop(feed.member, None)
            else:
                feed.waiting += 1
                due = trio.current_time() + _WINDOW
                heapq.heappush(held, _Event(moment(arrived), next(turn), due, feed, arrived))


def _all_wait(feeds: _Feeds) -> bool:
    return all(feed.waiting or not feed.member.up for feed in feeds.active.values())
