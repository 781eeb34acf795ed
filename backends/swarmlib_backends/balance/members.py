"""The members of a balance: chains that are asked together. Each is watched: up, down, and up again.

A member is up while its event stream runs and it answers a ping within the deadline. When it is down, calls to it end
at once, what waits for it is cut, and it is tried again with growing pauses until it is back.
"""

from __future__ import annotations

import logging
import random
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import trio

from swarmlib import (
    UNSENT,
    Client,
    Conflict,
    Denied,
    Invalid,
    Message,
    NotFound,
    Replies,
    Reply,
    SwarmError,
    Tap,
    TimedOut,
    Unavailable,
    Unsupported,
    Verb,
    next_reply,
    refuse,
)
from swarmlib.errors import ungrouped
from swarmlib.request import Answer

from ..dockerapi.ages import since
from .index import NOTHING, Claim, Index, Port
from .mirror import Mirror, sensible
from .versions import Bridge, Range

_log = logging.getLogger("swarmlib.balance")

CLIENTS_FAULT: Final = (Invalid, NotFound, Denied, Conflict)
"""What an engine says of a request that is wrong on every engine."""
CHANGE_SECONDS: Final = 60.0
"""How long a member may take over a change that balance itself asks of it; it works on the disk."""
_FIRST_PAUSE: Final = 0.2
_LAST_PAUSE: Final = 5.0
_DRIFT_CHECKS: Final = 12
"""Pings between two checks of whether the index still agrees with the engine."""

Announce: TypeAlias = Callable[[dict[str, Any]], None]
See: TypeAlias = Callable[[Message], Message | None]


@dataclass
class Load:
    """What the containers of a member take of it."""

    cpus: int = 0
    """In billionths."""
    memory: int = 0
    """In bytes."""


