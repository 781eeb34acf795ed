"""Microsoft.Network: security groups and their rules. They are kept and shown, but filter nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...http.serving import Body
from . import errors
from .network import NetworkKind, WholeKind
from .resource import Resource
from .state import ArmCall

_RULES: Final = (
    ("AllowVnetInBound", "VirtualNetwork", "VirtualNetwork", "Allow", 65000, "Inbound"),
    ("AllowAzureLoadBalancerInBound", "AzureLoadBalancer", "*", "Allow", 65001, "Inbound"),
    ("DenyAllInBound", "*", "*", "Deny", 65500, "Inbound"),
    ("AllowVnetOutBound", "VirtualNetwork", "VirtualNetwork", "Allow", 65000, "Outbound"),
    ("AllowInternetOutBound", "*", "Internet", "Allow", 65001, "Outbound"),
    ("DenyAllOutBound", "*", "*", "Deny", 65500, "Outbound"),
)


class SecurityGroups(WholeKind):
    """Network security groups; their parts are rules."""

    type = "Microsoft.Network/networkSecurityGroups"
    part = "securityRules"

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check the rules."""
        super().prepare(resource, old, call)
        parts = self.split(resource) or []
        check_rules(parts)
        for part in parts:
            part.body.setdefault("etag", resource.body["etag"])

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Show the group with its rules, the default rules, and its users."""
        rules = [each.body for each in self.state.children(resource.id, "securityRules")]
        properties = resource.properties | {"securityRules": rules, "defaultSecurityRules": _default_rules(resource)}
        for user in self.state.users_of(resource.id):
            prop = "subnets" if user.id.types[-1].lower() == "subnets" else "networkInterfaces"
            properties.setdefault(prop, []).append({"id": str(user.id)})
        return resource.body | {"properties": properties}

    def check_delete(self, resource: Resource) -> None:
        """Refuse a group that an interface or a subnet uses."""
        if users := self.state.users_of(resource.id):
            names = ", ".join(str(each.id) for each in users)
            message = (
                f"Network security group {resource.id.name} cannot be deleted because it is in use by the following"
            )
            raise errors.bad("InUseNetworkSecurityGroupCannotBeDeleted", f"{message} resources: {names}.")


class SecurityRules(NetworkKind):
    """Rules, requested one by one."""

    type = "Microsoft.Network/networkSecurityGroups/securityRules"
    located = False

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check the rule against the others."""
        super().prepare(resource, old, call)
        parent = resource.id.parent
        assert parent is not None
        others = [each for each in self.state.children(parent, "securityRules") if each.id.key != resource.id.key]
        check_rules([*others, resource])


def check_rules(rules: list[Resource]) -> None:
    """Raise an ArmError if a rule's priority is invalid, or is also another rule's."""
    seen: dict[tuple[str, int], str] = {}
    for rule in rules:
        priority, direction = rule.properties.get("priority"), str(rule.properties.get("direction"))
        if not isinstance(priority, int) or not 100 <= priority <= 4096:
            message = (
                f"Security rule {rule.id.name} has invalid Priority. Value provided: {priority}. Allowed: 100-4096."
            )
            raise errors.bad("SecurityRuleInvalidPriority", message)
        if other := seen.get((direction.lower(), priority)):
            message = (
                f"Security rule {rule.id.name} conflicts with rule {other}. Rules cannot have the same Priority and"
            )
            raise errors.bad("SecurityRuleConflict", f"{message} Direction.")
        seen[direction.lower(), priority] = rule.id.name


def _default_rules(group: Resource) -> list[Body]:
    found: list[Body] = []
    for name, source, destination, access, priority, direction in _RULES:
        id = group.id.child("defaultSecurityRules", name)
        rule = {"protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*", "access": access}
        rule |= {"sourceAddressPrefix": source, "destinationAddressPrefix": destination, "direction": direction}
        properties = {**rule, "priority": priority, "provisioningState": "Succeeded"}
        found.append(
            {"id": str(id), "name": name, "type": id.type, "etag": group.body["etag"], "properties": properties}
        )
    return found
