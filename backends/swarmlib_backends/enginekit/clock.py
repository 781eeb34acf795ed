"""The time of a stage that keeps one of its own: it goes with trio's clock, and can be moved ahead.

Because it goes with trio's clock, it jumps when trio's does: under a `trio.testing.MockClock` nothing waits for real.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

import trio
from trio.testing import wait_all_tasks_blocked


class Clock:
    """Seconds since the epoch, counted from `start` (by default the machine's time) at its first use inside a run."""

    def __init__(self, start: float | None = None) -> None:
        self._start = start
        self._ahead: float | None = None
        """How far this clock is ahead of trio's."""
        self._due: set[trio.CancelScope] = set()

    def now(self) -> float:
        """Return the time."""
        if self._ahead is None:
            start = time.time() if self._start is None else self._start
            self._ahead = start - trio.current_time()
        return trio.current_time() + self._ahead

    @contextmanager
    def until(self, at: float) -> Generator[trio.CancelScope]:
        """Cancel what is inside at that time."""
        with trio.CancelScope(deadline=trio.current_time() + at - self.now()) as scope:
            self._due.add(scope)
            try:
                yield scope
            finally:
                self._due.discard(scope)

    async def sleep(self, seconds: float) -> None:
        """Wait, on this clock."""
        with self.until(self.now() + seconds):
            await trio.sleep_forever()

    async def advance(self, seconds: float) -> None:
        """Move the clock ahead, from one due moment to the next: what follows from one comes before the next."""
        end = self.now() + seconds
        while (left := end - self.now()) > 0:
            now = trio.current_time()
            due = min((scope.deadline for scope in self._due), default=now + left)
            self._jump(min(max(due - now, 0), left))
            await wait_all_tasks_blocked()

    def _jump(self, seconds: float) -> None:
        self._ahead = self.now() - trio.current_time() + seconds
        for scope in self._due:
            scope.deadline -= seconds
