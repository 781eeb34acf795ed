"""One attempt to make a machine: its steps, each of which notes what it makes for the rollback."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import uuid4

import trio
from azure.core import MatchConditions

from swarmlib import Conflict, SwarmError

from . import bodies, subnets
from .access import Access
from .choice import Choice
from .client import Arm
from .failures import finds_no_room
from .preflight import Checked, check_made_here, find_shared
from .removal import Say
from .resources import ADDRESSES, GATEWAYS, INTERFACES, MACHINES, NETWORKS, SCHEDULES, SECURITY_GROUPS, is_shared
from .rollback import Rollback
from .shutdown import schedule, schedule_name
from .spec import (
    ATTEMPT,
    MADE,
    MAKING,
    MAKING_SECONDS,
    MAX_HOURS,
    NETWORK,
    REACH,
    SPEC,
    STARTED,
    TAG,
    VM,
    Body,
    Spec,
    tags_of,
)
from .stamps import stamp

_log = logging.getLogger(__name__)

Step: TypeAlias = Callable[[], Awaitable[object]]
Existing: TypeAlias = Callable[[], Awaitable[Body | None]]
_WAS_THERE: Final = ("PreconditionFailed", "ConditionNotMet")


class Attempt:
    """The steps, in the resource group `group`, for a machine that was `checked`."""

    def __init__(self, arm: Arm, group: str, access: Access, say: Say, spec: Spec, checked: Checked) -> None:
        self.rollback = Rollback(uuid4().hex)
        self._arm = arm
        self._group = group
        self._access = access
        self._say = say
        self._spec = spec
        self._checked = checked
        made = {TAG: spec.role, MADE: stamp(), VM: spec.name, ATTEMPT: self.rollback.attempt}
        self._tags = made
        self._shared_tags = {**spec.shared_tags, TAG: "shared", MADE: made[MADE]}

    def _id(self, kind: str, name: str) -> str:
        return self._arm.id(self._group, kind, name)

    async def run(self, existing: Existing) -> Body:
        """Make the machine, and return its body, or that of the machine that another one was faster to make.

        existing: returns the machine of that name, or None.
        """
        spec, subnet = self._spec, self._checked.subnet
        await self._ensure_group()
        group = self._id(SECURITY_GROUPS, NETWORK)
        address = "" if spec.private else self._id(ADDRESSES, spec.ip_name)
        steps: list[Step] = [partial(self._ensure_security_group, group)]
        if not spec.network:
            steps.append(self._ensure_network)
        if address:
            steps.append(partial(self._put, address, bodies.address(spec, self._tags)))
        await _together(steps)
        nic = self._id(INTERFACES, spec.nic_name)
        await self._put(nic, bodies.interface(spec, subnet, group, address, self._tags))

        async def again() -> None:
            """Make anew what Azure has deleted with a machine."""
            if address:
                await self._put(address, bodies.address(spec, self._tags))
            await self._put(nic, bodies.interface(spec, subnet, group, address, self._tags))

        made = await self._put_first_possible(nic, existing, again)
        if spec.max_hours:
            body = schedule(made["id"], spec.location, spec.max_hours, {**spec.tags, **self._tags})
            await self._put(self._id(SCHEDULES, schedule_name(spec.name)), body)
        return made

    # What the machines of the group share.

    async def _ensure_group(self) -> None:
        if await self._arm.group(self._group) is None:
            self.rollback.unanswered.add(self._group)
            await self._arm.put_group(self._group, {"location": self._spec.location, "tags": self._shared_tags})
            self.rollback.unanswered.discard(self._group)

    async def _ensure_shared(self, id: str, body: Body) -> Body:
        return await find_shared(self._arm, id, self._spec) or await self._put_told(id, body)

    async def _ensure_network(self) -> None:
        gateway, location = await self._ensure_gateway() if self._spec.nat else "", self._spec.location
        body = subnets.network(location, self._shared_tags, gateway)
        found = await self._ensure_shared(self._id(NETWORKS, NETWORK), body)
        if gateway and not subnets.uses(found, gateway):
            begin = self._arm.network.subnets.begin_create_or_update
            await self._arm.finished(partial(begin, self._group, NETWORK, subnets.NAME, subnets.subnet(gateway)))

    async def _ensure_gateway(self) -> str:
        address, gateway = self._id(ADDRESSES, NETWORK), self._id(GATEWAYS, NETWORK)
        location, tags = self._spec.location, self._shared_tags
        await self._ensure_shared(address, bodies.public_address(location, tags))
        await self._ensure_shared(gateway, subnets.gateway(location, tags, address))
        return gateway

    async def _ensure_security_group(self, id: str) -> None:
        firewall, spec = self._access.firewall(self._group), self._spec
        found, allowed = self._checked.security_group, self._checked.allowed
        if found is None:
            body = firewall.new(spec.location, allowed or [], spec.port, self._shared_tags)
            found = await self._put_told(id, body)
        if allowed is not None:
            await firewall.admit(found, allowed, spec.port)

    # What is the machine's own.

    async def _put(self, id: str, body: Body) -> Body:
        """Create a resource of this machine alone; one that a crashed attempt has left is taken over.

        Raises:
            Conflict: the resource exists, and is not swarmlib's.
        """
        found = await self._arm.find(id)
        if found is not None:
            check_made_here(id, found)
        return await self._put_told(id, body)

    async def _put_first_possible(self, nic: str, existing: Existing, again: Callable[[], Awaitable[None]]) -> Body:
        """Create the first of the possible machines that Azure has room for.

        again: makes what was deleted with a machine that failed for lack of room.
        """
        refused: list[str] = []
        for choice in self._checked.choices:
            try:
                return await self._put_machine(nic, choice, existing)
            except SwarmError as exc:
                if not finds_no_room(exc):
                    raise
                refused.append(f"{choice} ({exc.details['azure']})")
                if choice is self._checked.choices[-1]:
                    raise _of_all(exc, refused) from exc.__cause__
                _log.info("%s: %s", self._spec.name, exc.message)
            if await self._discard_failed():
                await again()
        raise AssertionError("there is always a choice")

    async def _discard_failed(self) -> bool:
        """Delete the machine that Azure keeps as failed, if it does; return whether it did."""
        id = self._id(MACHINES, self._spec.name)
        found = await self._arm.find(id)
        if found is None or tags_of(found).get(ATTEMPT) != self.rollback.attempt:
            return False
        self._say(id, "removing")
        await self._arm.delete(id)
        return True

    async def _put_machine(self, nic: str, choice: Choice, existing: Existing) -> Body:
        spec = self._spec
        whole = await self._access.certified(spec, nic) if spec.tls else spec
        # The certificates are not part of the comparison: they differ each time.
        told = {SPEC: spec.hash, STARTED: stamp(), MAKING: stamp(MAKING_SECONDS)}
        told |= ({REACH: "tls"} if spec.tls else {}) | ({MAX_HOURS: str(spec.max_hours)} if spec.max_hours else {})
        new = {"etag": "*", "match_condition": MatchConditions.IfMissing}
        try:
            return await self._put_told(
                self._id(MACHINES, spec.name), bodies.machine(whole, nic, choice, self._tags | told), **new
            )
        except Conflict as exc:
            if exc.details.get("azure") not in _WAS_THERE or (found := await existing()) is None:
                raise
            return found

    async def _put_told(self, id: str, body: Body, **options: Any) -> Body:
        if not is_shared(id) and id not in self.rollback.made:
            self.rollback.made.append(id)
        self.rollback.unanswered.add(id)
        self._say(id, "making")
        try:
            found = await self._arm.put(id, body, **options)
        except SwarmError as exc:
            if "azure" in exc.details:
                self.rollback.unanswered.discard(id)
            raise
        self.rollback.unanswered.discard(id)
        self._say(id, "made")
        return found


async def _together(steps: Iterable[Step]) -> None:
    """Take steps at the same time; raise the first failure when all have ended: none is left halfway."""
    failures: list[SwarmError] = []

    async def take(step: Step) -> None:
        try:
            await step()
        except SwarmError as exc:
            failures.append(exc)

    async with trio.open_nursery() as nursery:
        for step in steps:
            nursery.start_soon(take, step)
    if failures:
        raise failures[0]


def _of_all(exc: SwarmError, refused: Sequence[str]) -> SwarmError:
    """Return the error for the last choice, which names all choices if there were several."""
    if len(refused) == 1:
        return exc
    return type(exc)(f"{exc.message} All choices were refused: {'; '.join(refused)}.", details=exc.details)
