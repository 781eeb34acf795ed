"""A container: its record, its group, and what they say together of how it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from ..azure.spec import Body, part
from ..enginekit.seen import Seen, SeenState
from .record import Record
from .state import KILLED, state


@dataclass(eq=False)
class Instance(Seen[SeenState]):
    """A container as Azure has it now. `Mirror` keeps it up to date."""

    record: Record
    group: Body | None = None
    """Its container group; None before its start, and after its end."""
    is_known: bool = True
    """Whether its state was seen before, so that a difference is news."""
    starting: bool = False
    """Whether its start is under way here."""
    failure: str = ""
    """Why its last start failed."""

    def __post_init__(self) -> None:
        self.id = self.record.id
        self.name = self.record.name
        self.created = self.record.created
        self.config: dict[str, Any] = self.record.config
        self.state = state(self.group)

    def update(self, record: Record, group: Body | None) -> SeenState:
        """Take what Azure has now, and wake those who wait; returns the state before."""
        before = self.state
        self.record, self.group, self.config = record, group, record.config
        self.state = state(group)
        self.wake()
        return before

    def lose(self) -> None:
        """Note that it is gone with its group while it ran."""
        self.group = None
        self.state = replace(self.state, status="exited", exit_code=KILLED, finished=time.time())

    # What is shown.

    @property
    def host(self) -> dict[str, Any]:
        """The host's side of its configuration."""
        return self.record.host

    @property
    def image(self) -> str:
        """The name of its image."""
        return self.record.image

    @property
    def command(self) -> list[str]:
        """The words of its command; none if it is its image's."""
        return self.record.command

    @property
    def network_mode(self) -> str:
        """The network that it asks for."""
        return self.record.network or "default"

    @property
    def error(self) -> str:
        """Why its last start failed."""
        return self.failure or self.state.error

    @property
    def started(self) -> float:
        """When its last run began."""
        return self.state.started

    @property
    def finished(self) -> float:
        """When its last run ended."""
        return self.state.finished

    @property
    def pid(self) -> int:
        """Its process id; Azure does not tell it."""
        return 1 if self.running else 0

    @property
    def address(self) -> str:
        """Its address, at which its ports are; "" if Azure tells none."""
        return str(part(self.group or {}, "properties", "ipAddress").get("ip") or "")
