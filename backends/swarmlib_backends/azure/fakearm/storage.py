"""The disks of a virtual machine: created with it, attached to it, deleted with it or kept."""

from __future__ import annotations

from typing import Final

from ...http.serving import Body
from . import errors
from .disks import attach, detach, new_disk
from .resource import Resource, ResourceId
from .state import State
from .validation import disk_id, is_windows

_DISKS: Final = "Microsoft.Compute/disks"


def prepare_disks(state: State, machine: Resource, old: Resource | None) -> None:
    """Name the disks, and check that those to attach exist, and are not another machine's.

    Raises:
        ArmError: a disk doesn't exist, or is another machine's.
    """
    storage: Body = machine.properties.setdefault("storageProfile", {})
    os_disk: Body = storage.setdefault("osDisk", {"createOption": "FromImage"})
    storage.setdefault("dataDisks", [])
    os_disk["osType"] = "Windows" if is_windows(machine) else "Linux"
    os_disk.setdefault("caching", "ReadWrite")
    os_disk.setdefault("deleteOption", "Detach")
    before = {disk.get("lun"): disk["name"] for disk in all_disks(old)} if old else {}
    for disk in all_disks(machine):
        disk.setdefault("caching", "None")
        disk.setdefault("name", before.get(disk.get("lun")) or _new_name(state, machine, disk))
    for disk in all_disks(machine):
        if is_managed(disk):
            _check_disk(state, machine, disk)


def _new_name(state: State, machine: Resource, disk: Body) -> str:
    if not is_managed(disk):
        return f"dataDisk{disk.get('lun', 0)}"
    kind = "OsDisk_1" if "osType" in disk else f"disk{disk.get('lun', 0)}"
    return f"{machine.id.name}_{kind}_{state.uuid().replace('-', '')}"


def _check_disk(state: State, machine: Resource, disk: Body) -> None:
    managed: Body = disk.setdefault("managedDisk", {})
    managed.setdefault("id", str(disk_id(machine.id, disk["name"])))
    _id(disk)
    found = state.resources.get(managed["id"].lower())
    if found is None:
        if disk.get("createOption") == "Attach":
            raise errors.missing_reference(str(machine.id), managed["id"])
        managed.setdefault("storageAccountType", "Standard_LRS")
        disk.setdefault("diskSizeGB", 127 if disk.get("osType") == "Windows" else 30)
        return
    if found.body.get("managedBy", str(machine.id)).lower() != machine.id.key:
        owner = found.body["managedBy"]
        message = f"Disk '{found.id}' cannot be attached as the disk is already owned by VM '{owner}'."
        raise errors.conflict("ConflictingUserInput", message)
    managed["storageAccountType"] = found.body["sku"]["name"]
    disk.setdefault("diskSizeGB", found.properties["diskSizeGB"])


def all_disks(machine: Resource) -> list[Body]:
    """Return the machine's disks, as its body has them; that of the operating system is first."""
    return [machine.properties["storageProfile"]["osDisk"], *data_disks(machine)]


def data_disks(machine: Resource) -> list[Body]:
    """Return the machine's disks without that of the operating system."""
    found: list[Body] = machine.properties["storageProfile"]["dataDisks"]
    return found


def is_managed(disk: Body) -> bool:
    """Return whether a disk is a resource of its own, rather than a file in a storage account."""
    return "vhd" not in disk


def make_disks(state: State, machine: Resource, old: Resource | None) -> None:
    """Create missing disks, attach all of them, and detach those that are no longer wanted."""
    wanted = {disk["managedDisk"]["id"].lower() for disk in all_disks(machine) if is_managed(disk)}
    for disk in [each for each in all_disks(machine) if is_managed(each)]:
        found = state.resources.get(disk["managedDisk"]["id"].lower())
        attach(found or _new(state, machine, disk), machine.id)
    for resource in state.of_type(_DISKS) if old else ():
        if resource.body.get("managedBy", "").lower() == machine.id.key and resource.id.key not in wanted:
            detach(resource)


def _new(state: State, machine: Resource, disk: Body) -> Resource:
    made: Body = {"createOption": disk.get("createOption", "FromImage")}
    if made["createOption"] == "FromImage":
        image = machine.properties["storageProfile"].get("imageReference", {}).get("id", "/marketplace/image")
        made["imageReference"] = {"id": image}
    elif source := disk.get("sourceResource"):
        made["sourceResourceId"] = source["id"]
    elif made["createOption"] == "Attach":
        made["createOption"] = "Empty"
    properties: Body = {"creationData": made, "diskSizeGB": disk.get("diskSizeGB", 30)}
    if "osType" in disk:
        properties["osType"] = disk["osType"]
    body: Body = {"sku": {"name": disk["managedDisk"]["storageAccountType"]}, "properties": properties}
    if "zones" in machine.body:
        body["zones"] = machine.body["zones"]
    return new_disk(state, _id(disk), machine.location, body)


def _id(disk: Body) -> ResourceId:
    if (found := ResourceId.parse(disk["managedDisk"]["id"])) is None:
        raise errors.parameter("managedDisk.id", f"{disk['managedDisk']['id']} is not the id of a disk.")
    return found


def release_disks(state: State, machine: Resource) -> None:
    """Delete or detach the disks of a machine that is gone, as each one's `deleteOption` says."""
    for disk in all_disks(machine):
        found = state.resources.get(disk["managedDisk"]["id"].lower()) if is_managed(disk) else None
        if found is not None and disk.get("deleteOption") == "Delete":
            del state.resources[found.id.key]
        elif found is not None:
            detach(found)


def attach_listed(state: State, machine: Resource, wanted: list[Body]) -> None:
    """Attach the disks that a request lists.

    Raises:
        ArmError: a disk doesn't exist, or is another machine's.
    """
    for each in wanted:
        disk: Body = {"createOption": "Attach", "managedDisk": {"id": each["diskId"]}, **_kept(each)}
        disk["name"] = each["diskId"].rpartition("/")[2]
        disk.setdefault("lun", _free_lun(machine))
        disk.setdefault("caching", "None")
        if "diskEncryptionSet" in each:
            disk["managedDisk"]["diskEncryptionSet"] = each["diskEncryptionSet"]
        _check_disk(state, machine, disk)
        attach(state.resources[each["diskId"].lower()], machine.id)
        data_disks(machine).append(disk)


def _kept(wanted: Body) -> Body:
    names = ("lun", "caching", "deleteOption", "writeAcceleratorEnabled")
    return {name: wanted[name] for name in names if name in wanted}


def _free_lun(machine: Resource) -> int:
    taken = {disk.get("lun") for disk in data_disks(machine)}
    return next(lun for lun in range(65) if lun not in taken)


def detach_listed(state: State, machine: Resource, unwanted: list[Body]) -> None:
    """Detach the disks that a request lists.

    Raises:
        ArmError: a disk isn't attached.
    """
    for each in unwanted:
        key = each["diskId"].lower()
        if key not in {disk["managedDisk"]["id"].lower() for disk in data_disks(machine) if is_managed(disk)}:
            raise errors.conflict("OperationNotAllowed", f"Disk {each['diskId']} is not attached to {machine.id}.")
        left = [disk for disk in data_disks(machine) if disk.get("managedDisk", {}).get("id", "").lower() != key]
        machine.properties["storageProfile"]["dataDisks"] = left
        detach(state.resources[key])
