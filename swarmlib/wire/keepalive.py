"""The time of a session, on trio: whether the peer is still there."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..errors import SwarmError, Unavailable
from .session import Session


class Keepalive:
    """Looks after the peer being there.

    ticked: called when the session may have something to say.
    dead: called when the peer has been silent for too long.
    """

    def __init__(self, session: Session, *, ticked: Callable[[], None], dead: Callable[[SwarmError], None]) -> None:
        self._session = session
        self._ticked = ticked
        self._dead = dead

    async def run(self) -> None:
        """Tell the session the time whenever it is due, until it has ended."""
        while not self._session.over:
            await trio.sleep_until(self._session.next_tick)
            try:
                self._session.tick(trio.current_time())
            except Unavailable as exc:
                self._dead(exc)
            self._ticked()
