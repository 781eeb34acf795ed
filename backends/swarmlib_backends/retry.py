"""`retry`: failed calls are retried where that can do no harm."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice

import trio

from swarmlib import (
    UNSENT,
    Ack,
    Error,
    Handler,
    Invalid,
    Reply,
    Request,
    Server,
    SwarmError,
    TimedOut,
    Unavailable,
    option,
)
from swarmlib.pieces import Buffer, Memory
from swarmlib.quantities import Duration

from .calls import LOOKS, forward, relay
from .patterns import fitting
from .pauses import pauses
from .stream_wrappers import CountingWrapper


@dataclass
class Retry(Server):
    """Retries failed calls, after a pause that doubles each time, where a second attempt does no harm.

    An `ls` or `get` that was `unavailable` or late is retried, and so are the calls that `--also` names. Others are
    retried only if they certainly had no effect (the engine could not be reached at all, or a `limit` turned them
    away). A call is not retried once the caller has seen a reply to it, or its upload has been read from. No caller
    waits past its deadline: the last failure is the answer.

    retry --max-attempts 5 --also 'stop containers/*'
    """

    position = "between"

    max_attempts: int = option("maximum number of attempts", default=3)
    backoff: Duration = option("pause before the second attempt; doubled before each further one", default=0.1)
    max_backoff: Duration = option("maximum pause", default=5.0)
    also: list[str] = option(
        "also retry calls whose 'verb path' matches, such as 'stop containers/*'", default=[], metavar="PATTERN"
    )

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if self.max_attempts < 1:
            raise Invalid(f"--max-attempts must be 1 or more, not {self.max_attempts}")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Read the patterns once."""
        self._may_repeat = fitting(self.also)
        yield

    def choose(self, request: Request) -> Handler | None:
        """Take every call."""
        return self._call

    async def _call(self, request: Request) -> None:
        body = None if request.upload is None else _Upload(request.upload)
        if body is not None:
            request = request.replace(upload=body.alike)
        for pause in self._pauses():
            failed = await self._attempt(request)
            if failed is None:
                return
            used = body is not None and body.used
            if used or not self._harmless(request, failed) or trio.current_time() + pause >= request.deadline:
                raise failed
            await trio.sleep(pause)

    def _pauses(self) -> Iterator[float]:
        """Yield the pause after each attempt, with jitter, so that simultaneous failures are not retried at once."""
        for pause in islice(pauses(self.max_backoff, first=self.backoff), self.max_attempts - 1):
            yield random.uniform(pause / 2, pause)
        yield math.inf

    def _harmless(self, request: Request, failed: SwarmError) -> bool:
        if isinstance(failed, Unavailable) and failed.details.get(UNSENT):
            return True
        repeatable = request.verb in LOOKS or self._may_repeat(request)
        return repeatable and isinstance(failed, Unavailable | TimedOut)

    async def _attempt(self, request: Request) -> SwarmError | None:
        """Make one attempt. Return its failure, if the caller has seen no reply of it; replies to a read are held back
        until it has succeeded.
        """
        held: list[Reply] = []
        failed: SwarmError | None = None
        begun = False

        async def take(reply: Reply) -> bool:
            nonlocal failed, begun
            if isinstance(reply, Error) and not begun:
                failed = reply.error
                return True
            held.append(reply)
            begun = begun or isinstance(reply, Ack) or request.verb not in LOOKS
            while begun and held:
                await forward(held.pop(0), request.reply)
            return False

        await relay(request, self.next, take)
        return failed


class _Upload(CountingWrapper):
    """The caller's upload, which records whether it can no longer be sent from its beginning."""

    used = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self.used = True
        return await super().receive_some(max_bytes)

    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        self.used = True
        return await super().receive_pieces(memory)

    async def aclose(self) -> None:
        self.used = True
        await super().aclose()
