"""Locks by key: calls that must not run at the same time, such as giving a name, take turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Generic, TypeVar

import trio

Key = TypeVar("Key", bound=Hashable)


class KeyedLocks(Generic[Key]):
    """A lock for each key, kept only while a task holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[Key, trio.Lock] = {}

    @asynccontextmanager
    async def of(self, *keys: Key) -> AsyncGenerator[None]:
        """Hold the locks of these keys. They are acquired in sorted order, so that no two callers deadlock."""
        async with AsyncExitStack() as stack:
            for key in sorted(set[Any](keys)):
                await stack.enter_async_context(self._turn(key))
            yield

    @asynccontextmanager
    async def _turn(self, key: Key) -> AsyncGenerator[None]:
        lock = self._locks.setdefault(key, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():  # no task waits for it either, or it would hold the lock by now
                self._locks.pop(key, None)