class Member:
    """One chain: its name (the `Node` of its objects), its channel, its objects, and how it is."""

    def __init__(self, name: str, sender: Bridge, index: Index, deadline: float, announce: Announce) -> None:
        self.name = name
        self.sender = sender
        self.deadline = deadline
        self.mirror = Mirror(self, index)
        self.load = Load()
        self.ports: dict[Port, int] = {}
        """What is claimed of each port, by how many containers."""
        self.placing: list[Claim] = []
        """The claims of containers that are being made."""
        self.about: Mapping[str, Any] = {}
        """What the engine says of itself (`info`)."""
        self.skew = 0.0
        """Seconds that its clock is ahead of ours."""
        self.watchable = True
        """Whether it tells events, so that its objects are in the index."""
        self.failure: SwarmError | None = None
        """Why it is down; None while it is not known to be."""
        self.known = trio.Event()
        """Set once it is known whether it is up."""
        self._up = trio.Event()
        self._index = index
        self._announce = announce
        self._suspected = trio.Event()
        self._following = trio.CancelScope()
        self._down_since = 0.0
        self._asking = set[trio.CancelScope]()
        self._forwarded = weakref.WeakSet[Forwarded]()

    def __repr__(self) -> str:
        return f"<member {self.name}: {'up' if self.up else self.failure or 'not known yet'}>"

    @property
    def up(self) -> bool:
        """Whether it answers, as far as is known."""
        return self._up.is_set()

    @property
    def trouble(self) -> str:
        """Why it is not up."""
        return self.failure.message if self.failure else "it has not answered yet"

    async def wait_up(self) -> None:
        """Return when it is up."""
        while not self.up:
            await self._up.wait()

    @property
    def count(self) -> int:
        """Its containers, with those that are being made."""
        return len(self.mirror.containers) + len(self.placing)

    def take(self, claim: Claim, sign: int) -> None:
        """Count what a container takes of the engine, or gives back."""
        if claim is NOTHING:
            return
        self.load.cpus += sign * claim.cpus
        self.load.memory += sign * claim.memory
        for port in claim.ports:
            self.ports[port] = self.ports.get(port, 0) + sign

    # Calls.

    def must_be_up(self) -> None:
        """Raise at once what a call to it would end with.

        Raises:
            Unavailable: it is down; says since when and why.
        """
        if self.failure is not None:
            lasted = trio.current_time() - self._down_since
            text = f"{self.name} is down ({self.failure.message}), for {lasted:.0f} s now; it is tried again and again"
            raise Unavailable(text, backend=self.name, details={UNSENT: True})

    async def ask(self, message: Message, deadline: float | None = None) -> Answer:
        """The same request to this member; by default within its deadline.

        Raises:
            SwarmError: what the member answers; TimedOut, naming it, when it does not within `deadline` seconds;
                Unavailable, when it is down, or goes down meanwhile.
        """
        limit = self.deadline if deadline is None else deadline
        with trio.CancelScope(deadline=trio.current_time() + limit) as scope:
            self._asking.add(scope)
            try:
                return await self._call(message)
            finally:
                self._asking.discard(scope)
        if trio.current_time() < scope.deadline:
            raise self._lost()
        self.suspect()
        raise TimedOut(f"{self.name} did not answer within {limit:g} s", backend=self.name)

    async def _call(self, message: Message) -> Answer:
        fields = {"args": message.args, "value": message.value, "att": message.att}
        try:
            return await Client(self.sender).call(message.verb, message.path, **fields)
        except Unavailable as exc:
            if exc.details.get(UNSENT):
                self.suspect()
            raise

    def prepared(self, message: Message, see: See | None = None) -> Message:
        """A request as it is to be handed on to this member's channel: its call is cut if the member goes down first.

        see: is shown each reply, and may give another for it.

        Raises:
            Unavailable: it is down.
        """
        self.must_be_up()
        if message.ret is None:
            return message
        ret = Forwarded(message.ret, see)
        self._forwarded.add(ret)
        return message.but(ret=ret)

    def suspect(self) -> None:
        """Something failed that should not: look at once whether it is up."""
        self._suspected.set()

    async def learn_range(self) -> None:
        """Ask which API versions it speaks; raises what asking does. One that has none is spoken to as the client
        speaks.
        """
        self.sender.learn(Range.of((await self.ask(Message(Verb.GET, ("version",)))).value))

    # Its life.

    async def keep(self) -> None:
        """Follow its events, for ever; when it is down, try again."""
        pause = _FIRST_PAUSE
        while True:
            try:
                with ungrouped(), trio.CancelScope() as self._following:
                    await self._follow()
            except SwarmError as exc:
                if self.up:
                    pause = _FIRST_PAUSE
                await self.fail(exc)
            await trio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(pause * 2, _LAST_PAUSE)

    async def _follow(self) -> None:
        async with Client(self.sender).request(Verb.WATCH) as replies:
            try:
                with trio.fail_after(self.deadline):
                    while (await next_reply(replies)).verb is not Verb.ACK:
                        pass
            except Unsupported:
                self.watchable = False
            except trio.TooSlowError:
                raise TimedOut(f"it did not answer within {self.deadline:g} s") from None
            await self._learn()
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
            await self._drop_moved()
        was_down, self.failure = self.failure, None
        self._up.set()
        self._index.changed()
        self.known.set()
        if was_down is not None:
            _log.warning("%s is up again", self.name)
        self._announce(self._event("engine_connect", ""))

    async def _drop_moved(self) -> None:
        """Remove the containers that were made anew elsewhere while this engine was down; never their volumes."""
        for id in self._index.moved.intersection(self.mirror.containers):
            _log.warning("%s: removing %s, which was made anew on another engine meanwhile", self.name, id[:12])
            await self.ask(Message(Verb.RM, ("containers", id), {"force": "1", "v": "0"}), CHANGE_SECONDS)
            self.mirror.removed("containers", id)

    async def _describe(self) -> None:
        try:
            with sensible(self.name):
                asked = time.time()
                self.about = (await self.ask(Message(Verb.GET))).value or {}
                self.skew = _skew(asked, since(str(self.about.get("SystemTime", ""))), time.time())
                await self.learn_range()
        except Unsupported:
            pass  # it holds workloads, but is no engine: it has nothing to say of itself

    async def _take_events(self, replies: Replies) -> None:
        while True:
            try:
                reply = await next_reply(replies)
            except trio.EndOfChannel:
                raise Unavailable("its event stream ended") from None
            with sensible(self.name):
                eager = reply.verb is Verb.SET and self.mirror.apply(reply.json or {})
            if eager:
                await self.mirror.settle("containers")  # it must be known before its engine dies

    async def _check(self) -> None:
        checks = 0
        while True:
            with trio.move_on_after(self.deadline):
                await self._suspected.wait()
            self._suspected = trio.Event()
            checks += 1
            try:
                await self.ask(Message(Verb.GET, ("ping",)))
                if checks % _DRIFT_CHECKS == 0 and self.watchable:
                    await self._describe()
                    await self.mirror.drift()
            except Unsupported:
                pass  # it can't be pinged, but it answers

    async def fail(self, failure: SwarmError) -> None:
        """It is down. What waits for it is told so."""
        was_up = self.up
        if was_up:
            self._up = trio.Event()
        self._following.cancel()
        first, self.failure = self.failure is None, failure
        if first:
            self._down_since = trio.current_time()
            _log.warning("%s is down: %s", self.name, failure.message)
        self.known.set()
        self._index.changed()
        await self._cut()
        if was_up:
            self._announce(self._event("engine_disconnect", failure.message))

    async def _cut(self) -> None:
        """End what waits for an answer: it may have happened or not, which is what the caller is told."""
        for scope in list(self._asking):
            scope.cancel()
        for ret in list(self._forwarded):
            await ret.cut(self._lost())

    def _lost(self) -> Unavailable:
        why = self.failure.message if self.failure else "it did not answer"
        return Unavailable(f"{self.name} went down before it answered: {why}", backend=self.name)

    async def leave(self) -> None:
        """It is no member any more: forget what it has."""
        await self.fail(Unavailable(f"{self.name} has left"))
        self.mirror.forget_all()

    def _event(self, action: str, reason: str) -> dict[str, Any]:
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
    """How far a clock is ahead that said `told` at some moment between two of ours; 0 where it may be right."""
    return 0.0 if not told or asked <= told <= answered else told - (asked + answered) / 2


