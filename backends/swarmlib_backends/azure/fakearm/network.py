"""Microsoft.Network: virtual networks, subnets, security groups and their rules, public addresses, interfaces."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any, Final

from . import errors
from .http import Body
from .kind import Kind
from .resource import Resource, ResourceId, dig
from .state import Call, valid_address

_RULES: Final = (
    ("AllowVnetInBound", "VirtualNetwork", "VirtualNetwork", "Allow", 65000, "Inbound"),
    ("AllowAzureLoadBalancerInBound", "AzureLoadBalancer", "*", "Allow", 65001, "Inbound"),
    ("DenyAllInBound", "*", "*", "Deny", 65500, "Inbound"),
    ("AllowVnetOutBound", "VirtualNetwork", "VirtualNetwork", "Allow", 65000, "Outbound"),
    ("AllowInternetOutBound", "*", "Internet", "Allow", 65001, "Outbound"),
    ("DenyAllOutBound", "*", "*", "Deny", 65500, "Outbound"),
)


class NetworkKind(Kind):
    """What is common to them: an etag, a GUID, and parts that come in the body and can be asked for by themselves."""

    parts: Mapping[str, str] = {}
    """The property that lists parts, and their kind."""

    def prepare(self, resource: Resource, old: Resource | None, call: Call) -> None:
        """A new etag, the same GUID; parts are checked as if they had come alone."""
        resource.body["etag"] = f'W/"{self.state.uuid()}"'
        if self.located:
            resource.properties["resourceGuid"] = old.properties["resourceGuid"] if old else self.state.uuid()

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """With the parts as they are now."""
        return resource.body

    def split(self, resource: Resource, prop: str, kind: str) -> list[Resource] | None:
        """Take the parts out of the body; None if it doesn't speak of them."""
        listed = resource.properties.pop(prop, None)
        if listed is None:
            return None
        return [self._part(resource, kind, each) for each in listed]

    def _part(self, resource: Resource, kind: str, body: Body) -> Resource:
        id = resource.id.child(kind, errors.required(body, "name", f"a part of {resource.id}"))
        fresh = {"properties": body.get("properties", {}) | {"provisioningState": "Succeeded"}}
        return Resource(id, {"id": str(id), "name": id.name, "type": id.type, **fresh})

    def replace(self, resource: Resource, kind: str, parts: list[Resource]) -> None:
        """Have these parts and no others."""
        for each in self.state.children(resource.id, kind):
            del self.state.resources[each.id.key]
        for part in parts:
            part.note_references()
            self.state.resources[part.id.key] = part


class VirtualNetworks(NetworkKind):
    """Networks; their subnets are resources too."""

    type = "Microsoft.Network/virtualNetworks"

    def prepare(self, resource: Resource, old: Resource | None, call: Call) -> None:
        """Check the address space, and that each subnet lies in it and in no other."""
        super().prepare(resource, old, call)
        space = resource.properties.get("addressSpace", {}).get("addressPrefixes", [])
        if not space:
            raise errors.bad("InvalidRequestFormat", "A virtual network needs an address space.")
        networks = [network(each) for each in space]
        parts = self.split(resource, "subnets", "subnets")
        resource.hidden["parts"] = parts
        wanted = self.state.children(resource.id, "subnets") if parts is None else parts
        check_subnets(resource.id.name, networks, wanted)
        for part in parts or []:
            prepare_subnet(self, part)
        if old is not None and parts is not None:
            kept = {part.id.key for part in parts}
            for each in self.state.children(resource.id, "subnets"):
                if each.id.key not in kept:
                    check_subnet_unused(self, each)

    def accepted(self, resource: Resource, old: Resource | None) -> None:
        """Its subnets are there from now on."""
        if (parts := resource.hidden.pop("parts")) is not None:
            self.replace(resource, "subnets", parts)

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """With its subnets."""
        subnets = [subnet_view(self, each) for each in self.state.children(resource.id, "subnets")]
        properties = resource.properties | {
            "subnets": subnets,
            "virtualNetworkPeerings": [],
            "enableDdosProtection": False,
        }
        return resource.body | {"properties": properties}

    def check_delete(self, resource: Resource) -> None:
        """Not while one of its subnets is in use."""
        for each in self.state.children(resource.id, "subnets"):
            check_subnet_unused(self, each)

    async def remove(self, resource: Resource) -> None:
        """Its subnets go with it."""
        self.replace(resource, "subnets", [])


