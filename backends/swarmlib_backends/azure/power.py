"""The power of a machine that runs an engine: switched on and off, in agreement with the other swarmds of its group."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from swarmlib import UNSENT, NotFound, Unavailable

from .client import Arm
from .host_keys import HostKeys
from .lease import Lease
from .objects import Machine
from .shutdown import start

OFF: Final = frozenset({"deallocated", "deallocating", "stopped", "stopping"})
"""The states of a machine whose engine can't answer until it is started."""


class Power:
    """The switch of one machine."""

    def __init__(self, arm: Arm, group: str, machine: Machine, lease: Lease, host_keys: HostKeys) -> None:
        self._arm = arm
        self._group = group
        self._machine = machine
        self.lease = lease
        self._host_keys = host_keys

    async def on(self) -> None:
        """Start the machine; return once Azure has done so, and the machine's host key is known.

        Raises:
            Unavailable: the machine no longer exists.
            SwarmError: Azure refuses, or fails.
        """
        try:
            await start(self._arm, self._group, self._machine)
        except NotFound as exc:
            text = f"{self._machine.name} no longer exists: {exc.message}"
            raise Unavailable(text, details={UNSENT: True}) from exc
        await self._host_keys.learn(self._machine)

    async def off(self, ready: Callable[[], bool]) -> bool:
        """Deallocate the machine, unless another swarmd uses it; return whether that was done.

        ready: is called at the last moment, and returns whether the machine may really be switched off.
        """
        went_off = False
        try:
            if await self.lease.announce() and ready():
                operations = self._arm.compute.virtual_machines
                await self._arm.finished(partial(operations.begin_deallocate, self._group, self._machine.name))
                went_off = True
        finally:
            # If this swarmd began to use it meanwhile, its lease must stay.
            await (self.lease.release() if went_off else self.lease.withdraw())
        return went_off

    async def claim(self) -> bool:
        """Say that this swarmd uses the machine; return False if it is off, because another one has deallocated it."""
        if not await self.lease.hold():
            return True
        found = await self._arm.find(self._machine.arm_id, expand="instanceView")
        return found is None or Machine.of(found).power not in OFF
