"""What calls need of a container that is played; `Container` is one, and a backend may have others."""

from __future__ import annotations

from typing import Any, Protocol

import trio

from .stdio import Attachable


class Played(Protocol):
    """A container as the operations, lists and events see it."""

    id: str
    name: str
    config: dict[str, Any]
    """The body of its creation."""
    created: float
    """When it was made, in seconds since the epoch."""
    stoppers: int
    """Calls for whose time it does not remove itself when it ends."""

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        ...

    @property
    def status(self) -> str:
        """An engine's word for its state."""
        ...

    @property
    def exit_code(self) -> int:
        """That of its last run."""
        ...

    @property
    def running(self) -> bool:
        """Whether it runs, or is paused or about to be restarted."""
        ...

    @property
    def exited(self) -> trio.Event:
        """Set at the end of this run, or of the next one."""
        ...

    @property
    def removed(self) -> trio.Event:
        """Set when it is gone."""
        ...

    @property
    def stop_signal(self) -> int:
        """The signal that asks it to end."""
        ...

    @property
    def grace(self) -> int:
        """Seconds that it then has; a negative number stands for any time."""
        ...


class Streamed(Played, Attachable, Protocol):
    """A container whose output the backend itself keeps."""

    def resize(self, rows: int, columns: int) -> None:
        """Tell it the size of its terminal."""
