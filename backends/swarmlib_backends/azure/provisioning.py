"""Provisioning of virtual machines with all that they need, and their removal, so that nothing is left behind.

If a step fails or is cancelled, all that was created before it is rolled back. The rollback outlives the call: a caller
that cancels does not wait for Azure. What could not be removed is named.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import uuid4

import trio
from azure.core import MatchConditions

from swarmlib import CLEANUP_SECONDS, Conflict, SwarmError
from swarmlib.errors import ungrouped

from . import patience
from . import spec as specs
from .access import Access
from .client import Arm
from .removal import Left, Remover, Say
from .resources import ADDRESSES, INTERFACES, MACHINES, NETWORKS, SECURITY_GROUPS, SHARED, kind_of
from .rollback import Rollback, Rollbacks
from .spec import (
    ATTEMPT,
    MADE,
    MAKING,
    MAKING_SECONDS,
    NETWORK,
    REACH,
    SPEC,
    SUBNET,
    TAG,
    VM,
    Body,
    Spec,
    ip_name,
    nic_name,
    tags_of,
)
from .stamps import stamp

_ATTEMPTS: Final = 3
_VANISHED: Final = frozenset(
    {"InvalidResourceReference", "ResourceNotFound", "ResourceGroupNotFound", "ResourceGroupBeingDeleted", "NotFound"}
)
"""The codes of a call that fails because another swarmd, as the last user of a shared resource, has removed it."""

Check: TypeAlias = Callable[[Body], Awaitable[None]]


async def _nothing(_machine: Body) -> None:
    """Check nothing: the machine counts as complete when Azure has made it."""


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
        self._remover = Remover(arm, group, say)
        self.rollbacks = Rollbacks(nursery, self._remover)

    def id(self, kind: str, name: str) -> str:
        """Return the id of a resource of the group."""
        return self.arm.id(self.group, kind, name)

    def plan(self, spec: Spec) -> list[str]:
        """Return the ids of all that a machine needs, in the order of creation; existing ones are not recreated."""
        shared = [] if spec.network else [self.id(NETWORKS, NETWORK)]
        address = [] if spec.private else [self.id(ADDRESSES, spec.ip_name)]
        group = f"/subscriptions/{self.arm.subscription}/resourceGroups/{self.group}"
        own = [self.id(INTERFACES, spec.nic_name), self.id(MACHINES, spec.name)]
        return [group, *shared, self.id(SECURITY_GROUPS, NETWORK), *address, *own]

    # Creation.

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
        rollback = Rollback(uuid4().hex)
        try:
            with ungrouped():
                body = await self._steps(spec, rollback)
                await serves(body)
                return await self.complete(body)
        except BaseException as exc:
            self.rollbacks.begin(rollback)
            if isinstance(exc, SwarmError):
                await (rollback.ended if self._patient else rollback.tried).wait()
                raise _with_left(exc, rollback.left) from exc.__cause__
            raise

    async def _steps(self, spec: Spec, rollback: Rollback) -> Body:
        tags = {TAG: spec.role, MADE: stamp(), VM: spec.name, ATTEMPT: rollback.attempt}
        allowed = await self._access.allowed()  # may fail, so it comes before anything is created
        await self._ensure_group(spec.location, rollback)
        group, network = self.id(SECURITY_GROUPS, NETWORK), self.id(NETWORKS, NETWORK)
        address = "" if spec.private else self.id(ADDRESSES, spec.ip_name)
        shared = {TAG: "shared", MADE: tags[MADE]}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ensure_security_group, group, spec, allowed, shared, rollback)
            if not spec.network:
                nursery.start_soon(self._ensure_shared, network, specs.network(spec.location, shared), rollback)
            if address:
                nursery.start_soon(self._put, address, spec.address(tags), rollback)
        subnet = self._subnet(spec.network) if spec.network else f"{network}/subnets/{SUBNET}"
        nic = self.id(INTERFACES, spec.nic_name)
        await self._put(nic, spec.interface(subnet, group, address, tags), rollback)
        whole = await self._access.certified(spec, nic) if spec.tls else spec
        # The certificates are not part of the comparison: they differ each time.
        told = {SPEC: spec.hash, MAKING: stamp(MAKING_SECONDS)} | ({REACH: "tls"} if spec.tls else {})
        return await self._put_machine(spec, whole.machine(nic, tags | told), rollback)

    def _subnet(self, named: str) -> str:
        if named.startswith("/"):
            return named
        network, _, subnet = named.partition("/")
        return f"{self.id(NETWORKS, network)}/subnets/{subnet or 'default'}"

    async def _ensure_group(self, location: str, rollback: Rollback) -> None:
        if await self.arm.group(self.group) is None:
            rollback.unanswered.add(self.group)
            await self.arm.put_group(self.group, {"location": location, "tags": {TAG: "shared", MADE: stamp()}})
            rollback.unanswered.discard(self.group)

    async def _ensure_shared(self, id: str, body: Body, rollback: Rollback) -> Body:
        found = await self.arm.find(id)
        if found is not None:
            _check_ours(id, found)
            if found["properties"].get("provisioningState") == "Succeeded":
                return found
        return await self._put_told(id, body, rollback)

    async def _ensure_security_group(
        self, id: str, spec: Spec, allowed: list[str], tags: dict[str, str], rollback: Rollback
    ) -> None:
        found = await self._ensure_shared(id, specs.security_group(spec.location, allowed, spec.port, tags), rollback)
        rules = specs.parts(found["properties"], "securityRules")
        known = {specs.opened(each) for each in rules}
        taken = max((int(each["properties"]["priority"]) for each in rules), default=999)
        operations = self.arm.network.security_rules
        for number, source in enumerate([each for each in allowed if (each, str(spec.port)) not in known], taken - 999):
            rule = specs.rule(number, source, spec.port)
            begin = partial(operations.begin_create_or_update, self.group, NETWORK, rule["name"], rule)
            await self.arm.finished(begin)

    async def _put(self, id: str, body: Body, rollback: Rollback) -> Body:
        """Create a resource of this machine alone; one that a crashed attempt has left is taken over.

        Raises:
            Conflict: the resource exists, and is not swarmlib's.
        """
        found = await self.arm.find(id)
        if found is not None:
            _check_ours(id, found)
        return await self._put_told(id, body, rollback)

    async def _put_machine(self, spec: Spec, body: Body, rollback: Rollback) -> Body:
        new = {"etag": "*", "match_condition": MatchConditions.IfMissing}
        id = self.id(MACHINES, spec.name)
        try:
            return await self._put_told(id, body, rollback, **new)
        except Conflict as exc:
            if exc.details.get("azure") not in ("PreconditionFailed", "ConditionNotMet"):
                raise
            found = await self._existing(spec)  # another swarmd was faster
            if found is None:
                raise
            return found

    async def _put_told(self, id: str, body: Body, rollback: Rollback, **options: Any) -> Body:
        if kind_of(id) not in SHARED:
            rollback.made.append(id)
        rollback.unanswered.add(id)
        self._say(id, "making")
        try:
            found = await self.arm.put(id, body, **options)
        except SwarmError as exc:
            if "azure" in exc.details:
                rollback.unanswered.discard(id)
            raise
        rollback.unanswered.discard(id)
        self._say(id, "made")
        return found

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


def _check_ours(id: str, found: Body) -> None:
    """Raise Conflict if a resource was not made by swarmlib."""
    if TAG not in tags_of(found):
        raise Conflict(f"{id} exists and was not made by swarmlib: choose another name for the machine, or --network")


def _with_left(exc: SwarmError, left: Sequence[str]) -> SwarmError:
    if not left:
        return exc
    return type(exc)(f"{exc.message} Could not be removed: {'; '.join(left)}", path=exc.path, details=exc.details)
