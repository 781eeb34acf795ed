"""The security group that the machines of a resource group share: which addresses may reach them.

Each user of a group has rules of their own in it, recognised by their names. What one allows replaces what the same
user allowed before, and leaves alone what others allow. Likewise the ports that everybody may reach, and those that
containers publish.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from swarmlib import NotFound, SwarmError

from .client import Arm
from .ports import Port
from .spec import NETWORK, SSH_PORT, TAG, Body, part, parts, tags_of

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

    @property
    def _of_containers(self) -> str:
        """How the names of this user's rules begin for ports that containers publish."""
        return f"published-{self._user}-"

    def _rules(self, allowed: Sequence[str], port: int) -> list[_Rule]:
        own, everybody = self._prefixes(port)
        rules = [_Rule(f"{own}{_slug(source)}", source, Port(port)) for source in allowed]
        return rules + [_Rule(f"{everybody}{each.number}-{each.protocol}", "*", each) for each in self._opened]

    def new(self, location: str, allowed: Sequence[str], port: int, tags: dict[str, str]) -> Body:
        """Return the body of a new security group, in which one port is open to the allowed addresses."""
        rules = [rule.body(priority) for priority, rule in enumerate(self._rules(allowed, port), _FIRST)]
        return {"location": location, "tags": tags, "properties": {"securityRules": rules}}

    async def admit(self, group: Body, allowed: Sequence[str], port: int) -> None:
        """Open a port to the allowed addresses, and close it to those that this user allowed before.

        Others may change the rules at the same time, and take a number first; then it is tried again.
        """
        await self._changed(group, self._rules(allowed, port), self._prefixes(port))

    async def _changed(self, group: Body, rules: Sequence[_Rule], prefixes: tuple[str, ...]) -> None:
        """Replace this user's rules whose names begin in one of these ways."""
        for attempt in range(_ATTEMPTS):
            try:
                return await self._change(group, rules, prefixes)
            except SwarmError as exc:
                if exc.details.get("azure") != "SecurityRuleConflict" or attempt == _ATTEMPTS - 1:
                    raise
                group = await self._arm.get(group["id"])
        return None

    async def _change(self, group: Body, rules: Sequence[_Rule], prefixes: tuple[str, ...]) -> None:
        found = parts(group["properties"], "securityRules")
        wanted = {rule.name: rule for rule in rules}
        ours = {name for each in found if (name := str(each["name"])).startswith(prefixes)}
        taken = max((int(each["properties"]["priority"]) for each in found), default=_FIRST - 1)
        operations = self._arm.network.security_rules
        for number, name in enumerate(sorted(wanted.keys() - ours), taken + 1):
            rule = wanted[name].body(number)
            await self._arm.finished(partial(operations.begin_create_or_update, self._group, NETWORK, name, rule))
        for name in sorted(ours - wanted.keys()):
            await self._arm.finished(partial(operations.begin_delete, self._group, NETWORK, name))

    async def admit_to_existing(self, allowed: Sequence[str], port: int) -> None:
        """Do as `admit`, if the group exists and is swarmlib's."""
        if (found := await self._existing()) is not None:
            await self.admit(found, allowed, port)

    async def published(self) -> set[Port]:
        """Return which ports of containers are open, to whomever; none if there is no group of swarmlib's."""
        found = await self._existing()
        rules = [each for each in parts(part(found or {}, "properties"), "securityRules")
                 if str(each["name"]).startswith(self._of_containers)]  # fmt: skip
        told = [each["properties"] for each in rules]
        return {Port(int(each["destinationPortRange"]), str(each["protocol"]).lower()) for each in told}

    async def publish(self, allowed: Sequence[str], ports: Sequence[Port]) -> None:
        """Open these ports of containers to the allowed addresses, and close all others, if the group is swarmlib's."""
        if (found := await self._existing()) is None:
            return
        names = {port: f"{self._of_containers}{port.number}-{port.protocol}-" for port in ports}
        rules = [_Rule(f"{names[port]}{_slug(source)}", source, port) for port in ports for source in allowed]
        await self._changed(found, rules, (self._of_containers,))

    async def _existing(self) -> Body | None:
        """Return the security group, if it exists and is swarmlib's."""
        try:
            found = await self._arm.called(self._arm.network.network_security_groups.get(self._group, NETWORK))
        except NotFound:
            return None
        return found if TAG in tags_of(found) else None


def _slug(source: str) -> str:
    """Return an address as a part of a rule's name."""
    return re.sub("[^a-zA-Z0-9]", "-", source)
