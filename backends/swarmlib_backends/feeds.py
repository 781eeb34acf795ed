"""Feeds: values that come one after the other, such as samples, read once for all who watch them at the same time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import trio

from swarmlib import SwarmError
from swarmlib.supervision import supervised

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)


class Feed(Generic[T]):
    """The values of one source. A watcher that is behind gets the latest one, and misses those before it."""

    def __init__(self) -> None:
        self.watchers = 0
        self.over = False
        self.scope = trio.CancelScope()
        """Holds what reads the source; it is cancelled when nobody watches any more."""
        self._last: T | None = None
        self._error: SwarmError | None = None
        self._moved = trio.Event()

    def give(self, value: T) -> None:
        """Give the watchers the next value."""
        self._last = value
        self._wake()

    def end(self, error: SwarmError | None) -> None:
        """Give no more. error: why, if it is not the source's regular end."""
        self.over, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    async def next(self) -> T | None:
        """Return the next value; None at the end.

        Raises:
            SwarmError: the values can't be had (any more).
        """
        if not self.over:
            await self._moved.wait()
        if self._error is not None:
            raise self._error.__class__(self._error.message, details=self._error.details)
        return None if self.over else self._last


class Feeds(Generic[Key, T]):
    """The feeds that somebody watches, by their sources."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._feeds: dict[Key, Feed[T]] = {}

    @asynccontextmanager
    async def of(self, key: Key, what: str, read: Callable[[Feed[T]], Awaitable[None]]) -> AsyncGenerator[Feed[T]]:
        """Watch a source: the first watcher begins to read it, and the last one ends that.

        what: names the task in the log. read: gives the feed its values, inside the feed's scope, and ends it.
        """
        feed = self._feeds.get(key)
        if feed is None or feed.over:
            feed = self._feeds[key] = Feed[T]()
            self._nursery.start_soon(supervised, what, read, feed)
        feed.watchers += 1
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                feed.scope.cancel()
                if self._feeds.get(key) is feed:
                    del self._feeds[key]
