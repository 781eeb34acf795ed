"""Microsoft.Network: public addresses, and the network interfaces that use them."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import trio

from ...http.serving import Body
from . import errors
from .network import NetworkKind, network
from .resource import Resource, ResourceId, dig
from .state import ArmCall, valid_address


class PublicAddresses(NetworkKind):
    """Public addresses: Standard and static, as Azure no longer has Basic ones (unless the state says otherwise)."""

    type = "Microsoft.Network/publicIPAddresses"

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
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
        """Show the address with its user."""
        if (user := address_user(self, resource.id)) is None:
            return resource.body
        name = "natGateway" if "/natgateways/" in user.lower() else "ipConfiguration"
        return resource.body | {"properties": resource.properties | {name: {"id": user}}}

    def check_delete(self, resource: Resource) -> None:
        """Refuse an address that an interface or a NAT gateway uses."""
        if user := address_user(self, resource.id):
            message = (
                f"Public IP address {resource.id} can not be deleted since it is still allocated to resource {user}."
            )
            raise errors.bad("PublicIPAddressCannotBeDeleted", message)


def address_user(kind: NetworkKind, address: ResourceId) -> str | None:
    """Return the id of the IP configuration or the NAT gateway that uses a public address; None if there is none."""
    for user in kind.state.users_of(address):
        if user.id.types[-1].lower() == "natgateways":
            return str(user.id)
        for each in user.properties.get("ipConfigurations", []):
            if each["properties"].get("publicIPAddress", {}).get("id", "").lower() == address.key:
                return str(each["id"])
    return None


class Interfaces(NetworkKind):
    """Network interfaces."""

    type = "Microsoft.Network/networkInterfaces"

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check what the interface is connected to, and assign its addresses."""
        super().prepare(resource, old, call)
        properties = resource.properties
        configurations: list[Body] = properties.get("ipConfigurations") or []
        if not configurations:
            message = f"Network interface {resource.id} must have at least one IP configuration."
            raise errors.bad("NetworkInterfaceMustHaveOneIpConfiguration", message)
        if group := properties.get("networkSecurityGroup"):
            used = self.state.referenced(resource.id, errors.required(group, "id", "networkSecurityGroup"))
            self._check_region(resource, used)
        properties.setdefault("enableAcceleratedNetworking", False)
        properties.setdefault("enableIPForwarding", False)
        properties.setdefault("dnsSettings", {"dnsServers": [], "appliedDnsServers": []})
        properties["nicType"] = "Standard"
        subnet = dig(configurations[0], "properties", "subnet")
        for index, configuration in enumerate(configurations):
            if subnet is not None:  # the first one's, where another names none
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
            found = self.state.referenced(resource.id, subnet)
            self._check_region(resource, found)
            self._give_private(resource, id, properties, found)
        elif not resource.hidden.get("implicit"):  # one that comes with its machine need not name it
            raise errors.bad("SubnetIsRequired", f"Subnet reference is required for ipconfiguration {id}.")
        if address := properties.get("publicIPAddress"):
            self._check_public(resource, id, address)

    def _check_region(self, interface: Resource, used: Resource) -> None:
        """Raise an ArmError if an interface uses something of another region."""
        owner = used if used.id.parent is None else self.state.get(used.id.parent)
        if owner.location != interface.location:
            message = f"Resource {used.id} referenced by resource {interface.id} was not found. Please make sure that"
            detail = "the referenced resource exists, and that both resources are in the same region."
            raise errors.bad("InvalidResourceReference", f"{message} {detail}")

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
        self._check_region(resource, found)
        user = address_user(self, found.id)
        if user is not None and not user.lower().startswith(f"{resource.id.key}/"):
            message = f"Resource {user} is already using public IP address {found.id}."
            raise errors.bad("PublicIPAddressInUse", f"{message} It cannot be given to {id}.")
        if "deleteOption" in address.get("properties", {}):
            found.properties["deleteOption"] = address["properties"]["deleteOption"]

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Show the interface with its machine."""
        if (machine := self.machine(resource)) is None:
            return resource.body
        attached = {"virtualMachine": {"id": str(machine.id)}, "primary": True, "macAddress": _mac(resource)}
        return resource.body | {"properties": resource.properties | attached}

    def machine(self, resource: Resource) -> Resource | None:
        """Return the virtual machine that has the interface; None if there is none."""
        users = self.state.users_of(resource.id)
        return next((each for each in users if each.id.types[-1].lower() == "virtualmachines"), None)

    def reserve(self, interface: Resource, machine: ResourceId) -> None:
        """Reserve an interface for a machine that could not be created with it, for three minutes in Azure."""
        until = trio.current_time() + self.state.reserve_seconds
        interface.hidden["reserved"] = (machine, until)

    def check_reserved(self, interface: Resource, machine: ResourceId | None = None) -> None:
        """Raise an ArmError if an interface is reserved for another machine than this one."""
        owner, until = interface.hidden.get("reserved", (None, 0))
        if owner is not None and trio.current_time() < until and (machine is None or machine.key != owner.key):
            message = (
                "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another"
            )
            detail = f"nic(s) or retry after 180 seconds. Reserved VM: {owner}"
            raise errors.bad("NicReservedForAnotherVm", f"{message} {detail}")

    def check_delete(self, resource: Resource) -> None:
        """Refuse an interface that a machine has, or that is reserved for one."""
        self.check_reserved(resource)
        if machine := self.machine(resource):
            message = (
                f"Network Interface {resource.id} is used by existing resource {machine.id}. In order to delete the"
            )
            detail = "network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic."
            raise errors.bad("NicInUse", f"{message} {detail}")


def _keep_addresses(resource: Resource, old: Resource | None) -> None:
    """Keep the addresses of an interface that is changed."""
    before = {each["name"]: each["properties"] for each in old.properties["ipConfigurations"]} if old else {}
    for each in resource.properties["ipConfigurations"]:
        known, wanted = before.get(each["name"]), each["properties"]
        same = known is not None and known["subnet"]["id"].lower() == wanted["subnet"]["id"].lower()
        if known is not None and same and wanted["privateIPAllocationMethod"] == "Dynamic":
            wanted["privateIPAddress"] = known["privateIPAddress"]


def _mac(interface: Resource) -> str:
    digits = interface.properties["resourceGuid"].replace("-", "")[:6].upper()
    return f"00-22-48-{digits[:2]}-{digits[2:4]}-{digits[4:]}"
