"""A watch: the values that one call reports, one after another, for `async for`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, Self, TypeVar

import trio

from ..asking import answer, next_reply
from ..errors import Unavailable
from ..reply import Set
from ..reply_pair import ReplyReceiver

T = TypeVar("T")

_BROKE_OFF: Final = "the events broke off: the service is gone, or they came faster than they were read"
_NOT_ENTERED: Final = "a watch is iterated in its context: `async with swarm.watch() as events`"


class Watch(Generic[T]):
    """The changes that a call reports, from when the watch is entered; the call ends with the context::

        async with swarm.watch() as events:
            async for event in events: ...

    No event is missed from then on. A watch that was not entered can't be iterated.
    """

    def __init__(
        self, send: Callable[[], Awaitable[ReplyReceiver]], read: Callable[[Any], T], *, endless: bool = False
    ) -> None:
        self._send = send
        self._read = read
        self._endless = endless
        self._replies: ReplyReceiver | None = None
        self._over: type[Exception] | None = None

    async def __aenter__(self) -> Self:
        """Begin the call. Raises the service's error."""
        self._replies = await self._send()
        try:
            await answer(self._replies)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Return the next change.

        Raises:
            SwarmError: the service answered with an error. The watch is closed then.
            Unavailable: a watch that has no end by itself (the service's events) broke off.
            RuntimeError: the watch was not entered.
            trio.ClosedResourceError: the watch is closed.
        """
        if self._over is not None:
            raise self._over("the watch is over")
        if self._replies is None:
            raise RuntimeError(_NOT_ENTERED)
        try:
            return self._read(await self._next(self._replies))
        except trio.EndOfChannel:
            self._over = None if self._endless else StopAsyncIteration
            await self.aclose()
            raise (Unavailable(_BROKE_OFF) if self._endless else StopAsyncIteration) from None
        except Exception:
            await self.aclose()
            raise

    @staticmethod
    async def _next(replies: ReplyReceiver) -> Any:
        while not isinstance(reply := await next_reply(replies), Set):
            pass
        return reply.json

    async def aclose(self) -> None:
        """End the call. Twice is harmless."""
        self._over = self._over or trio.ClosedResourceError
        if self._replies is not None:
            await self._replies.aclose()
