"""The rollbacks of what failed or was cancelled: they outlive the call, so that its caller does not wait for Azure."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import trio

from .removal import Remover

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Rollback:
    """The removal of what one attempt created; once it has `ended`, `left` names what could not be removed."""

    made: list[str]
    left: list[str] = field(default_factory=list[str])
    ended: trio.Event = field(default_factory=trio.Event)


class Rollbacks:
    """The rollbacks that are under way in one resource group."""

    def __init__(self, nursery: trio.Nursery, remover: Remover) -> None:
        self._nursery = nursery
        self._remover = remover
        self._pending: list[Rollback] = []

    def begin(self, rollback: Rollback, attempt: str) -> None:
        """Begin a rollback; it continues in the background."""
        self._pending.append(rollback)
        self._nursery.start_soon(self._run, rollback, attempt)

    async def _run(self, rollback: Rollback, attempt: str) -> None:
        rollback.left = [f"{id}: it was not tried any more" for id in rollback.made]
        rollback.left = await self._remover.remove(rollback.made, attempt)
        rollback.ended.set()
        self._pending.remove(rollback)
        if rollback.left:
            _log.error("not removed: %s; `swarmd azure sweep` removes it later", "; ".join(rollback.left))

    async def settle(self) -> None:
        """Wait for the rollbacks that are under way; if this is cancelled, log what may not have been removed."""
        try:
            for rollback in [*self._pending]:
                await rollback.ended.wait()
        finally:
            for rollback in self._pending:
                names = ", ".join(rollback.made)
                _log.error("perhaps not removed: %s; `swarmd azure sweep` removes it later", names)
