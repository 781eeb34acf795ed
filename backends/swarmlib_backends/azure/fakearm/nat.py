"""Microsoft.Network: NAT gateways, by which machines without public addresses reach the Internet."""

from __future__ import annotations

from collections.abc import Mapping

from ...http.serving import Body
from . import errors
from .interfaces import address_user
from .network import NetworkKind
from .resource import Resource, dig
from .state import ArmCall


class NatGateways(NetworkKind):
    """NAT gateways, each with public addresses, for the subnets that name it."""

    type = "Microsoft.Network/natGateways"

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check its SKU, and its addresses."""
        super().prepare(resource, old, call)
        if dig(resource.body, "sku", "name") not in ("Standard", "StandardV2"):
            raise errors.bad("NatGatewayMustHaveStandardSku", f"NAT gateway {resource.id} must have a Standard SKU.")
        resource.properties.setdefault("idleTimeoutInMinutes", 4)
        for each in resource.properties.get("publicIpAddresses", []):
            self._check_address(resource, errors.required(each, "id", "publicIpAddresses"))

    def _check_address(self, gateway: Resource, id: str) -> None:
        address = self.state.referenced(gateway.id, id)
        if address.location != gateway.location:
            raise errors.missing_reference(str(gateway.id), id)
        user = address_user(self, address.id)
        if user is not None and user.lower() != gateway.id.key:
            message = f"Resource {user} is already using public IP address {address.id}."
            raise errors.bad("PublicIPAddressInUse", f"{message} It cannot be given to {gateway.id}.")

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Show the gateway with its subnets."""
        users = [{"id": str(each.id)} for each in self.state.users_of(resource.id) if each.id.parent is not None]
        return resource.body | {"properties": resource.properties | ({"subnets": users} if users else {})}

    def check_delete(self, resource: Resource) -> None:
        """Refuse a gateway that a subnet uses."""
        if users := [str(each.id) for each in self.state.users_of(resource.id) if each.id.parent is not None]:
            message = f"NAT gateway {resource.id.name} cannot be deleted because it is in use by the following"
            raise errors.bad("InUseNatGatewayCannotBeDeleted", f"{message} resources: {', '.join(users)}.")


def has_way_out(subnet: Resource) -> bool:
    """Return whether the machines of a subnet reach the Internet without public addresses of their own."""
    return "natGateway" in subnet.properties or subnet.properties.get("defaultOutboundAccess", True)
