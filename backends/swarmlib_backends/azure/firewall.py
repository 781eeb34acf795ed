"""The security group that the machines of a resource group share: which addresses may reach them.

Each user of a group has rules of their own in it, recognised by their names. What one allows replaces what the same
user allowed before, and leaves alone what others allow. Likewise the ports that everybody may reach.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from swarmlib import NotFound, SwarmError

from .client import Arm
from .open_ports import Port
from .spec import NETWORK, SSH_PORT, TAG, Body, parts, tags_of

_ATTEMPTS: Final = 3
_FIRST: Final = 1000
"""The priority of the first rule."""


@dataclass(frozen=True)
class _Rule:
    """A rule that opens a port to a source."""

    name: str
    source: str
    port: Port

    def body(self, priority: int) -> Body:
        properties = {
            "protocol": self.port.protocol.capitalize(),
            "access": "Allow",
            "direction": "Inbound",
            "priority": priority,
            "sourceAddressPrefix": self.source,
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*",
            "destinationPortRange": str(self.port.number),
        }
        return {"name": self.name, "properties": properties}


class Firewall:
    """The rules of one user in the security group of a resource group.

    user: as `Access.user_id`. opened: the ports that everybody may reach.
    """

    def __init__(self, arm: Arm, group: str, user: str, opened: Sequence[Port]) -> None:
        self._arm = arm
        self._group = group
        self._user = user
        self._opened = opened

    def _prefixes(self, port: int) -> tuple[str, str]:
        """Return how the names of this user's rules begin: of those for a port, and of those for everybody."""
        return f"{'ssh' if port == SSH_PORT else 'docker'}-{self._user}-", f"open-{self._user}-"

    def _rules(self, allowed: Sequence[str], port: int) -> list[_Rule]:
        own, everybody = self._prefixes(port)
        rules = [_Rule(f"{own}{re.sub('[^a-zA-Z0-9]', '-', source)}", source, Port(port)) for source in allowed]
        return rules + [_Rule(f"{everybody}{each.number}-{each.protocol}", "*", each) for each in self._opened]

    def new(self, location: str, allowed: Sequence[str], port: int, tags: dict[str, str]) -> Body:
        """Return the body of a new security group, in which one port is open to the allowed addresses."""
        rules = [rule.body(priority) for priority, rule in enumerate(self._rules(allowed, port), _FIRST)]
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
        rules = parts(group["properties"], "securityRules")
        wanted = {rule.name: rule for rule in self._rules(allowed, port)}
        ours = {name for each in rules if (name := str(each["name"])).startswith(self._prefixes(port))}
        taken = max((int(each["properties"]["priority"]) for each in rules), default=_FIRST - 1)
        operations = self._arm.network.security_rules
        for number, name in enumerate(sorted(wanted.keys() - ours), taken + 1):
            rule = wanted[name].body(number)
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