class Subnets(NetworkKind):
    """Subnets, asked for one by one."""

    type = "Microsoft.Network/virtualNetworks/subnets"
    located = False

    def prepare(self, resource: Resource, old: Resource | None, call: Call) -> None:
        """Check that it lies in the network and in no other subnet."""
        super().prepare(resource, old, call)
        parent = resource.id.parent
        assert parent is not None
        space = self.state.get(parent).properties["addressSpace"]["addressPrefixes"]
        others = [each for each in self.state.children(parent, "subnets") if each.id.key != resource.id.key]
        check_subnets(parent.name, [network(each) for each in space], [*others, resource])
        prepare_subnet(self, resource)

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """With who is in it."""
        return subnet_view(self, resource)

    def check_delete(self, resource: Resource) -> None:
        """Not while an interface is in it."""
        check_subnet_unused(self, resource)


def network(prefix: Any) -> IPv4Network:
    """A prefix as a network.

    Raises:
        ArmError: it is none.
    """
    try:
        return IPv4Network(prefix)
    except ValueError as exc:
        raise errors.bad(
            "InvalidCIDRNotation", f"The address prefix {prefix} has an invalid CIDR notation: {exc}."
        ) from exc


def _prefix(subnet: Resource) -> IPv4Network:
    found = subnet.properties.get("addressPrefix") or next(iter(subnet.properties.get("addressPrefixes", [])), None)
    if found is None:
        raise errors.bad("NetcfgMissingSubnetAddressPrefix", f"Subnet '{subnet.id.name}' has no address prefix.")
    return network(found)


def check_subnets(name: str, space: list[IPv4Network], subnets: list[Resource]) -> None:
    """Raise an ArmError if a subnet lies outside, or two overlap."""
    seen: list[tuple[str, IPv4Network]] = []
    for subnet in subnets:
        prefix = _prefix(subnet)
        if not any(prefix.subnet_of(each) for each in space):
            message = (
                f"Subnet '{subnet.id.name}' is not valid because its IP address range is outside the IP address range"
            )
            raise errors.bad("NetcfgSubnetRangeOutsideVnet", f"{message} of virtual network '{name}'.")
        for other, taken in seen:
            if prefix.overlaps(taken):
                message = (
                    f"Subnet '{subnet.id.name}' is not valid because its IP address range overlaps with that of an"
                )
                raise errors.bad("NetcfgSubnetRangesOverlap", f"{message} existing subnet '{other}' in '{name}'.")
        seen.append((subnet.id.name, prefix))


def prepare_subnet(kind: NetworkKind, subnet: Resource) -> None:
    """Fill in what Azure sets."""
    properties = subnet.properties
    subnet.body.setdefault("etag", f'W/"{kind.state.uuid()}"')
    properties["addressPrefix"] = str(_prefix(subnet))
    properties.setdefault("delegations", [])
    properties.setdefault("privateEndpointNetworkPolicies", "Disabled")
    properties.setdefault("privateLinkServiceNetworkPolicies", "Enabled")
    if group := properties.get("networkSecurityGroup"):
        kind.state.referenced(subnet.id, errors.required(group, "id", "networkSecurityGroup"))


def subnet_view(kind: NetworkKind, subnet: Resource) -> Body:
    """With who is in it."""
    key = subnet.id.key
    users = [
        {"id": each["id"]}
        for interface in kind.state.users_of(subnet.id)
        for each in interface.properties.get("ipConfigurations", [])
        if each["properties"].get("subnet", {}).get("id", "").lower() == key
    ]
    return subnet.body | {"properties": subnet.properties | ({"ipConfigurations": users} if users else {})}


def check_subnet_unused(kind: NetworkKind, subnet: Resource) -> None:
    """Raise an ArmError if an interface is in it."""
    if users := kind.state.users_of(subnet.id):
        names = ", ".join(str(each.id) for each in users)
        message = f"Subnet {subnet.id.name} is in use by {names} and cannot be deleted. In order to delete the subnet,"
        raise errors.bad("InUseSubnetCannotBeDeleted", f"{message} delete all the resources within the subnet.")


