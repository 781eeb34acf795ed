"""Locks by key: what must not be done twice at the same time, as giving a name, is done by one call after the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Generic, TypeVar

import trio

Key = TypeVar("Key", bound=Hashable)


class KeyedLocks(Generic[Key]):
    """A lock for each key, kept only while somebody has it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[Key, trio.Lock] = {}

    @asynccontextmanager
    async def of(self, *keys: Key) -> AsyncGenerator[None]:
        """Have the turn of each of these keys. They are taken in one order, so that no two wait for each other."""
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
            if not lock.locked():  # nobody waits for it either, or it would be theirs by now
                self._locks.pop(key, None)
