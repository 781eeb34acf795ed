"""The lease on a machine: tags by which the swarmds of a group see what others use, and deallocate nothing under them.

A swarmd that uses a machine gives it the tag swarmlib.use.ID, whose value is the time until which the machine counts as
used, and renews it. Before it deallocates a machine, it sets swarmlib.off.ID. Each sets its own tag first and then
looks at those of others: Azure merges tags one change after the other, and answers with the result. So at least one of
two sees the other, and the one that wants to deallocate gives way. The swarmds' clocks must agree within two minutes.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Final

import trio

from swarmlib import CLEANUP_SECONDS, Conflict, SwarmError, Unavailable

from . import patience
from .client import Arm
from .spec import TAG
from .stamps import is_past, stamp

_log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 300.0
_OFF_SECONDS: Final = 180.0
"""For how long a swarmd may be about to deallocate a machine."""
_USE: Final = f"{TAG}.use."
_OFF: Final = f"{TAG}.off."


class Lease:
    """What one swarmd and the others say about their use of one machine."""

    def __init__(self, arm: Arm, machine: str, tags: Mapping[str, str], holder: str) -> None:
        self._arm = arm
        self._machine = machine
        self._use, self._off = f"{_USE}{holder}", f"{_OFF}{holder}"
        self._others: Mapping[str, str] = {}
        self._own: dict[str, str] = {}
        self._renew_at = 0.0
        self._lock = trio.Lock()
        self.see(tags)

    @staticmethod
    def new_holder() -> str:
        """Return a name for a swarmd, different from those of all others."""
        return secrets.token_hex(4)

    def see(self, tags: Mapping[str, str]) -> None:
        """Note what others say, as the machine's tags have it."""
        said = {name: value for name, value in tags.items() if name.startswith((_USE, _OFF))}
        self._others = {name: value for name, value in said.items() if name not in (self._use, self._off)}

    def _said_by_others(self, prefix: str) -> list[str]:
        return [name for name, value in self._others.items() if name.startswith(prefix) and not is_past(value)]

    @property
    def used_by_others(self) -> bool:
        """Whether another swarmd uses the machine, as far as was last seen."""
        return bool(self._said_by_others(_USE))

    async def hold(self) -> bool:
        """Say that this swarmd uses the machine, once no other one is deallocating it; return whether that was new.

        It is not new if it was said not long ago. If Azure does not take the tag, the machine is used without a lease,
        and a warning is logged.
        """
        async with self._lock:
            if trio.current_time() < self._renew_at:
                return False
            try:
                with trio.move_on_after(_OFF_SECONDS) as scope:
                    while not await self._is_set_alone():  # noqa: ASYNC110 - only asking shows what others do
                        await trio.sleep(patience.SETTLE_SECONDS)
                if scope.cancelled_caught:
                    raise Unavailable(f"others have been changing it for {_OFF_SECONDS:g} s")
                self._renew_at = trio.current_time() + LEASE_SECONDS / 2
            except SwarmError as exc:
                self._renew_at = trio.current_time() + LEASE_SECONDS / 10
                name = self._machine.rpartition("/")[2]
                _log.warning("%s has no lease, so that another swarmd may deallocate it: %s", name, exc.message)
            return True

    async def renew(self) -> None:
        """Renew the lease, if there is one."""
        if self._use in self._own:
            await self.hold()

    async def _is_set_alone(self) -> bool:
        try:
            await self._set(self._use, stamp(LEASE_SECONDS))
        except Conflict:  # another operation, perhaps the deallocation, is changing the machine
            return False
        return not self._said_by_others(_OFF)

    async def _set(self, name: str, value: str) -> None:
        self._own[name] = value
        self.see(await self._arm.tag(self._machine, {name: value}))

    async def announce(self) -> bool:
        """Say that this swarmd is about to deallocate the machine; return whether no other one uses it."""
        await self._set(self._off, stamp(_OFF_SECONDS))
        return not self.used_by_others

    async def withdraw(self) -> None:
        """Say no longer that this swarmd is about to deallocate the machine."""
        await self._drop(self._off)

    async def release(self) -> None:
        """Take this swarmd's tags off the machine."""
        self._renew_at = 0.0
        await self._drop(self._use, self._off)

    async def _drop(self, *names: str) -> None:
        """Remove tags of this swarmd, and those of others that are past; log it if Azure refuses."""
        past = {name: value for name, value in self._others.items() if is_past(value)}
        own = {name: self._own.pop(name) for name in names if name in self._own}
        if not own and not past:
            return
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
                self.see(await self._arm.untag(self._machine, {**own, **past}))
        except SwarmError as exc:
            _log.info("the tags of %s stay until they are past: %s", self._machine, exc.message)
