"""One machine as an engine: a stage in front of its `docker` that stands in for the machine while it is deallocated.

messages ──▶ AutoSuspend ──▶ docker ssh://swarm@… or tcp://…:2376
                │ asleep
                ▼
      answers from what was known when it fell asleep; a request that needs the engine starts the machine again
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import trio

from swarmlib import (
    Ack,
    Client,
    ReplyReceiver,
    ReplySender,
    Request,
    Server,
    SwarmError,
    Unavailable,
    Verb,
    ask,
    next_reply,
)
from swarmlib.request import Handler

from ..calls import LOOKS, forward, relay
from ..enginekit.views import pong
from .memory import PLACES, Memory
from .power import Power
from .readiness import until_answers
from .spec import Body


@dataclass(eq=False)
class AutoSuspend(Server):
    """The stage. It is opened once, and its owner asks it for the state of the machine."""

    machine: str
    memory: Memory
    unknown: Body
    """The engine's info while nothing is known of it yet."""
    power: Power
    begins_asleep: bool
    """Whether the machine is deallocated, or in a state that counts as that, when the stage is opened."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asleep = self.begins_asleep
        """Whether the machine is deallocated."""
        self._awake = trio.Event()
        if not self.asleep:
            self._awake.set()
        self._changing = trio.Lock()
        self._calls: set[trio.CancelScope] = set()
        self._last_used = trio.current_time()

    def make_stage(self) -> Self:
        """Return this stage itself, so that its owner and the chain share one object."""
        return self

    @property
    def changing(self) -> bool:
        """Whether the machine is about to fall asleep, or to wake."""
        return self._changing.locked()

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.machine

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the channel to the engine."""
        self._engine = Client(self.next)
        yield

    def handlers(self) -> Mapping[Verb, Any]:
        """Return the handlers: every verb goes to the engine, and wakes it if need be."""
        every = dict.fromkeys(Verb, self._any)
        return every | {Verb.WATCH: self._watch}

    @property
    def idle(self) -> float:
        """The seconds since the last request that was more than a read; 0 while there is such a request."""
        return 0.0 if self._calls else trio.current_time() - self._last_used

    def use(self) -> None:
        """Restart the idle time."""
        self._last_used = trio.current_time()

    def choose(self, request: Request) -> Handler | None:
        """Return the handler of a request. While the machine is awake, reads are forwarded without one."""
        return None if request.verb in LOOKS and not self.asleep else super().choose(request)

    async def _any(self, request: Request) -> Any:
        if request.path[:1] == ("ping",):
            await pong(request.reply)
            return None
        if request.verb in LOOKS:
            try:
                return self._remembered(request)
            except LookupError:
                pass
        await self._used(request)
        return None

    def _remembered(self, request: Request) -> Any:
        known = self.memory.known
        if known:
            return self.memory.answer(request)
        if request.verb is Verb.GET and request.path == ():
            return self.unknown
        if request.verb is Verb.LS and request.path[0] in PLACES:
            return [] if request.path != ("volumes",) else {"Volumes": []}
        if request.verb is Verb.GET and request.path == ("version",):
            return {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}
        raise LookupError  # another swarmd put it to sleep, so only the engine itself can answer

    async def _used(self, request: Request) -> None:
        """Forward a request that needs the engine; the engine counts as in use until the request has ended.

        Raises:
            Unavailable: the machine was switched off, by somebody else, before the request had ended.
        """
        with trio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                await self._claim()
                await relay(request, self.next, partial(forward, to=request.reply))
            finally:
                self._calls.discard(scope)
                self.use()
        if scope.cancelled_caught:
            raise Unavailable(f"{self.machine} was switched off by somebody else before this call had ended")

    async def _claim(self) -> None:
        """Return once the machine is awake, and this swarmd has a lease on it."""
        await self.wake()
        while not await self.power.claim():
            self._sleeps()
            await self.wake()

    async def _watch(self, request: Request) -> None:
        if request.path:
            await self._used(request)
        else:
            await self._events(request, request.reply)

    async def _events(self, request: Request, reply: ReplySender) -> None:
        """Relay the engine's events across its sleep: those of the time in between are asked for once it is awake."""
        params = dict(request.params)
        while True:
            if self.asleep:
                if not reply.answered:
                    await reply.ack()
                await self._awake.wait()
            try:
                async with await ask(self.next, request.replace(params=params)) as replies:
                    await self._relay(replies, reply)
            except (trio.EndOfChannel, SwarmError) as exc:
                params["since"] = f"{time.time():.9f}"
                if not self.asleep:
                    raise exc if isinstance(exc, SwarmError) else Unavailable("the event stream ended") from exc

    async def _relay(self, replies: ReplyReceiver, to: ReplySender) -> None:
        while True:
            reply = await next_reply(replies)
            if not isinstance(reply, Ack) or not to.answered:
                await to.send(reply)

    # Sleeping.

    async def fall_asleep(self) -> bool:
        """Deallocate the machine, unless it is in use after all, here or by others; return whether that was done."""
        async with self._changing:
            if self.asleep or self._calls:
                return False
            await self.memory.learn(self._engine)
            if not self.memory.running and await self.power.off(self._asleep_if_unused):
                return True
            self.use()
            return False

    def _asleep_if_unused(self) -> bool:
        if self._calls:
            return False
        self.memory.save()
        self._sleeps()
        return True

    def lost(self) -> None:
        """Note that somebody else has deallocated the machine: it counts as asleep, and all calls in progress fail."""
        self._sleeps()
        for scope in self._calls:
            scope.cancel()

    def _sleeps(self) -> None:
        if not self.asleep:
            self.asleep = True
            self._awake = trio.Event()

    async def wake(self) -> None:
        """Start the machine if it is asleep, and return once its engine answers.

        Raises:
            TimedOut: the engine does not answer within `readiness.READY_SECONDS`.
            SwarmError: Azure refuses, or fails.
        """
        if not self.asleep:
            return
        async with self._changing:
            if not self.asleep:
                return
            await self.power.on()
            await self.answers()
            self.use()
            self.asleep = False
            self._awake.set()

    async def answers(self) -> None:
        """Wait until the engine answers, as `readiness.until_answers`."""
        await until_answers(self._engine, self.machine)
