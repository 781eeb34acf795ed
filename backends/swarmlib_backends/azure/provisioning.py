"""Provisioning of virtual machines with all that they need, and their removal, so that nothing is left behind.

If a step fails or is cancelled, all that was created before it is rolled back. The rollback outlives the call: a caller
that cancels does not wait for Azure. What could not be removed is named.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import trio

from swarmlib import CLEANUP_SECONDS, Conflict, SwarmError
from swarmlib.errors import ungrouped

from . import patience
from .access import Access
from .attempt import Attempt
from .choice import Choice
from .client import Arm
from .preflight import check_made_here, checked
from .removal import Left, Remover, Say
from .resources import ADDRESSES, GATEWAYS, INTERFACES, MACHINES, NETWORKS, SCHEDULES, SECURITY_GROUPS
from .rollback import Rollbacks
from .shutdown import schedule_name
from .sizes import Sizes
from .spec import MAKING, MAX_HOURS, NETWORK, SPEC, TAG, Body, Spec, ip_name, nic_name, tags_of

_ATTEMPTS: Final = 3
_VANISHED: Final = frozenset(
    {"InvalidResourceReference", "ResourceNotFound", "ResourceGroupNotFound", "ResourceGroupBeingDeleted", "NotFound"}
)
"""The codes of a call that fails because another swarmd, as the last user of a shared resource, has removed it."""

Check: TypeAlias = Callable[[Body], Awaitable[None]]


async def _nothing(_machine: Body) -> None:
    """Check nothing: the machine counts as complete when Azure has made it."""


@dataclass(frozen=True)
class Plan:
    """What a creation would do.

    resources: the ids of all that the machine needs, in the order of creation, and whether each exists. choices: as
    `Checked`; none if the machine exists. unchecked: as `Checked`.
    """

    resources: Mapping[str, bool]
    choices: Sequence[Choice]
    unchecked: Sequence[str]


class Maker:
    """Creates and removes the machines of one resource group.

    access: determines who may reach the machines, and has the certificates of those that are reached by TLS. patient:
    whether a creation that fails returns only when its rollback has ended, not when it was tried once.
    """

    def __init__(
        self, arm: Arm, group: str, nursery: trio.Nursery, access: Access, say: Say, *, patient: bool = False
    ) -> None:
        self.arm = arm
        self.group = group
        self._access = access
        self._say = say
        self._patient = patient
        self.sizes = Sizes(arm)
        self._remover = Remover(arm, group, say)
        self.rollbacks = Rollbacks(nursery, self._remover)

    def id(self, kind: str, name: str) -> str:
        """Return the id of a resource of the group."""
        return self.arm.id(self.group, kind, name)

    # Creation.

    async def plan(self, spec: Spec) -> Plan:
        """Check all that `make` checks before it makes anything, and return what it would do.

        Raises:
            Conflict: another machine has the name, or the name of something that the machine needs is in use by others.
            SwarmError: as `preflight.checked`.
        """
        there = await self._existing(spec) is not None
        found = None if there else await checked(self.arm, self.group, self._access, self.sizes, spec)
        resources = {id: await self._is_there(id) for id in self._needed(spec)}
        return Plan(resources, found.choices if found else (), found.unchecked if found else ())

    async def _is_there(self, id: str) -> bool:
        """Return whether a resource, or the group, exists. Raises Conflict if it is a resource of others."""
        if len(id.split("/")) == 5:
            return await self.arm.group(self.group) is not None
        found = await self.arm.find(id)
        if found is not None:
            check_made_here(id, found)
        return found is not None

    def _needed(self, spec: Spec) -> list[str]:
        """Return the ids of all that a machine needs, in the order of creation."""
        gateway = [self.id(ADDRESSES, NETWORK), self.id(GATEWAYS, NETWORK)] if spec.nat else []
        shared = [] if spec.network else [*gateway, self.id(NETWORKS, NETWORK)]
        address = [] if spec.private else [self.id(ADDRESSES, spec.ip_name)]
        group = f"/subscriptions/{self.arm.subscription}/resourceGroups/{self.group}"
        own = [self.id(INTERFACES, spec.nic_name), self.id(MACHINES, spec.name)]
        own += [self.id(SCHEDULES, schedule_name(spec.name))] if spec.max_hours else []
        return [group, *shared, self.id(SECURITY_GROUPS, NETWORK), *address, *own]

    async def make(self, spec: Spec, serves: Check = _nothing) -> Body:
        """Create a machine, and return its body once it runs. Creating the same machine twice gives one machine.

        serves: is awaited before the machine counts as complete. Until then it has a tag by which a rollback, or
        later a sweep, recognises it as unfinished.

        Raises:
            Conflict: another machine has the name.
            SwarmError: Azure refuses, or fails, or `serves` raises it; then all is rolled back, except what the error
                names as left.
        """
        for attempt in range(_ATTEMPTS):
            if (found := await self._existing(spec)) is not None:
                await self.admit(spec)
                await serves(found)
                return await self.complete(found)
            try:
                return await self._attempt(spec, serves)
            except SwarmError as exc:
                if exc.details.get("azure") not in _VANISHED or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def complete(self, machine: Body) -> Body:
        """Take the tag of unfinished machines off a machine, and return its body without it."""
        tags = tags_of(machine)
        if MAKING not in tags:
            return machine
        await self.arm.untag(machine["id"], {MAKING: tags[MAKING]})
        return machine | {"tags": {name: value for name, value in tags.items() if name != MAKING}}

    async def _existing(self, spec: Spec) -> Body | None:
        """Return the machine of that name, once its creation has ended; None if there is none."""
        while (found := await self.arm.find(self.id(MACHINES, spec.name))) is not None:
            if tags_of(found).get(SPEC) != spec.hash:
                raise Conflict(f"the name {spec.name} is in use by another virtual machine of {self.group}")
            match found["properties"].get("provisioningState"):
                case "Creating" | "Updating" | "Deleting":
                    await trio.sleep(patience.SETTLE_SECONDS)  # it is another's work: only polling shows its end
                case "Failed" if MAKING in tags_of(found):
                    raise Conflict(f"{spec.name} exists already, but could not be completed: remove it, and try again")
                case _:
                    return found
        return None

    async def _attempt(self, spec: Spec, serves: Check) -> Body:
        found = await checked(self.arm, self.group, self._access, self.sizes, spec)
        attempt = Attempt(self.arm, self.group, self._access, self._say, spec, found)
        try:
            with ungrouped():
                body = await attempt.run(partial(self._existing, spec))
                await serves(body)
                return await self.complete(body)
        except BaseException as exc:
            self.rollbacks.begin(attempt.rollback)
            if isinstance(exc, SwarmError):
                await (attempt.rollback.ended if self._patient else attempt.rollback.tried).wait()
                raise _with_left(exc, attempt.rollback.left) from exc.__cause__
            raise

    async def admit(self, spec: Spec) -> None:
        """Let the addresses that are allowed now reach the existing machines of the group, and no earlier ones."""
        if (allowed := await self._access.allowed(private=spec.private)) is not None:
            await self._access.firewall(self.group).admit_to_existing(allowed, spec.port)

    # Removal.

    async def remove(self, machine: Body) -> Left:
        """Delete a machine with its disk, interface and address, and the shared resources if it was their last user.

        Of a machine that swarmlib did not make, only the machine itself, and what Azure deletes with it. Return what
        could not be removed.
        """
        id = str(machine["id"])
        if TAG not in tags_of(machine):
            self._say(id, "removing")
            await self.arm.delete(id)
            self._say(id, "removed")
            return {}
        name = str(machine["name"])
        own = [id, self.id(INTERFACES, nic_name(name)), self.id(ADDRESSES, ip_name(name))]
        own += [self.id(SCHEDULES, schedule_name(name))] if MAX_HOURS in tags_of(machine) else []
        return {**await self._remover.remove(own), **await self._remover.collect()}


@asynccontextmanager
async def provisioning(
    arm: Arm, group: str, access: Access, say: Say = lambda _id, _what: None, closing: trio.CancelScope | None = None
) -> AsyncGenerator[Maker]:
    """Open a maker.

    closing: the scope within which rollbacks that are under way at the end may finish; who has it can cancel it. By
    default, they have `CLEANUP_SECONDS`. With it, a creation that fails returns only when its rollback has ended.
    """
    with ungrouped():
        async with trio.open_nursery() as nursery:
            maker = Maker(arm, group, nursery, access, say, patient=closing is not None)
            try:
                yield maker
            finally:
                with closing or trio.CancelScope(deadline=trio.current_time() + CLEANUP_SECONDS) as scope:
                    scope.shield = True
                    await maker.rollbacks.settle()
                nursery.cancel_scope.cancel()


def _with_left(exc: SwarmError, left: Sequence[str]) -> SwarmError:
    if not left:
        return exc
    return type(exc)(f"{exc.message} Could not be removed: {'; '.join(left)}", path=exc.path, details=exc.details)
