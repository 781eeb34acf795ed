"""The rollbacks of what failed or was cancelled: they outlive the call, so that its caller does not wait for Azure."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import trio

from swarmlib import SwarmError

from . import patience
from .removal import Left, Remover, named

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Rollback:
    """The removal of what one attempt made. Once it was `tried`, `left` names what is not removed (yet).

    attempt: the tag of what it made. made: the ids. unanswered: those whose creation got no answer from Azure, so that
    they may appear a little later.
    """

    attempt: str
    made: list[str] = field(default_factory=list[str])
    unanswered: set[str] = field(default_factory=set[str])
    left: list[str] = field(default_factory=list[str])
    tried: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=lambda: trio.CancelScope(shield=True))
    """The removal goes on when the caller is cancelled, until `Rollbacks.settle` ends it."""

    def note(self, left: Left) -> None:
        """Note what is left after the first try, when it is going to be tried again."""
        self.left = [f"{each} (it is tried again)" for each in named(left)]
        self.tried.set()


class Rollbacks:
    """The rollbacks that are under way in one resource group."""

    def __init__(self, nursery: trio.Nursery, remover: Remover) -> None:
        self._nursery = nursery
        self._remover = remover
        self._pending: list[Rollback] = []

    def begin(self, rollback: Rollback) -> None:
        """Begin a rollback; it continues in the background."""
        self._pending.append(rollback)
        self._nursery.start_soon(self._run, rollback)

    async def _run(self, rollback: Rollback) -> None:
        left: Left = {}
        with rollback.scope:
            try:
                left = await self._removed(rollback)
            except SwarmError as exc:
                left = {f"what {', '.join(rollback.made)} shared": exc}
        if rollback.scope.cancelled_caught:
            return
        rollback.left = named(left)
        rollback.tried.set()
        rollback.ended.set()
        self._pending.remove(rollback)
        if rollback.left:
            _log.error("not removed: %s; `swarmd azure sweep` removes it later", "; ".join(rollback.left))

    async def _removed(self, rollback: Rollback) -> Left:
        left = await self._remover.remove(rollback.made, rollback.attempt, rollback.note)
        if rollback.unanswered:
            await trio.sleep(patience.SETTLE_SECONDS)
            late = [each for each in rollback.made if each in rollback.unanswered]
            left = {**left, **await self._remover.remove(late, rollback.attempt, rollback.note)}
        return {**left, **await self._remover.collect()}

    async def settle(self) -> None:
        """Wait for the rollbacks that are under way; if this is cancelled, end them, and log what they may leave."""
        try:
            for rollback in [*self._pending]:
                await rollback.ended.wait()
        finally:
            for rollback in self._pending:
                names = ", ".join(rollback.made)
                _log.error("perhaps not removed: %s; `swarmd azure sweep` removes it later", names)
                rollback.scope.cancel()
