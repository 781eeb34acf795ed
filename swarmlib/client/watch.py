"""A watch: the values that one call reports, one after another, for `async for`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Generic, Self, TypeVar

import trio

from ..asking import answer, next_reply
from ..errors import Unavailable
from ..reply import Set
from ..reply_pair import ReplyReceiver

T = TypeVar("T")

_BROKE_OFF: Final = "the events broke off: the service is gone, or they came faster than they were read"


class Watch(Generic[T]):
    """The changes that a call reports, from when the watch is entered, or first iterated over::

        async with swarm.watch() as events:        # from here on nothing is missed; the call ends with the context
            async for event in events: ...

        async for event in swarm.watch(): ...      # the call ends with the loop, however that ends

    Without a context the call ends when nothing refers to the watch any more, as after a loop over it. To keep it and
    go on later, hold a reference, and end the call with `aclose`.
    """

    def __init__(
        self, send: Callable[[], Awaitable[ReplyReceiver]], read: Callable[[Any], T], *, endless: bool = False
    ) -> None:
        self._send = send
        self._read = read
        self._endless = endless
        self._replies: ReplyReceiver | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._entered = False
        self._over: type[Exception] | None = None

    async def __aenter__(self) -> Self:
        """Begin the call. Raises the service's error."""
        try:
            await self._open()
        except BaseException:
            await self.aclose()
            raise
        self._entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Return the next change.

        Raises:
            SwarmError: the service answered with an error. The watch is closed then, and also, outside a context,
                when this is cancelled.
            Unavailable: a watch that has no end by itself (the service's events) broke off.
            trio.ClosedResourceError: the watch is closed.
        """
        if self._over is not None:
            raise self._over("the watch is over")
        try:
            return self._read(await self._next(self._replies or await self._open()))
        except trio.EndOfChannel:
            self._over = None if self._endless else StopAsyncIteration
            await self.aclose()
            raise (Unavailable(_BROKE_OFF) if self._endless else StopAsyncIteration) from None
        except BaseException as exc:
            if not (self._entered and isinstance(exc, trio.Cancelled)):
                await self.aclose()
            raise

    async def _open(self) -> ReplyReceiver:
        self._token = trio.lowlevel.current_trio_token()
        self._replies = replies = await self._send()
        await answer(replies)
        return replies

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

    def __del__(self) -> None:
        replies: ReplyReceiver | None = getattr(self, "_replies", None)
        if replies is not None and self._token is not None and not replies.gone:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(replies.leave)  # an unreferenced watch may be collected in any thread