class _Line:
    """Whether a forwarded call is still connected. It knows nothing of the call, which so can be dropped."""

    def __init__(self) -> None:
        self.cut = False
        self.callbacks: list[Callable[[], object]] = []

    def end(self) -> None:
        self.cut = True
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


class Forwarded(Tap):
    """The reply channel of a call that one member has: cut when that member goes down before it has answered."""

    def __init__(self, inner: Reply, see: See | None) -> None:
        super().__init__(inner, self._look)
        self._show = see
        self._line = _Line()
        self._begun = False
        inner.on_gone(self._line.end)

    @property
    def gone(self) -> bool:
        """See `Reply.gone`."""
        return self._line.cut

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `Reply.on_gone`."""
        if self._line.cut:
            callback()
        else:
            self._line.callbacks.append(callback)

    def _look(self, reply: Message) -> Message:
        if self._line.cut:
            raise trio.BrokenResourceError("the call was cut")
        self._begun = True
        return reply if self._show is None else self._show(reply) or reply

    async def cut(self, error: SwarmError) -> None:
        """Answer with an error, unless answers have come: a stream that has begun may yet go on."""
        if not self._begun and not self._line.cut:
            self._line.end()
            await refuse(Message(Verb.GET, ret=self._inner), error)


@dataclass
class Outcome:
    """What the members said to one request: those that answered, and those that failed."""

    answers: list[tuple[Member, Answer]] = field(default_factory=list[tuple[Member, Answer]])
    failures: list[tuple[Member, SwarmError]] = field(default_factory=list[tuple[Member, SwarmError]])

    @property
    def values(self) -> list[tuple[str, Any]]:
        """Each answering member's name and value, in the members' order."""
        return [(member.name, answer.value) for member, answer in self.answers]

    @property
    def missing(self) -> list[str]:
        """What there is to say of each member that has not answered. One that has nothing of the kind has."""
        failed = [(member, exc) for member, exc in self.failures if not isinstance(exc, Unsupported)]
        return [f"{member.name} is missing: {exc.message}" for member, exc in failed]

    def must_have_answers(self) -> None:
        """Raise the first failure if nobody answered."""
        if not self.answers:
            raise self.failures[0][1] if self.failures else Unavailable("balance has no members now")


async def ask_all(
    members: Sequence[Member],
    message: Message,
    deadline: float | None = None,
    each: Callable[[Member], Message] | None = None,
) -> Outcome:
    """Ask every member at once; one that is down or frozen holds up nobody for longer than `deadline` seconds.

    each: what to ask a member, where that differs.
    """
    found: dict[Member, Answer | SwarmError] = {}

    async def ask(member: Member) -> None:
        try:
            member.must_be_up()
            found[member] = await member.ask(each(member) if each else message, deadline)
        except SwarmError as exc:
            found[member] = exc

    async with trio.open_nursery() as nursery:
        for member in members:
            nursery.start_soon(ask, member)
    outcome = Outcome()
    for member in members:
        answer = found[member]
        if isinstance(answer, SwarmError):
            outcome.failures.append((member, answer))
        else:
            outcome.answers.append((member, answer))
    return outcome
