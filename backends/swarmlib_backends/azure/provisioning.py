"""Provisioning of virtual machines with all that they need, and their removal, so that nothing is left behind.

If a step fails or is cancelled, all that was created before it is rolled back. The rollback outlives the call: a caller
that cancels does not wait for Azure. What could not be removed is named.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import uuid4

import trio
from azure.core import MatchConditions

from swarmlib import CLEANUP_SECONDS, Conflict, SwarmError
from swarmlib.errors import ungrouped

from . import spec as specs
from .access import Access
from .client import Arm
from .removal import Remover, Say
from .resources import ADDRESSES, INTERFACES, MACHINES, NETWORKS, SECURITY_GROUPS
from .rollback import Rollback, Rollbacks
from .spec import ATTEMPT, MADE, NETWORK, REACH, SPEC, SUBNET, TAG, VM, Body, Spec, tags_of

_log = logging.getLogger(__name__)

_ATTEMPTS: Final = 3
_VANISHED: Final = frozenset(
    {"InvalidResourceReference", "ResourceNotFound", "ResourceGroupNotFound", "ResourceGroupBeingDeleted", "NotFound"}
)
"""The codes of a call that fails because another swarmd, as the last user of a shared resource, has removed it."""
_PROVISION_PAUSE: Final = 2.0


class Maker:
    """Creates and removes the machines of one resource group.

    access: determines who may reach the machines, and has the certificates of those that are reached by TLS.
    """

    def __init__(self, arm: Arm, group: str, nursery: trio.Nursery, access: Access, say: Say) -> None:
        self.arm = arm
        self.group = group
        self._access = access
        self._say = say
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

    async def make(self, spec: Spec) -> Body:
        """Create a machine, and return its body once it runs. Creating the same machine twice gives one machine.

        Raises:
            Conflict: another machine has the name.
            SwarmError: Azure refuses, or fails; then all is rolled back, except what the error names as left.
        """
        for attempt in range(_ATTEMPTS):
            if (found := await self._existing(spec)) is not None:
                return found
            try:
                return await self._attempt(spec)
            except SwarmError as exc:
                if exc.details.get("azure") not in _VANISHED or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _existing(self, spec: Spec) -> Body | None:
        """Return the machine of that name, once its creation has ended; None if there is none."""
        while (found := await self.arm.find(self.id(MACHINES, spec.name))) is not None:
            if tags_of(found).get(SPEC) != spec.hash:
                raise Conflict(f"the name {spec.name} is in use by another virtual machine of {self.group}")
            match found["properties"].get("provisioningState"):
                case "Creating" | "Updating" | "Deleting":
                    await trio.sleep(_PROVISION_PAUSE)  # it is another's work: only polling shows its end
                case "Failed":
                    raise Conflict(f"{spec.name} exists already, but could not be completed: remove it, and try again")
                case _:
                    return found
        return None

    async def _attempt(self, spec: Spec) -> Body:
        rollback = Rollback([])
        attempt = uuid4().hex
        tags = {TAG: spec.role, MADE: _now(), VM: spec.name, ATTEMPT: attempt}
        try:
            with ungrouped():
                return await self._steps(spec, tags, rollback.made)
        except BaseException as exc:
            self.rollbacks.begin(rollback, attempt)
            if isinstance(exc, SwarmError):
                await rollback.ended.wait()
                raise _with_left(exc, rollback.left) from exc.__cause__
            raise

    async def _steps(self, spec: Spec, tags: dict[str, str], made: list[str]) -> Body:
        allowed = await self._access.allowed()  # may fail, so it comes before anything is created
        await self._ensure_group(spec.location, made)
        group, network = self.id(SECURITY_GROUPS, NETWORK), self.id(NETWORKS, NETWORK)
        address = "" if spec.private else self.id(ADDRESSES, spec.ip_name)
        shared = {TAG: "shared", MADE: tags[MADE]}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ensure_security_group, group, spec, allowed, shared, made)
            if not spec.network:
                nursery.start_soon(self._ensure_shared, network, specs.network(spec.location, shared), made)
            if address:
                nursery.start_soon(self._put, address, spec.address(tags), made)
        subnet = self._subnet(spec.network) if spec.network else f"{network}/subnets/{SUBNET}"
        nic = self.id(INTERFACES, spec.nic_name)
        await self._put(nic, spec.interface(subnet, group, address, tags), made)
        whole = await self._access.certified(spec, nic) if spec.tls else spec
        # The certificates are not part of the comparison: they differ each time.
        told = {SPEC: spec.hash} | ({REACH: "tls"} if spec.tls else {})
        return await self._put_machine(spec, whole.machine(nic, tags | told), made)

    def _subnet(self, named: str) -> str:
        if named.startswith("/"):
            return named
        network, _, subnet = named.partition("/")
        return f"{self.id(NETWORKS, network)}/subnets/{subnet or 'default'}"

    async def _ensure_group(self, location: str, made: list[str]) -> None:
        if await self.arm.group(self.group) is None:
            made.append(self.group)
            await self.arm.put_group(self.group, {"location": location, "tags": {TAG: "shared", MADE: _now()}})

    async def _ensure_shared(self, id: str, body: Body, made: list[str]) -> Body:
        found = await self.arm.find(id)
        if found is not None and found["properties"].get("provisioningState") == "Succeeded":
            return found
        return await self._put_told(id, body, made)

    async def _ensure_security_group(
        self, id: str, spec: Spec, allowed: list[str], tags: dict[str, str], made: list[str]
    ) -> None:
        found = await self._ensure_shared(id, specs.security_group(spec.location, allowed, spec.port, tags), made)
        rules = specs.parts(found["properties"], "securityRules")
        known = {specs.opened(each) for each in rules}
        taken = max((int(each["properties"]["priority"]) for each in rules), default=999)
        operations = self.arm.network.security_rules
        for number, source in enumerate([each for each in allowed if (each, str(spec.port)) not in known], taken - 999):
            rule = specs.rule(number, source, spec.port)
            begin = partial(operations.begin_create_or_update, self.group, NETWORK, rule["name"], rule)
            await self.arm.finished(begin)

    async def _put(self, id: str, body: Body, made: list[str]) -> Body:
        """Create a resource of this machine alone; one that a crashed attempt has left is taken over.

        Raises:
            Conflict: the resource exists, and is not swarmlib's.
        """
        found = await self.arm.find(id)
        if found is not None and TAG not in tags_of(found):
            raise Conflict(f"{id} exists and was not made by swarmlib: choose another name for the machine")
        return await self._put_told(id, body, made)

    async def _put_machine(self, spec: Spec, body: Body, made: list[str]) -> Body:
        new = {"etag": "*", "match_condition": MatchConditions.IfMissing}
        id = self.id(MACHINES, spec.name)
        try:
            return await self._put_told(id, body, made, **new)
        except Conflict as exc:
            if exc.details.get("azure") not in ("PreconditionFailed", "ConditionNotMet"):
                raise
            found = await self._existing(spec)  # another swarmd was faster
            if found is None:
                raise
            return found

    async def _put_told(self, id: str, body: Body, made: list[str], **options: Any) -> Body:
        made.append(id)
        self._say(id, "making")
        found = await self.arm.put(id, body, **options)
        self._say(id, "made")
        return found

    # Removal.

    async def remove(self, machine: Body) -> None:
        """Delete a machine with its disk, interface and address, and the shared resources if it was their last user."""
        self._say(machine["id"], "removing")
        await self.arm.delete(machine["id"])
        self._say(machine["id"], "removed")
        if TAG in tags_of(machine):
            await self.collect()

    def remove_later(self, machine: Body) -> None:
        """Remove a machine in the background, and the shared resources if it was their last user."""
        shared = [self.id(SECURITY_GROUPS, NETWORK), self.id(NETWORKS, NETWORK)]
        self.rollbacks.begin(Rollback([machine["id"], *shared, self.group]), "")

    async def collect(self) -> None:
        """Remove the shared resources, if no machine uses them any more."""
        left = await self.arm.tagged(self.group, TAG)
        if any(each["type"].lower() in (MACHINES.lower(), INTERFACES.lower()) for each in left):
            return
        shared = [each["id"] for each in left if tags_of(each).get(TAG) == "shared"]
        failed = await self._remover.remove([*shared, self.group])
        if failed:
            _log.warning("not removed: %s", "; ".join(failed))


@asynccontextmanager
async def provisioning(
    arm: Arm, group: str, access: Access, say: Say = lambda _id, _what: None
) -> AsyncGenerator[Maker]:
    """Open a maker; rollbacks under way at the end have `CLEANUP_SECONDS` to finish."""
    with ungrouped():
        async with trio.open_nursery() as nursery:
            maker = Maker(arm, group, nursery, access, say)
            try:
                yield maker
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
                    await maker.rollbacks.settle()
                nursery.cancel_scope.cancel()


def _with_left(exc: SwarmError, left: Sequence[str]) -> SwarmError:
    if not left:
        return exc
    return type(exc)(f"{exc.message} Could not be removed: {'; '.join(left)}", path=exc.path, details=exc.details)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
