"""The security group that the machines of a resource group share: which addresses may reach them.

Each user of a group has rules of their own in it, recognised by their names. What one allows replaces what the same
user allowed before, and leaves alone what others allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from swarmlib import NotFound, SwarmError

from . import spec as specs
from .client import Arm
from .spec import NETWORK, TAG, Body, tags_of

_ATTEMPTS: Final = 3


class Firewall:
    """The rules of one user in the security group of a resource group; user: as `Access.user_id`."""

    def __init__(self, arm: Arm, group: str, user: str) -> None:
        self._arm = arm
        self._group = group
        self._user = user

    def new(self, location: str, allowed: Sequence[str], port: int, tags: dict[str, str]) -> Body:
        """Return the body of a new security group, in which one port is open to the allowed addresses."""
        rules = [specs.rule(1000 + number, source, port, self._user) for number, source in enumerate(allowed)]
        return {"location": location, "tags": tags, "properties": {"securityRules": rules}}

    async def admit(self, group: Body, allowed: Sequence[str], port: int) -> None:
        """Open a port to the allowed addresses, and close it to those that this user allowed before.

        Others may change the rules at the same time, and take a number first; then it is tried again.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return await self._change(group, allowed, port)
            except SwarmError as exc:
                if exc.details.get("azure") != "SecurityRuleConflict" or attempt == _ATTEMPTS - 1:
                    raise
                group = await self._arm.get(group["id"])
        return None

    async def _change(self, group: Body, allowed: Sequence[str], port: int) -> None:
        rules = specs.parts(group["properties"], "securityRules")
        wanted = {str(specs.rule(0, source, port, self._user)["name"]): source for source in allowed}
        names = [str(each["name"]) for each in rules]
        ours = {name for name in names if name.startswith(specs.rule_prefix(port, self._user))}
        taken = max((int(each["properties"]["priority"]) for each in rules), default=999)
        operations = self._arm.network.security_rules
        for number, name in enumerate(sorted(wanted.keys() - ours), taken + 1):
            rule = specs.rule(number, wanted[name], port, self._user)
            await self._arm.finished(partial(operations.begin_create_or_update, self._group, NETWORK, name, rule))
        for name in sorted(ours - wanted.keys()):
            await self._arm.finished(partial(operations.begin_delete, self._group, NETWORK, name))

    async def admit_to_existing(self, allowed: Sequence[str], port: int) -> None:
        """Do as `admit`, if the group exists and is swarmlib's."""
        try:
            found = await self._arm.called(self._arm.network.network_security_groups.get(self._group, NETWORK))
        except NotFound:
            return
        if TAG in tags_of(found):
            await self.admit(found, allowed, port)