class SecurityGroups(NetworkKind):
    """Network security groups."""

    type = "Microsoft.Network/networkSecurityGroups"

    def prepare(self, resource: Resource, old: Resource | None, call: Call) -> None:
        """Check the rules."""
        super().prepare(resource, old, call)
        parts = self.split(resource, "securityRules", "securityRules")
        resource.hidden["parts"] = parts
        check_rules(parts or [])
        for part in parts or []:
            part.body.setdefault("etag", resource.body["etag"])

    def accepted(self, resource: Resource, old: Resource | None) -> None:
        """Its rules hold from now on."""
        if (parts := resource.hidden.pop("parts")) is not None:
            self.replace(resource, "securityRules", parts)

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """With its rules, those that every one has, and who uses it."""
        rules = [each.body for each in self.state.children(resource.id, "securityRules")]
        properties = resource.properties | {"securityRules": rules, "defaultSecurityRules": _default_rules(resource)}
        for user in self.state.users_of(resource.id):
            prop = "subnets" if user.id.types[-1].lower() == "subnets" else "networkInterfaces"
            properties.setdefault(prop, []).append({"id": str(user.id)})
        return resource.body | {"properties": properties}

    def check_delete(self, resource: Resource) -> None:
        """Not while an interface or a subnet has it."""
        if users := self.state.users_of(resource.id):
            names = ", ".join(str(each.id) for each in users)
            message = (
                f"Network security group {resource.id.name} cannot be deleted because it is in use by the following"
            )
            raise errors.bad("InUseNetworkSecurityGroupCannotBeDeleted", f"{message} resources: {names}.")

    async def remove(self, resource: Resource) -> None:
        """Its rules go with it."""
        self.replace(resource, "securityRules", [])


class SecurityRules(NetworkKind):
    """Rules, asked for one by one."""

    type = "Microsoft.Network/networkSecurityGroups/securityRules"
    located = False

    def prepare(self, resource: Resource, old: Resource | None, call: Call) -> None:
        """Check it beside the others."""
        super().prepare(resource, old, call)
        parent = resource.id.parent
        assert parent is not None
        others = [each for each in self.state.children(parent, "securityRules") if each.id.key != resource.id.key]
        check_rules([*others, resource])


def check_rules(rules: list[Resource]) -> None:
    """Raise an ArmError where a rule's priority is none, or another rule's."""
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


class PublicAddresses(NetworkKind):
    """Public addresses: Standard and static, since Basic ones are gone (unless the state says otherwise)."""

    type = "Microsoft.Network/publicIPAddresses"

    def prepare(self, resource: Resource, old: Resource | None, call: Call) -> None:
        """Check its SKU, and give it an address."""
        super().prepare(resource, old, call)
        sku = resource.body.setdefault("sku", {"name": "Basic"})
        sku.setdefault("tier", "Regional")
        basic = sku.get("name", "Basic") == "Basic"
        if basic and not self.state.basic_addresses:
            message = (
                "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region."
            )
            raise errors.bad("IPv4BasicSkuPublicIpCountLimitReached", message)
        properties = resource.properties
        if properties.setdefault("publicIPAllocationMethod", "Dynamic") != "Static" and not basic:
            message = f"Standard sku publicIp {resource.id} must have AllocationMethod set to Static."
            raise errors.bad("StandardSkuPublicIPAddressesMustBeStatic", message)
        properties.setdefault("publicIPAddressVersion", "IPv4")
        properties.setdefault("idleTimeoutInMinutes", 4)
        properties.setdefault("ipTags", [])
        properties["ipAddress"] = old.properties["ipAddress"] if old else self.state.public_address()
        if label := properties.get("dnsSettings", {}).get("domainNameLabel"):
            properties["dnsSettings"]["fqdn"] = f"{label}.{resource.location}.cloudapp.azure.com"

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """With who has it."""
        if (user := address_user(self, resource.id)) is None:
            return resource.body
        return resource.body | {"properties": resource.properties | {"ipConfiguration": {"id": user}}}

    def check_delete(self, resource: Resource) -> None:
        """Not while an interface has it."""
        if user := address_user(self, resource.id):
            message = (
                f"Public IP address {resource.id} can not be deleted since it is still allocated to resource {user}."
            )
            raise errors.bad("PublicIPAddressCannotBeDeleted", message)


def address_user(kind: NetworkKind, address: ResourceId) -> str | None:
    """The id of the IP configuration that has a public address."""
    for interface in kind.state.users_of(address):
        for each in interface.properties.get("ipConfigurations", []):
            if each["properties"].get("publicIPAddress", {}).get("id", "").lower() == address.key:
                return str(each["id"])
    return None


