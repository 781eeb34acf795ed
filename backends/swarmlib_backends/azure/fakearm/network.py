"""Microsoft.Network: virtual networks and their subnets, and what all of its types have in common."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any, ClassVar, Final

from ...http.serving import Body
from . import errors
from .kind import Kind
from .resource import Resource
from .state import ArmCall


class NetworkKind(Kind):
    """The common features: an etag, a GUID, and parts that come in the body and can also be requested by themselves."""

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Set a new etag, and keep the GUID."""
        resource.body["etag"] = f'W/"{self.state.uuid()}"'
        if self.located:
            resource.properties["resourceGuid"] = old.properties["resourceGuid"] if old else self.state.uuid()


class WholeKind(NetworkKind):
    """A type whose resources have parts (`part`), which come in the body, and are resources, too."""

    part: ClassVar[str]

    def split(self, resource: Resource) -> list[Resource] | None:
        """Take the parts out of the body, for `accepted`; return None if the body doesn't mention them."""
        listed = resource.properties.pop(self.part, None)
        parts = None if listed is None else [self._part(resource, each) for each in listed]
        resource.hidden["parts"] = parts
        return parts

    def _part(self, resource: Resource, body: Body) -> Resource:
        id = resource.id.child(self.part, errors.required(body, "name", f"a part of {resource.id}"))
        fresh = {"properties": body.get("properties", {}) | {"provisioningState": "Succeeded"}}
        return Resource(id, {"id": str(id), "name": id.name, "type": id.type, **fresh})

    def accepted(self, resource: Resource, old: Resource | None) -> None:
        """Create the parts in place of the earlier ones, if the body mentioned them."""
        if (parts := resource.hidden.pop("parts")) is not None:
            self._replace(resource, parts)

    async def remove(self, resource: Resource) -> None:
        """Remove the parts, too."""
        self._replace(resource, [])

    def _replace(self, resource: Resource, parts: list[Resource]) -> None:
        for each in self.state.children(resource.id, self.part):
            del self.state.resources[each.id.key]
        for part in parts:
            part.note_references()
            self.state.resources[part.id.key] = part


class VirtualNetworks(WholeKind):
    """Networks; their parts are subnets."""

    type = "Microsoft.Network/virtualNetworks"
    part = "subnets"

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check the address space, and that each subnet lies in it and overlaps no other."""
        super().prepare(resource, old, call)
        space = resource.properties.get("addressSpace", {}).get("addressPrefixes", [])
        if not space:
            raise errors.bad("InvalidRequestFormat", "A virtual network needs an address space.")
        networks = [network(each) for each in space]
        parts = self.split(resource)
        wanted = self.state.children(resource.id, "subnets") if parts is None else parts
        check_subnets(resource.id.name, networks, wanted)
        for part in parts or []:
            prepare_subnet(self, part, call)
        if old is not None and parts is not None:
            kept = {part.id.key for part in parts}
            for each in self.state.children(resource.id, "subnets"):
                if each.id.key not in kept:
                    check_subnet_unused(self, each)

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Show the network with its subnets."""
        subnets = [subnet_view(self, each) for each in self.state.children(resource.id, "subnets")]
        properties = resource.properties | {
            "subnets": subnets,
            "virtualNetworkPeerings": [],
            "enableDdosProtection": False,
        }
        return resource.body | {"properties": properties}

    def check_delete(self, resource: Resource) -> None:
        """Refuse a network with a subnet that is in use."""
        for each in self.state.children(resource.id, "subnets"):
            check_subnet_unused(self, each)


class Subnets(NetworkKind):
    """Subnets, requested one by one."""

    type = "Microsoft.Network/virtualNetworks/subnets"
    located = False

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check that the subnet lies in the network, and overlaps no other subnet."""
        super().prepare(resource, old, call)
        parent = resource.id.parent
        assert parent is not None
        space = self.state.get(parent).properties["addressSpace"]["addressPrefixes"]
        others = [each for each in self.state.children(parent, "subnets") if each.id.key != resource.id.key]
        check_subnets(parent.name, [network(each) for each in space], [*others, resource])
        prepare_subnet(self, resource, call)

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Show the subnet with its users."""
        return subnet_view(self, resource)

    def check_delete(self, resource: Resource) -> None:
        """Refuse a subnet that an interface uses."""
        check_subnet_unused(self, resource)


def network(prefix: Any) -> IPv4Network:
    """Return the network of a prefix.

    Raises:
        ArmError: the prefix is invalid.
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
    """Raise an ArmError if a subnet lies outside the address space, or two subnets overlap."""
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


_NO_OUTBOUND: Final = "2025-07-01"
"""From this API version on, the machines of a subnet can't reach the Internet by themselves, unless it says so."""


def prepare_subnet(kind: NetworkKind, subnet: Resource, call: ArmCall) -> None:
    """Fill in what Azure sets."""
    properties = subnet.properties
    if call.request.query.get("api-version", "") >= _NO_OUTBOUND:
        properties.setdefault("defaultOutboundAccess", False)
    subnet.body.setdefault("etag", f'W/"{kind.state.uuid()}"')
    properties["addressPrefix"] = str(_prefix(subnet))
    properties.setdefault("delegations", [])
    properties.setdefault("privateEndpointNetworkPolicies", "Disabled")
    properties.setdefault("privateLinkServiceNetworkPolicies", "Enabled")
    if group := properties.get("networkSecurityGroup"):
        kind.state.referenced(subnet.id, errors.required(group, "id", "networkSecurityGroup"))
    if gateway := properties.get("natGateway"):
        _check_gateway(kind, subnet, errors.required(gateway, "id", "natGateway"))


def _check_gateway(kind: NetworkKind, subnet: Resource, id: str) -> None:
    assert subnet.id.parent is not None
    gateway = kind.state.referenced(subnet.id, id)
    network = kind.state.resources.get(subnet.id.parent.key)
    if network is not None and gateway.location != network.location:
        raise errors.missing_reference(str(subnet.id), id)


def subnet_view(kind: NetworkKind, subnet: Resource) -> Body:
    """Return the subnet with its users."""
    key = subnet.id.key
    users = [
        {"id": each["id"]}
        for interface in kind.state.users_of(subnet.id)
        for each in interface.properties.get("ipConfigurations", [])
        if each["properties"].get("subnet", {}).get("id", "").lower() == key
    ]
    return subnet.body | {"properties": subnet.properties | ({"ipConfigurations": users} if users else {})}


def check_subnet_unused(kind: NetworkKind, subnet: Resource) -> None:
    """Raise an ArmError if an interface uses the subnet."""
    if users := kind.state.users_of(subnet.id):
        names = ", ".join(str(each.id) for each in users)
        message = f"Subnet {subnet.id.name} is in use by {names} and cannot be deleted. In order to delete the subnet,"
        raise errors.bad("InUseSubnetCannotBeDeleted", f"{message} delete all the resources within the subnet.")
