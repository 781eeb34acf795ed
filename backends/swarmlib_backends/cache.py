"""`cache`: one answer serves all identical requests within a time."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeAlias, cast

import trio
from cachetools import TTLCache

from swarmlib import (
    Ack,
    Client,
    Error,
    Handler,
    Invalid,
    Log,
    Reply,
    Request,
    Sender,
    Server,
    Set,
    SwarmError,
    Tap,
    Unsupported,
    Verb,
    discard,
    option,
)
from swarmlib.quantities import Duration, Size
from swarmlib.reply import FINAL
from swarmlib.wire.codec import raw_value

from .calls import LOOKS, key_of, relay
from .patterns import fitting

_PASSIVE: Final = frozenset({*LOOKS, Verb.WATCH, Verb.ATTACH})
"""The verbs that do not make answers stale."""
_WATCH_AGAIN_SECONDS: Final = 1.0
_OVERHEAD: Final = 500
"""The estimated bytes of a reply besides those of its contents."""
_OF_A_VALUE: Final = 50
"""The estimated bytes of a value in a list, besides its contents."""
_log = logging.getLogger(__name__)
_Answer: TypeAlias = list[Ack | Set | Log]


@dataclass
class Cache(Server):
    """Keeps the answers to `ls` and `get` for a while; identical requests share one call.

    Requests are identical if their verbs, paths, parameters and headers are, whoever the caller is: a stage that judges
    callers belongs before this one. A request that may change something (any verb but ls, get, watch, attach) discards
    all answers, when it passes and when it is answered, so that no caller sees the state before their own change. Other
    changes show after `--ttl`, or with `--watch-events` at the next event. Errors are not kept.

    cache --ttl 2s --watch-events
    """

    position = "between"

    ttl: Duration = option("how long an answer is kept", default=1.0)
    size: Size = option("total size of kept answers; the least recently used are discarded first", default=2**26)
    filter: list[str] = option(
        "cache only ls and get whose 'verb path' matches, such as 'ls*'", default=[], metavar="PATTERN"
    )
    watch_events: bool = option("discard all answers at each event of the service", default=False)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if not self.ttl > 0:
            raise Invalid(f"--ttl must be more than 0 seconds, not {self.ttl:g}")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the answers and the calls in progress."""
        self._fits = fitting(self.filter, otherwise=True)
        self._answers = TTLCache[bytes, _Answer](self.size, self.ttl, trio.current_time, _size)
        self._flights: dict[bytes, _Flight] = {}
        async with trio.open_nursery() as self._nursery:
            if self.watch_events:
                self._nursery.start_soon(self._follow_events)
            yield
            self._nursery.cancel_scope.cancel()

    def choose(self, request: Request) -> Handler | None:
        """Take the reads that match, and calls that may change something; the rest passes."""
        if request.verb not in _PASSIVE:
            self.forget()
            return self._change
        plain = request.body is None and request.upload is None
        return self._look if plain and request.verb in LOOKS and self._fits(request) else None

    def forget(self) -> None:
        """Forget all answers; a call in progress then only serves those who already wait for it."""
        self._answers.clear()
        self._flights.clear()

    async def _change(self, request: Request) -> Any:
        request.reply.on_gone(self.forget)
        return await self.forward(request.replace(reply=Tap(request.reply, self._see)), self.next)

    def _see(self, reply: Reply) -> Reply:
        if isinstance(reply, FINAL):
            self.forget()
        return reply

    async def _look(self, request: Request) -> None:
        key = blake2b(key_of(request)).digest()  # clients choose the length of the key, so only its digest is kept
        answer = self._answers.get(key)
        if answer is None:
            answer = await self._flight(key, request).answer()
        for reply in answer:
            await request.reply.send(reply)

    def _flight(self, key: bytes, request: Request) -> _Flight:
        flight = self._flights.get(key)
        if flight is None or flight.abandoned:
            flight = self._flights[key] = _Flight()
            # It belongs to no caller: it has no deadline, and ends when the last caller that waits for it is gone.
            self._nursery.start_soon(self._fly, key, flight, request.replace(deadline=math.inf))
        return flight

    async def _fly(self, key: bytes, flight: _Flight, request: Request) -> None:
        await flight.fly(self.next, request)
        if self._flights.get(key) is flight:
            del self._flights[key]
            if flight.landed and _size(flight.replies) <= self.size:
                self._answers[key] = flight.replies

    async def _follow_events(self) -> None:
        """Forget all answers at each event. If there are none, answers live for `ttl`, as without this."""
        told = False
        while True:
            try:
                async with Client(self.next).watch() as events:
                    told = False
                    self.forget()
                    async for _ in events:
                        self.forget()
            except SwarmError as exc:
                if not told:
                    _log.warning("cache: no events, so answers are kept for %g s: %s", self.ttl, exc)
                told = True
            await trio.sleep(_WATCH_AGAIN_SECONDS)


class _Flight:
    """One call for all callers that ask the same while it is in progress."""

    def __init__(self) -> None:
        self.replies: _Answer = []
        self._error: SwarmError | None = None
        self._scope = trio.CancelScope()
        self._done = trio.Event()
        self._waiting = 0

    @property
    def abandoned(self) -> bool:
        """Whether no caller waits for it any more: it is being cancelled, and can't be joined."""
        return self._scope.cancel_called

    @property
    def landed(self) -> bool:
        """Whether it has a complete answer."""
        return self._done.is_set() and self._error is None and not self._scope.cancelled_caught

    async def fly(self, next: Sender, request: Request) -> None:
        """Make the call."""
        with self._scope:
            await relay(request, next, self._take)
        self._done.set()

    async def _take(self, reply: Reply) -> None:
        if isinstance(reply, Error):
            self._error = reply.error
        elif not isinstance(reply, Ack) or reply.stream is None:
            self.replies.append(reply)
        else:
            await discard(reply)
            self._error = Unsupported("it is answered by a stream, which can't be kept: exclude it with --filter")

    async def answer(self) -> _Answer:
        """Wait for the answer, and cancel the call when no caller waits any more. Raise the error of the call."""
        self._waiting += 1
        try:
            await self._done.wait()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._scope.cancel()
        if self._error is not None:
            raise self._error.with_traceback(None)
        return self.replies


def _size(answer: _Answer) -> int:
    return sum(_OVERHEAD + len(raw_value(reply) or b"") + _bytes_of(reply.details) for reply in answer)


def _bytes_of(value: Any) -> int:
    """Estimate the bytes of memory of a part of a reply."""
    match value:
        case bytes() | str():
            return len(value)
        case Mapping():
            return sum(_bytes_of(each) for item in cast("Mapping[Any, Any]", value).items() for each in item)
        case list() | tuple():
            return sum(_OF_A_VALUE + _bytes_of(each) for each in cast("list[Any]", value))
        case _:
            return 0
