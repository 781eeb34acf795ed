"""A member of a balance: a node with the chain that reaches it. Balance follows whether it is up.

A member is up while its event stream runs and it answers a ping within the deadline. When it goes down, calls to it end
at once, calls in progress are cut, and it is tried again with growing pauses until it is back.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import trio

from swarmlib import (
    UNSENT,
    Ack,
    Internal,
    ReplyReceiver,
    Request,
    Set,
    SwarmError,
    TimedOut,
    Unavailable,
    Unsupported,
    Verb,
    ask,
    next_reply,
)
from swarmlib.asking import Answer, call
from swarmlib.errors import ungrouped
from swarmlib.refusing import as_error
from swarmlib.supervision import supervised

from ..dockerapi import patience
from ..dockerapi.ages import since
from ..dockerapi.versions import Range
from ..pauses import pauses
from . import answers, freshness, merge, swarm_mode
from .forwarding import Calls, Changed, GiveBack, See
from .history import History, time_of
from .mirror import CLAIMS, Mirror
from .node import Node
from .shared import Shared
from .stand_ins import StandIns
from .versions import Bridge

_log = logging.getLogger(__name__)

_LONGEST_PAUSE: Final = 5.0
_DRIFT_CHECKS: Final = 12
"""Pings between two checks that the index still agrees with the engine."""


class Member(Node):
    """A node with its chain's channel, the mirror of its objects, and the tasks that follow its state."""

    def __init__(self, name: str, sender: Bridge, shared: Shared) -> None:
        super().__init__(name)
        self._shared = shared
        self._index = index = shared.index
        self._kept = shared.kept
        self.sender = sender
        self.deadline = shared.deadline
        self.mirror = Mirror(self, index, self.ask)
        self.history = History()
        self.node_id = ""
        """The id that its engine must have as the node of a swarm; "" for any engine."""
        self.watchable = True
        """Whether it reports events, so that its objects are in the index."""
        self.is_engine = False
        """Whether it is a Docker engine, whose events are known to tell what changes."""
        self.known = trio.Event()
        """Set once it is known whether the member is up."""
        self._claims_wanted = False
        self.joined = trio.current_time()
        self.left = False
        self.stand_ins = StandIns(self, self.mirror, index, self.ask)
        self._came_up = trio.Event()
        self._suspected = trio.Event()
        self._heard_at: float | None = None
        self._keeping = trio.CancelScope()
        self._following = trio.CancelScope()
        self._down_since = 0.0
        self._heard = trio.lowlevel.ParkingLot()
        """Where those wait who have seen an event that has not arrived here yet."""
        self.calls = Calls(sender, self._changes)
        """Its channel for balance's own calls, which end with Unavailable when the member goes down."""

    def __repr__(self) -> str:
        return f"<member {self.name}: {'up' if self.up else self.failure or 'not known yet'}>"

    @property
    def down_seconds(self) -> float:
        """How long it has been down; 0 unless it is known to be down."""
        return 0.0 if self.failure is None else trio.current_time() - self._down_since

    @property
    def silent_seconds(self) -> float | None:
        """How long ago it last said something, by an answer or an event: how old its part of the index is.

        None if it has said nothing yet.
        """
        return None if self._heard_at is None else trio.current_time() - self._heard_at

    @property
    def tells_changes(self) -> bool:
        """Whether balance learns now of each change of its objects that a Docker engine tells."""
        return self.up and self.watchable and self.is_engine

    async def wait_up(self) -> None:
        """Wait until the member is up."""
        while not self.up:
            await self._came_up.wait()

    async def caught_up(self, event: Mapping[str, Any]) -> None:
        """Wait until an event that a client is about to see has been applied here too, so that the client's next call
        never shows what was before.
        """
        with trio.move_on_after(self.deadline):
            while self.up and (position := self.history.position) is not None and not position.has(event):
                await self._heard.park()

    def _changes(self, request: Request) -> Changed | None:
        """Return what must be called when a call ends, which may have changed something; None if it can't."""
        if request.verb in freshness.PASSIVE:
            return None
        id = self._container_id(request.path[1]) if request.path[1:] and request.path[0] == "containers" else ""
        return partial(self._kept.drop, *freshness.dropped_by_call(self, request, id))

    def _container_id(self, ref: str) -> str:
        return next((each.id for each in self._index.containers.find(ref) if each.node is self), "")

    # Calls.

    def must_be_up(self) -> None:
        """Raise at once the error that a call to the member would end with.

        Raises:
            Unavailable: the member is down; the error says since when and why.
        """
        if self.failure is not None:
            text = f"{self.name} is down ({self.failure.message}), for {self.down_seconds:.0f} s now; trying again"
            raise Unavailable(text, backend=self.name, details={UNSENT: True})

    async def ask(self, request: Request, deadline: float | None = None, known: bytes = b"") -> Answer:
        """Send the same request to this member; by default within the time that suits the operation.

        known: the bytes of an answer to the same request, which need not be checked again.

        Raises:
            SwarmError: the member answers with an error.
            BadAnswer: the answer does not have the shape that the request requires.
            TimedOut: the member, which the error names, does not answer within `deadline` seconds.
            Unavailable: the member is down, or goes down meanwhile.
        """
        limit = self.patience(request) if deadline is None else deadline
        try:
            answer = await call(self.calls, request, trio.current_time() + limit)
        except trio.TooSlowError:
            raise self.overdue(limit) from None
        except Unavailable as exc:
            if exc.details.get(UNSENT):
                self.suspect()
            raise
        self._heard_at = trio.current_time()
        return answer if known and answer.raw == known else answers.checked(answer, request, self.name)

    def patience(self, request: Request) -> float:
        """Return the seconds that this member may take to answer a request."""
        return patience.seconds(request.verb, request.path, request.params, self.deadline)

    def overdue(self, limit: float) -> TimedOut:
        """Return the error for an answer that is not there after `limit` seconds, and check if the member is up."""
        self.suspect()
        return TimedOut(f"{self.name} did not answer within {limit:g} s", backend=self.name)

    def knows_claims(self) -> bool:
        """Return whether it is known what its containers take of it; if not, that is asked for at the next check."""
        self._claims_wanted |= not self.mirror.knows_claims
        return self.mirror.knows_claims

    async def settle(self, *kinds: str) -> None:
        """Bring the index up to date for these kinds of objects. A member that fails to answer is marked as down."""
        try:
            with ungrouped(), trio.fail_after(self.deadline):
                await self.mirror.settle(*kinds)
        except trio.TooSlowError:
            await self.fail(TimedOut(f"it did not answer within {self.deadline:g} s"))
        except Exception as exc:  # noqa: BLE001 - an unexpected exception is logged, and is this member's failure alone
            await self.fail(as_error(exc, self.name, Request(Verb.LS)))

    def prepared(self, request: Request, see: See | None = None, give_back: GiveBack | None = None) -> Request:
        """Prepare a client's request for being forwarded to this member's channel: it is cut if the member goes down
        before it answers.

        see: is shown each reply, and may replace it. give_back: takes the call if the member only answers that it has
        no such object.

        Raises:
            Unavailable: the member is down.
        """
        self.must_be_up()
        return self.calls.forwarded(request, see, give_back)

    def suspect(self) -> None:
        """Check at once whether the member is up, because something failed unexpectedly."""
        self._suspected.set()

    async def learn_range(self) -> None:
        """Ask the member for the range of its API versions; raise what asking raises.

        A member without a range is sent each client's own version.
        """
        version = (await self.ask(Request(Verb.GET, ("version",)))).value
        self.sender.learn(Range.of(version))
        self.is_engine = freshness.is_engine(version)

    # Its life.

    async def keep(self) -> None:
        """Follow the member's events until it leaves; when it is down, try again, with growing pauses."""
        waits = pauses(_LONGEST_PAUSE)
        with trio.CancelScope() as self._keeping:
            while not self.left:
                failure = await self._followed()
                if self.up:
                    waits = pauses(_LONGEST_PAUSE)
                if failure is not None:
                    await self.fail(failure)
                await trio.sleep(next(waits) * random.uniform(0.75, 1.25))

    async def _followed(self) -> SwarmError | None:
        """Follow the member until that fails, and return the failure; None if `fail` ended it."""
        failure: SwarmError | None = Internal(f"following {self.name} failed; see the log", backend=self.name)

        async def follow() -> None:
            nonlocal failure
            try:
                with ungrouped(), trio.CancelScope() as self._following:
                    await self._follow()
                failure = None
            except SwarmError as exc:
                failure = exc

        await supervised(f"balance: following {self.name}", follow)
        return failure

    async def _follow(self) -> None:
        position, begun = self.history.position, time.time()
        params = {"since": time_of(position.since)} if position else {}
        async with await ask(self.sender, Request(Verb.WATCH, params=params)) as replies:
            try:
                with trio.fail_after(self.deadline):
                    while not isinstance(await next_reply(replies), Ack):
                        pass
            except Unsupported:
                self.watchable = False
            except trio.TooSlowError:
                raise TimedOut(f"it did not answer within {self.deadline:g} s") from None
            async with self._shared.taking_stock:
                await self._learn()
            self.history.begin(int((begun + self.skew) * 10**9))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._check)
                if self.watchable:
                    await self._take_events(replies)
                else:
                    await trio.sleep_forever()

    async def _learn(self) -> None:
        self._suspected = trio.Event()
        await self._describe()
        if self.watchable:
            await self.mirror.sync()
            await self.stand_ins.drop_originals()
        was_down, self.failure = self.failure, None
        self.up = True
        self._came_up.set()
        self._index.summaries.changed(*self.mirror.containers.values())
        self._kept.clear()
        self.known.set()
        if was_down is not None:
            _log.warning("%s is up again", self.name)
        self._shared.announce(self.event("engine_connect", ""))

    async def _describe(self) -> None:
        try:
            asked, was = time.time(), merge.described(self)
            about = (await self.ask(Request(Verb.GET))).value
            if self.node_id and (said := swarm_mode.node_id(about)) != self.node_id:
                raise Unavailable(f"its engine is not the node {self.node_id}, but {said or 'in no swarm'}")
            self.about = about
            if merge.described(self) != was:
                self._kept.clear()
            self.skew = _skew(asked, since(self.about.get("SystemTime") or ""), time.time())
            await self.learn_range()
        except Unsupported:
            pass  # the member holds workloads, but is not an engine: it does not describe itself

    async def _take_events(self, replies: ReplyReceiver) -> None:
        while True:
            try:
                reply = await next_reply(replies)
            except trio.EndOfChannel:
                raise Unavailable("the event stream ended") from None
            if not isinstance(reply, Set):
                continue
            self._heard_at = trio.current_time()
            event = answers.event(reply, self.name)
            self._kept.drop(*freshness.dropped_by(self, event))
            self._shared.hear(event)
            may_move = self.history.keep(event) and self.mirror.apply(event)
            self._heard.unpark_all()
            if may_move:
                await self.mirror.follow_up()  # the inspection must be known before the engine dies

    async def _check(self) -> None:
        checks = 0
        while True:
            with trio.move_on_after(self.deadline):
                await self._suspected.wait()
            self._suspected = trio.Event()
            checks += 1
            try:
                await self.ask(Request(Verb.GET, ("ping",)))
                if checks % _DRIFT_CHECKS == 0 and self.watchable:
                    await self._describe()
                    await self.mirror.drift()
                await self._learn_claims()
            except Unsupported:
                pass  # it does not support ping, but it answers

    async def _learn_claims(self) -> None:
        if self._claims_wanted and self.watchable:
            async with self._shared.taking_stock:
                await self.mirror.settle(CLAIMS)
            self._claims_wanted = False

    async def fail(self, failure: SwarmError) -> None:
        """Mark the member as down, and end its calls with an error."""
        was_up = self.up
        if was_up:
            self.up, self._came_up = False, trio.Event()
        self._following.cancel()
        first, self.failure = self.failure is None, failure
        if first:
            self._down_since = trio.current_time()
            _log.warning("%s is down: %s", self.name, failure.message)
        self.known.set()
        self._index.summaries.changed(*self.mirror.containers.values())
        self._kept.clear()
        self._heard.unpark_all()
        await self.calls.cut(self._lost())
        if was_up:
            self._shared.announce(self.event("engine_disconnect", failure.message))

    def _lost(self) -> Unavailable:
        """Return the error for a call that is cut: it may or may not have had its effect."""
        why = self.failure.message if self.failure else "it did not answer"
        return Unavailable(f"{self.name} went down before it answered: {why}", backend=self.name)

    async def leave(self) -> None:
        """Stop being a member, and forget its objects."""
        self.left = True
        self._keeping.cancel()
        await self.fail(Unavailable(f"{self.name} was removed from the members"))
        self.mirror.forget_all()

    def event(self, action: str, reason: str) -> dict[str, Any]:
        """Return the event by which balance reports a change of this engine's state."""
        now = time.time_ns()
        attributes = {"name": self.name, **({"error": reason} if reason else {})}
        return {
            "Type": "daemon",
            "Action": action,
            "Actor": {"ID": self.name, "Attributes": attributes},
            "scope": "local",
            "time": now // 10**9,
            "timeNano": now,
        }


def _skew(asked: float, told: float, answered: float) -> float:
    """Return how far ahead a clock is that showed `told` at some time between two of ours; 0 if it may be right."""
    return 0.0 if not told or asked <= told <= answered else told - (asked + answered) / 2