class Interfaces(NetworkKind):
    """Network interfaces."""

    type = "Microsoft.Network/networkInterfaces"

    def prepare(self, resource: Resource, old: Resource | None, call: Call) -> None:
        """Check what it is connected to, and give it addresses."""
        super().prepare(resource, old, call)
        properties = resource.properties
        configurations: list[Body] = properties.get("ipConfigurations") or []
        if not configurations:
            message = f"Network interface {resource.id} must have at least one IP configuration."
            raise errors.bad("NetworkInterfaceMustHaveOneIpConfiguration", message)
        if group := properties.get("networkSecurityGroup"):
            self.state.referenced(resource.id, errors.required(group, "id", "networkSecurityGroup"))
        properties.setdefault("enableAcceleratedNetworking", False)
        properties.setdefault("enableIPForwarding", False)
        properties.setdefault("dnsSettings", {"dnsServers": [], "appliedDnsServers": []})
        properties["nicType"] = "Standard"
        subnet = dig(configurations[0], "properties", "subnet")
        for index, configuration in enumerate(configurations):
            if subnet is not None:  # the first one's, where another says nothing of it
                configuration.setdefault("properties", {}).setdefault("subnet", copy.deepcopy(subnet))
            self._configure(resource, configuration, primary=index == 0)
        _keep_addresses(resource, old)

    def _configure(self, resource: Resource, configuration: Body, *, primary: bool) -> None:
        id = f"{resource.id}/ipConfigurations/{errors.required(configuration, 'name', 'an IP configuration')}"
        properties: Body = configuration.setdefault("properties", {})
        configuration.update(id=id, type=f"{self.type}/ipConfigurations", etag=resource.body["etag"])
        properties.setdefault("privateIPAddressVersion", "IPv4")
        properties.setdefault("primary", primary)
        properties["provisioningState"] = "Succeeded"
        if isinstance(subnet := properties.get("subnet", {}).get("id"), str):
            self._give_private(resource, id, properties, self.state.referenced(resource.id, subnet))
        elif not resource.hidden.get("implicit"):  # one that comes with its machine need not say where it is
            raise errors.bad("SubnetIsRequired", f"Subnet reference is required for ipconfiguration {id}.")
        if address := properties.get("publicIPAddress"):
            self._check_public(resource, id, address)

    def _give_private(self, resource: Resource, id: str, properties: Body, subnet: Resource) -> None:
        if properties.get("privateIPAllocationMethod") != "Static":
            properties["privateIPAllocationMethod"] = "Dynamic"
            properties.pop("privateIPAddress", None)
            properties["privateIPAddress"] = self.state.next_private(subnet, resource)
        elif not valid_address(properties.get("privateIPAddress"), network(subnet.properties["addressPrefix"])):
            message = f"IP configuration {id} has an address that is not in subnet {subnet.id.name}."
            raise errors.bad("PrivateIPAddressNotInSubnet", message)

    def _check_public(self, resource: Resource, id: str, address: Body) -> None:
        found = self.state.referenced(resource.id, errors.required(address, "id", "publicIPAddress"))
        user = address_user(self, found.id)
        if user is not None and not user.lower().startswith(f"{resource.id.key}/"):
            message = f"Resource {user} is already using public IP address {found.id}."
            raise errors.bad("PublicIPAddressInUse", f"{message} It cannot be given to {id}.")
        if "deleteOption" in address.get("properties", {}):
            found.properties["deleteOption"] = address["properties"]["deleteOption"]

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """With the machine that it is in."""
        if (machine := self.machine(resource)) is None:
            return resource.body
        attached = {"virtualMachine": {"id": str(machine.id)}, "primary": True, "macAddress": _mac(resource)}
        return resource.body | {"properties": resource.properties | attached}

    def machine(self, resource: Resource) -> Resource | None:
        """The virtual machine that it is in."""
        users = self.state.users_of(resource.id)
        return next((each for each in users if each.id.types[-1].lower() == "virtualmachines"), None)

    def check_delete(self, resource: Resource) -> None:
        """Not while it is in a machine."""
        if machine := self.machine(resource):
            message = (
                f"Network Interface {resource.id} is used by existing resource {machine.id}. In order to delete the"
            )
            detail = "network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic."
            raise errors.bad("NicInUse", f"{message} {detail}")


def _keep_addresses(resource: Resource, old: Resource | None) -> None:
    """An interface that is changed keeps the addresses that it has."""
    before = {each["name"]: each["properties"] for each in old.properties["ipConfigurations"]} if old else {}
    for each in resource.properties["ipConfigurations"]:
        known, wanted = before.get(each["name"]), each["properties"]
        same = known is not None and known["subnet"]["id"].lower() == wanted["subnet"]["id"].lower()
        if known is not None and same and wanted["privateIPAllocationMethod"] == "Dynamic":
            wanted["privateIPAddress"] = known["privateIPAddress"]


def _mac(interface: Resource) -> str:
    digits = interface.properties["resourceGuid"].replace("-", "")[:6].upper()
    return f"00-22-48-{digits[:2]}-{digits[2:4]}-{digits[4:]}"
