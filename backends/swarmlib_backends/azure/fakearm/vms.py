"""Microsoft.Compute/virtualMachines: created, changed, shown and deleted. The actions are in `actions`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from ...http.serving import Body
from . import errors, instance, marketplace, validation
from .actions import Actions
from .errors import ArmError
from .interfaces import Interfaces, PublicAddresses
from .kind import Kind
from .resource import Resource, dig
from .state import ArmCall, State
from .storage import make_disks, prepare_disks, release_disks

_INTERFACE: Final = ("ipConfigurations", "networkSecurityGroup", "enableAcceleratedNetworking", "dnsSettings",
                     "enableIPForwarding", "disableTcpStateTracking", "auxiliaryMode", "auxiliarySku")  # fmt: skip
"""The properties that an interface created with a machine takes from the request."""


class VirtualMachines(Kind):
    """Virtual machines, each with what the fake's `Machines` provide behind it."""

    type = "Microsoft.Compute/virtualMachines"
    working = "Creating"
    weight = 1.0

    def __init__(self, state: State, interfaces: Interfaces, addresses: PublicAddresses) -> None:
        super().__init__(state)
        self._interfaces = interfaces
        self._addresses = addresses
        self._power = Actions(state)
        self.actions = self._power.table

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check everything that Azure checks before it answers 201, and fill in what Azure fills in."""
        try:
            self._prepare(resource, old, call)
        except ArmError:
            if old is None:
                self._reserve_interfaces(resource)
            raise

    def _reserve_interfaces(self, machine: Resource) -> None:
        """Reserve the interfaces for the machine that is refused: they can't be deleted for a while."""
        for each in machine.properties.get("networkProfile", {}).get("networkInterfaces", []):
            interface = self.state.resources.get(str(each.get("id")).lower())
            if interface is not None and self._interfaces.machine(interface) is None:
                self._interfaces.reserve(interface, machine.id)

    def _prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        if old is not None:
            _carry_over(resource, old)
            validation.check_unchanged(resource, old)
        if old is None or validation.size_of(resource) != validation.size_of(old):
            validation.check_size(self.state, resource, old)
        validation.check_image(resource)
        validation.check_security(resource)
        if old is None:
            marketplace.check(self.state, resource)
        validation.take_secrets(resource, new=old is None)
        prepare_disks(self.state, resource, old)
        validation.fill(resource, windows=validation.is_windows(resource))
        self._prepare_interfaces(resource, old, call)
        resource.body["etag"] = f'"{self.state.random.randrange(1, 10**6)}"'
        resource.properties["vmId"] = old.properties["vmId"] if old else self.state.uuid()
        resource.properties["timeCreated"] = old.properties["timeCreated"] if old else datetime.now(UTC).isoformat()

    def _prepare_interfaces(self, machine: Resource, old: Resource | None, call: ArmCall) -> None:
        profile: Body = machine.properties.setdefault("networkProfile", {})
        listed: list[Body] = profile.setdefault("networkInterfaces", [])
        for each in listed:
            self._check_interface(machine, str(each.get("id")))
        wanted: list[Body] = profile.pop("networkInterfaceConfigurations", [])
        listed += [self._make_interface(machine, each, call) for each in wanted if old is None]
        if not listed:
            raise errors.parameter("networkProfile", "Virtual machine must have at least one network interface.")

    def _check_interface(self, machine: Resource, id: str) -> None:
        found = self.state.referenced(machine.id, id)
        self._interfaces.check_reserved(found, machine.id)
        user = self._interfaces.machine(found)
        if user is not None and user.id.key != machine.id.key:
            raise errors.bad("NicInUse", f"Network Interface {found.id} is used by existing VM {user.id}.")
        if found.location != machine.location:
            message = f"Resource {found.id} is in location {found.location}, not in {machine.location}."
            raise errors.bad("InvalidResourceReference", message)

    def _make_interface(self, machine: Resource, wanted: Body, call: ArmCall) -> Body:
        """Create an interface with its public addresses, as part of the machine; return the reference to it."""
        properties: Body = copy.deepcopy(wanted.get("properties", {}))
        for each in properties.get("ipConfigurations", []):
            if (public := each.setdefault("properties", {}).pop("publicIPAddressConfiguration", None)) is not None:
                name = errors.required(public, "name", "an address")
                address = self._made(machine, "publicIPAddresses", name, public)
                self._addresses.prepare(address, None, call)
                self.state.resources[address.id.key] = address  # the interface looks for it
                each["properties"]["publicIPAddress"] = {"id": str(address.id)}
        body = {"properties": {key: value for key, value in properties.items() if key in _INTERFACE}}
        interface = self._made(machine, "networkInterfaces", errors.required(wanted, "name", "an interface"), body)
        interface.hidden["implicit"] = True
        self._interfaces.prepare(interface, None, call)
        interface.note_references()
        self.state.resources[interface.id.key] = interface
        option, primary = properties.get("deleteOption", "Detach"), properties.get("primary", True)
        return {"id": str(interface.id), "properties": {"primary": primary, "deleteOption": option}}

    def _made(self, machine: Resource, kind: str, name: str, body: Body) -> Resource:
        id = machine.id.sibling(f"{name}-{self.state.uuid()[:8]}", kind, "Microsoft.Network")
        shown = {"id": str(id), "name": id.name, "type": id.type, "location": machine.location}
        made = Resource(id, copy.deepcopy(body) | shown)
        made.state = "Succeeded"
        return made

    def accepted(self, resource: Resource, old: Resource | None) -> None:
        """Create, attach and detach the disks."""
        make_disks(self.state, resource, old)

    async def provision(self, resource: Resource, old: Resource | None) -> None:
        """Find room for the machine, and switch it on if it never was; restart it if its size has changed."""
        if instance.power_of(resource) in ("", "starting"):
            self._power.allocate(resource)
            await self._power.switch_on(resource)
        elif old is not None and self._outgrown(resource, old):
            await self._power.switch_off(resource, "stopped")
            self._power.allocate(resource)
            await self._power.switch_on(resource)

    def _outgrown(self, resource: Resource, old: Resource) -> bool:
        return validation.size_of(resource) != validation.size_of(old) and instance.power_of(resource) == "running"

    async def remove(self, resource: Resource) -> None:
        """Switch the machine off; delete the disks, interfaces and addresses that are to be deleted with it."""
        await self._power.switch_off(resource, "deallocated")
        release_disks(self.state, resource)
        for each in resource.properties["networkProfile"]["networkInterfaces"]:
            if each.get("properties", {}).get("deleteOption") == "Delete":
                self._drop_interface(each["id"].lower())
        for extension in self.state.children(resource.id, "extensions"):
            del self.state.resources[extension.id.key]

    def _drop_interface(self, key: str) -> None:
        interface = self.state.resources.get(key)
        if interface is None:
            return
        self.state.drop(interface.id)
        for each in interface.properties["ipConfigurations"]:
            address = self.state.resources.get((dig(each, "properties", "publicIPAddress", "id") or "").lower())
            if address is not None and address.properties.get("deleteOption") == "Delete":
                self.state.drop(address.id)

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Show the machine with its instance view or user data, if requested, and its extensions, if any."""
        more: Body = {}
        expand = query.get("$expand", "").lower()
        if expand == "instanceview":
            more["instanceView"] = instance.view(resource)
        elif expand == "userdata" and "userData" in resource.hidden:
            more["userData"] = resource.hidden["userData"]
        extensions = [each.body for each in self.state.children(resource.id, "extensions")]
        found = resource.body | {"properties": resource.properties | more}
        return found | {"resources": extensions} if extensions else found

    def patched(self, resource: Resource, patch: Body) -> Body:
        """Merge a patch, which may contain anything: objects are merged with the existing ones, lists replace them."""
        return cast("Body", merged(resource.body, patch))

    def busy_error(self, resource: Resource) -> ArmError:
        """Return the error in Microsoft.Compute's words."""
        message = "The request failed due to conflict with a concurrent request. To resolve it, please refer to"
        return errors.conflict("Conflict", f"{message} https://aka.ms/activitylog to get more details.")


class Extensions(Kind):
    """Extensions of virtual machines: they are recorded, but do nothing."""

    type = "Microsoft.Compute/virtualMachines/extensions"
    working = "Creating"
    located = False

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Set the machine's location, and hide the protected settings."""
        parent = resource.id.parent
        assert parent is not None
        resource.body["location"] = self.state.get(parent).location
        resource.properties.pop("protectedSettings", None)

    patched = VirtualMachines.patched


def merged(value: Any, patch: Any) -> Any:
    """Return a JSON value with a patch applied to it."""
    if not isinstance(value, dict) or not isinstance(patch, dict):
        return patch
    before, after = cast("Body", value), cast("Body", patch)
    return before | {name: merged(before.get(name), after[name]) for name in after}


def _carry_over(machine: Resource, old: Resource) -> None:
    """Keep the old values of these properties if a changed body leaves them out."""
    for name in ("storageProfile", "osProfile", "networkProfile", "hardwareProfile"):
        if name in old.properties:
            machine.properties.setdefault(name, copy.deepcopy(old.properties[name]))
    if "zones" in old.body:
        machine.body.setdefault("zones", old.body["zones"])
