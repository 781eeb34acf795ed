"""A container that lives elsewhere, in a cluster or a cloud, as it is seen from here."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import trio

from .container import Configured


@dataclass(frozen=True)
class SeenState:
    """How a container is, in an engine's words. Times are seconds since the epoch, 0 for never."""

    status: str = "created"
    exit_code: int = 0
    error: str = ""
    started: float = 0.0
    finished: float = 0.0
    restarts: int = 0

    @property
    def running(self) -> bool:
        """Whether it runs, in Docker's sense: also while it is paused or about to be restarted."""
        return self.status in ("running", "paused", "restarting")


S = TypeVar("S", bound=SeenState)


@dataclass(eq=False, kw_only=True)
class Seen(Configured, Generic[S]):
    """A container whose state others change too: those who wait look again whenever a change is seen."""

    state: S = field(init=False)
    stoppers: int = 0
    """Calls and streams for whose time it is not removed when it ends."""
    started_here: bool = False
    """Whether this gateway has started it, and so removes it when it ends, if it removes itself."""
    exited: trio.Event = field(default_factory=trio.Event)
    """Set at the end of this run, or of the next one where none is under way; each run has its own."""
    removed: trio.Event = field(default_factory=trio.Event)
    _changed: trio.Event = field(default_factory=trio.Event)

    @property
    def status(self) -> str:
        """An engine's word for its state."""
        return self.state.status

    @property
    def running(self) -> bool:
        """Whether it runs, or is paused or about to be restarted."""
        return self.state.running

    @property
    def exit_code(self) -> int:
        """The exit code of its last run."""
        return self.state.exit_code

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
