"""The clients that are connected at once: how many there may be, and who makes room when there are too many."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

_log = logging.getLogger("swarmlib")


class Guest(Protocol):
    """A connection that can be cut."""

    def abort(self) -> None:
        """Cut the connection."""


class Crowd:
    """Up to `most` connections. Where there is one too many, that one goes which has been idle the longest: its
    client can connect again at any time, and would rather do so than see another's call refused.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._present = 0
        self._idle: dict[Guest, None] = {}  # a dict keeps the order in which they became idle
        self._full = False

    @contextmanager
    def place(self) -> Generator[bool]:
        """A place for one more; False where there is none, since every client is in the middle of a call."""
        found = self._present < self._most or self._make_room()
        if not found and not self._full:
            _log.warning("dockerserver: %d clients are in the middle of a call; more are refused", self._present)
        self._full = not found
        self._present += found
        try:
            yield found
        finally:
            self._present -= found

    def _make_room(self) -> bool:
        if not self._idle:
            return False
        longest = next(iter(self._idle))
        self.busy(longest)
        longest.abort()
        return True

    def idle(self, guest: Guest) -> None:
        """It waits for a request."""
        self._idle[guest] = None

    def busy(self, guest: Guest) -> None:
        """It has one, or is gone."""
        self._idle.pop(guest, None)
