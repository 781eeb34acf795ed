"""Processes in containers of which only the gateway that has made them knows: what runs them remembers nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from .container import Configured
from .events import Events
from .execs import ExecOperations
from .played import Played

_KEPT: Final = 1000
"""Processes that do not run, and can still be asked for."""


C = TypeVar("C", bound=Played)


@dataclass(eq=False)
class RememberedExec(Configured, Generic[C]):
    """A process to be, that runs, or that has ended, in a container. See `PlayedExec`."""

    id: str
    container: C
    config: dict[str, Any]
    begun: bool = False
    over: bool = False
    code: int | None = None
    pid: int = 0

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.begun and not self.over

    @property
    def shown(self) -> str:
        """Its command as events say it: a space after the program, also where nothing follows."""
        program, *words = self.config["Cmd"]
        return f"{program} {' '.join(words)}"


E = TypeVar("E", bound=RememberedExec[Any])


class RememberedExecs(ExecOperations[C, E]):
    """Remembers processes, and tells what happens to them."""

    def __init__(self, container: Callable[[str], C], events: Events) -> None:
        super().__init__(container)
        self.events = events
        self._known: dict[str, E] = {}

    def lookup(self, id: str) -> E | None:
        """See `ExecOperations`."""
        found = self._known.get(id)
        return None if found is None or found.container.removed.is_set() else found

    def ids_of(self, container: C) -> list[str]:
        """Return the ids of the processes in a container that have not ended, as far as this gateway has made them."""
        return [id for id, each in self._known.items() if each.container is container and not each.over]

    def remember(self, made: E) -> E:
        """Remember a new process, and return it; of those that do not run, the oldest ones are forgotten."""
        for id in [id for id, each in self._known.items() if not each.running][: -_KEPT + 1]:
            del self._known[id]
        self._known[made.id] = made
        self.tell(made, f"exec_create: {made.shown}")
        return made

    def tell(self, each: E, action: str, **attributes: str) -> None:
        """Tell what happens to a process."""
        self.events.tell_container(each.container, action, execID=each.id, **attributes)
