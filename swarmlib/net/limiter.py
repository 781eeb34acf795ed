"""The clients that are connected at once: how many there may be, and which one makes room when there are too many."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, TypeAlias

import trio

_log = logging.getLogger(__name__)

_OTHER_DESCRIPTORS: Final = 32
"""Descriptors that are kept for all else: listeners, logs, and what the stages hold."""
_DESCRIPTORS_EACH: Final = 2
"""Descriptors that a client takes: its own connection, and one that works for it, such as that to an engine."""


def most_connections(asked: int) -> int:
    """How many clients may be connected: `asked`, or fewer where this process may not open enough descriptors."""
    if sys.platform == "win32":
        return asked
    import resource  # it is not there on Windows

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return asked
    return min(asked, max(1, (limit - _OTHER_DESCRIPTORS) // _DESCRIPTORS_EACH))


Heed: TypeAlias = Callable[[int, int], object]
"""Heeds how many clients are connected, and how many of them are busy."""


class ClientConnection:
    """One client's connection, for as long as it is open."""

    def __init__(self, limiter: ConnectionLimiter) -> None:
        self._limiter = limiter
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        """Set when the client has closed its sending half while nobody may be reading (`hangups`)."""
        self.is_watched = False
        """Whether `ended` is set, and the connection cut when the client disconnects, even if nobody reads from it."""

    def idle(self) -> None:
        """Nothing is under way on it, and it may be cut to make room for another."""
        limiter = self._limiter
        limiter.idle[self] = None
        if limiter.heed is not None:
            limiter.tell()

    def busy(self) -> None:
        """Something is under way, and it is not cut."""
        limiter = self._limiter
        limiter.idle.pop(self, None)
        if limiter.heed is not None:
            limiter.tell()

    def abort(self) -> None:
        """Cut the connection; what is not whole is broken off, which tells the client so."""
        self.scope.cancel()


class ConnectionLimiter:
    """Admits up to `most` connections. When there is one too many, the one that has been idle the longest is cut: its
    client can connect again at any time, and a call of another client is not refused for it.

    server: its name, for the log.
    heed: called with the number of clients that are connected, and of those with a call under way, when it changes.
    """

    def __init__(self, most: int, server: str, heed: Heed | None = None) -> None:
        self._server = server
        self.heed: Final = heed
        self._most = most
        self._present = 0
        self._full = False
        self.idle: dict[ClientConnection, None] = {}
        """The idle ones, in the order in which they became so."""

    @contextmanager
    def admit(self) -> Generator[ClientConnection | None]:
        """Admit a client, as idle; None if there is no room, since no client is idle.

        The context is the connection's scope: `abort` cancels it.
        """
        found = self._present < self._most or self.make_room()
        if not found and not self._full:
            text = "%s: refused new connections: %d clients are connected, and none of them is idle"
            _log.warning(text, self._server, self._present)
        self._full = not found
        if not found:
            yield None
            return
        client = ClientConnection(self)
        self._present += 1
        client.idle()
        try:
            with client.scope:
                yield client
        finally:
            self._present -= 1
            client.busy()

    def tell(self) -> None:
        """Report how many are connected, and how many of them are busy, if somebody wants to know."""
        if self.heed is not None:
            self.heed(self._present, self._present - len(self.idle))

    def make_room(self) -> bool:
        """Cut the connection that has been idle the longest; False where none is."""
        longest = next(iter(self.idle), None)
        if longest is None:
            return False
        longest.busy()
        longest.abort()
        return True
