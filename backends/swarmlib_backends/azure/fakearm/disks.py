"""Microsoft.Compute/disks: managed disks, created by themselves or with a virtual machine."""

from __future__ import annotations

from datetime import UTC, datetime

from ...http.serving import Body
from . import errors
from .kind import Action, Kind
from .resource import Resource, ResourceId
from .state import ArmCall, State


class Disks(Kind):
    """Managed disks."""

    type = "Microsoft.Compute/disks"
    created = 202
    updated = 202

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.actions = {"begingetaccess": Action(self._grant), "endgetaccess": Action(self._revoke)}

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check the source of the disk's content, and its size."""
        properties = resource.properties
        option = properties.get("creationData", {}).get("createOption")
        if option is None:
            raise errors.parameter(
                "disk.creationData", "Required parameter 'creationData.createOption' is missing (null)."
            )
        if option == "Empty" and "diskSizeGB" not in properties:
            raise errors.parameter("disk.diskSizeGB", "Required parameter 'disk.diskSizeGB' is missing (null).")
        if old is not None and old.properties["diskSizeGB"] > properties.get("diskSizeGB", 0):
            raise errors.parameter("disk.diskSizeGB", "Shrinking a disk is not supported.")
        fill_disk(self.state, resource, old)

    def check_delete(self, resource: Resource) -> None:
        """Refuse a disk that is attached."""
        if machine := resource.body.get("managedBy"):
            name = machine.rpartition("/")[2]
            message = f"Disk {resource.id.name} is attached to VM {machine}."
            raise errors.conflict("OperationNotAllowed", message, name)

    def patched(self, resource: Resource, patch: Body) -> Body:
        """Apply a PATCH, which may contain the size, tags and other properties."""
        return resource.body | patch | {"properties": resource.properties | patch.get("properties", {})}

    async def _grant(self, disk: Resource, call: ArmCall) -> Body:
        disk.properties["diskState"] = "ActiveSAS"
        return {"accessSAS": f"{call.request.base}/fakearm/disks/{disk.properties['uniqueId']}?sig=fake"}

    async def _revoke(self, disk: Resource, call: ArmCall) -> None:
        disk.properties["diskState"] = "Attached" if disk.body.get("managedBy") else "Unattached"


def fill_disk(state: State, disk: Resource, old: Resource | None) -> None:
    """Fill in what Azure sets of a disk."""
    kept = old.properties if old else {}
    properties = disk.properties
    disk.body.setdefault("sku", {"name": "Standard_LRS"}).setdefault("tier", disk.body["sku"]["name"].partition("_")[0])
    properties.setdefault("diskSizeGB", kept.get("diskSizeGB", 30))
    properties["diskSizeBytes"] = properties["diskSizeGB"] * 1024**3
    properties["timeCreated"] = kept.get("timeCreated", datetime.now(UTC).isoformat())
    properties["uniqueId"] = kept.get("uniqueId", state.uuid())
    properties["diskState"] = kept.get("diskState", "Unattached")
    properties.setdefault("encryption", {"type": "EncryptionAtRestWithPlatformKey"})
    properties.setdefault("networkAccessPolicy", "AllowAll")
    properties.setdefault("publicNetworkAccess", "Enabled")
    if old is not None and "managedBy" in old.body:
        disk.body["managedBy"] = old.body["managedBy"]


def new_disk(state: State, id: ResourceId, location: str, body: Body) -> Resource:
    """Create a disk that comes with a virtual machine; it is listed at once."""
    disk = Resource(id, {"id": str(id), "name": id.name, "type": id.type, "location": location, **body})
    fill_disk(state, disk, None)
    disk.state = "Succeeded"
    state.resources[id.key] = disk
    return disk


def attach(disk: Resource, machine: ResourceId) -> None:
    """Attach the disk to a machine."""
    disk.body["managedBy"] = str(machine)
    disk.properties["diskState"] = "Attached"


def detach(disk: Resource) -> None:
    """Detach the disk."""
    disk.body.pop("managedBy", None)
    disk.properties["diskState"] = "Unattached"
