"""A container that lives elsewhere, in a cluster or a cloud, as it is seen from here."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import trio

from .container import Configured


@dataclass(eq=False, kw_only=True)
class Seen(Configured):
    """A container whose state others change too: who waits for something looks again whenever a change is seen."""

    stoppers: int = 0
    """Calls and streams for whose time it is not removed when it ends."""
    started_here: bool = False
    """Whether this gateway has started it, and so removes it when it ends, if it removes itself."""
    exited: trio.Event = field(default_factory=trio.Event)
    """Set at the end of this run, or of the next one where none is under way; each run has its own."""
    removed: trio.Event = field(default_factory=trio.Event)
    _changed: trio.Event = field(default_factory=trio.Event)

    def tell_exit(self) -> None:
        """Wake those who wait for its end."""
        self.exited.set()
        self.exited = trio.Event()

    def wake(self) -> None:
        """Have all that wait for a change look again."""
        self._changed.set()
        self._changed = trio.Event()

    async def next_change(self) -> None:
        """Wait for the next change that is seen of it."""
        await self._changed.wait()

    async def until(self, fits: Callable[[Self], bool]) -> None:
        """Wait until it fits, or is removed."""
        while not (fits(self) or self.removed.is_set()):
            await self.next_change()

    @contextmanager
    def kept(self) -> Generator[None]:
        """Keep it from being removed at its end, for the time of the context."""
        self.stoppers += 1
        try:
            yield
        finally:
            self.stoppers -= 1
            self.wake()
