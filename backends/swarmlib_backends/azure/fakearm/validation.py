"""The checks of a virtual machine's body that need no time, and what Azure fills in."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from ...http.serving import Body
from . import errors
from .resource import Resource, ResourceId, dig
from .state import State
from .world import SIZES, Size, image_exists

REFUSED_USERS: Final = frozenset(
    {"administrator", "admin", "user", "user1", "test", "user2", "test1", "user3", "admin1", "1",
     "123", "a", "actuser", "adm", "admin2", "aspnet", "backup", "console", "david", "guest",
     "john", "owner", "root", "server", "sql", "support", "support_388945a0", "sys",
     "test2", "test3", "user4", "user5"}
)  # fmt: skip
"""The names that the description of `adminUsername` disallows."""
_KEY_TYPES: Final = ("ssh-rsa", "ssh-ed25519")
_NOT_IN_HOSTS: Final = frozenset("`~!@#$%^&*()=+_[]{}\\|;:'\",<>/? ")
_CUSTOM_DATA: Final = 65_535
"""The size limit of custom data in bytes."""


def size_of(machine: Resource) -> Size:
    """Return the size that a machine asks for.

    Raises:
        ArmError: it asks for no size, or for one that doesn't exist.
    """
    name = machine.properties.get("hardwareProfile", {}).get("vmSize")
    if name is None:
        raise errors.parameter("vmSize", "Required parameter 'hardwareProfile.vmSize' is missing (null).")
    if (found := SIZES.get(name.lower())) is None:
        listed = ",".join(size.name for size in SIZES.values())
        message = f"The value {name} provided for the VM size is not valid. The valid sizes in the current region are:"
        raise errors.parameter("vmSize", f"{message} {listed}. Find out more on the valid VM sizes in each region at "
                               "https://aka.ms/azure-regionservices.")  # fmt: skip
    return found


def check_size(state: State, machine: Resource, old: Resource | None) -> None:
    """Raise an ArmError if the subscription can't have this size in the region, or has used up its quota."""
    size, location = size_of(machine), machine.location
    region = state.region(location, machine.id.type)
    if size.name in region.withheld | region.short:
        raise errors.sku_not_available(size.name, location)
    for zone in machine.body.get("zones", []):
        if zone not in region.zones:
            message = f"The zone(s) '{zone}' for resource '{machine.id.type}/{machine.id.name}' is not supported. The"
            raise errors.bad("InvalidAvailabilityZone", f"{message} supported zones for location '{location}' are "
                             f"'{','.join(region.zones)}'")  # fmt: skip
    others = [each for each in machines_in(state, location) if each.id.key != machine.id.key]
    if is_spot(machine):
        if not size.spot:
            raise errors.conflict("OperationNotAllowed", f"The VM size '{size.name}' can't be a spot VM.")
        _check_quota("LowPriorityCores", region.spot_cores, [each for each in others if is_spot(each)], size, location)
        return
    regular = [each for each in others if not is_spot(each)]
    _check_quota("Total Regional Cores", region.cores, regular, size, location)
    if (limit := region.families.get(size.family)) is not None:
        family = [each for each in regular if size_of(each).family == size.family]
        _check_quota(f"{size.family} Cores", limit, family, size, location)


def _check_quota(what: str, limit: int, others: list[Resource], size: Size, location: str) -> None:
    used = sum(size_of(each).cores for each in others)
    if used + size.cores > limit:
        raise errors.quota(what, location, limit, used, size.cores)


def machines_in(state: State, location: str) -> list[Resource]:
    """Return all machines of a region; they count against quotas whether they run or not."""
    return [each for each in state.of_type("Microsoft.Compute/virtualMachines") if each.location == location]


def is_spot(machine: Resource) -> bool:
    """Return whether a machine may be evicted."""
    return machine.properties.get("priority") in ("Spot", "Low")


def check_image(machine: Resource) -> None:
    """Raise an ArmError if the marketplace has no such image."""
    image: Body = dig(machine.properties, "storageProfile", "imageReference") or {}
    publisher, offer, sku = image.get("publisher"), image.get("offer"), image.get("sku")
    if publisher and offer and sku and not image_exists(publisher, offer, sku):
        message = f"The platform image '{publisher}:{offer}:{sku}:{image.get('version', 'latest')}' is not available."
        detail = "Verify that all fields in the storage profile are correct. For more details about storage profile"
        raise errors.ArmError(404, "PlatformImageNotFound", f"{message} {detail} information, please refer to "
                              "https://aka.ms/storageprofile", target="imageReference")  # fmt: skip


def check_security(machine: Resource) -> None:
    """Raise an ArmError if the size doesn't support what the security profile asks for."""
    wanted = machine.properties.get("securityProfile", {}).get("securityType")
    size = size_of(machine)
    fits = {"ConfidentialVM": size.confidential, "TrustedLaunch": size.trusted_launch}.get(wanted, True)
    if not fits:
        message = f"The VM size '{size.name}' is not supported for creation of VMs and Virtual Machine Scale Set with"
        raise errors.bad("BadRequest", f"{message} '{wanted}' security type.")


def take_secrets(machine: Resource, *, new: bool) -> None:
    """Check the profile of the operating system, and hide what Azure never shows again.

    Raises:
        ArmError: the user's name isn't allowed, there is no way to log in, or the custom data are not base64.
    """
    properties = machine.properties
    host = str(properties.get("osProfile", {}).get("computerName", ""))
    if not is_windows(machine) and (len(host) > 64 or set(host) & _NOT_IN_HOSTS or host.endswith(("-", "."))):
        message = "Linux host name cannot exceed 64 characters in length, end with a hyphen or a period, or contain the"
        raise errors.parameter("osProfile.computerName", f"{message} following characters: {''.join(_NOT_IN_HOSTS)}.")
    if (user_data := properties.pop("userData", None)) is not None:
        machine.hidden["userData"] = user_data
    if (profile := properties.get("osProfile")) is None:
        return
    if (name := profile.get("adminUsername")) is None or str(name).lower() in REFUSED_USERS:
        message = (
            "The Admin Username specified is not allowed."
            if name
            else "Required parameter 'adminUsername' is missing (null)."
        )
        raise errors.parameter("adminUsername", message)
    password = profile.pop("adminPassword", None)
    linux = profile.get("linuxConfiguration", {})
    if new and password is None and not linux.get("ssh", {}).get("publicKeys"):
        raise errors.parameter("adminPassword", "Required parameter 'adminPassword' is missing (null).")
    for key in ssh_keys(machine):
        if key.partition(" ")[0] not in _KEY_TYPES and not key.startswith("{"):  # in braces in the official examples
            message = "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid."
            raise errors.parameter("linuxConfiguration.ssh.publicKeys.keyData", message)
    if "customData" in profile:
        machine.hidden["custom_data"] = _decoded(profile.pop("customData"))


def _decoded(custom_data: str) -> bytes:
    try:
        found = base64.b64decode(custom_data, validate=True)
    except binascii.Error as exc:
        message = "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters."
        raise errors.parameter("customData", message) from exc
    if len(found) > _CUSTOM_DATA:
        raise errors.parameter("customData", f"Custom data in OSProfile is over {_CUSTOM_DATA} bytes.")
    return found


def fill(machine: Resource, *, windows: bool) -> None:
    """Fill in what Azure sets of the operating system's profile."""
    if (profile := machine.properties.get("osProfile")) is None:
        return
    profile.setdefault("computerName", machine.id.name)
    profile.setdefault("secrets", [])
    profile.setdefault("allowExtensionOperations", True)
    profile.setdefault("requireGuestProvisionSignal", True)
    if windows:
        settings: Body = profile.setdefault("windowsConfiguration", {})
        settings.setdefault("enableAutomaticUpdates", True)
    else:
        settings = profile.setdefault("linuxConfiguration", {})
        settings.setdefault("disablePasswordAuthentication", "ssh" in settings)
    settings.setdefault("provisionVMAgent", True)
    patching = {"patchMode": "AutomaticByOS" if windows else "ImageDefault", "assessmentMode": "ImageDefault"}
    settings["patchSettings"] = patching | settings.get("patchSettings", {})


def is_windows(machine: Resource) -> bool:
    """Return whether a machine runs Windows, as far as the body tells."""
    storage: Body = machine.properties.get("storageProfile", {})
    stated = storage.get("osDisk", {}).get("osType")
    if stated is not None:
        return bool(stated == "Windows")
    image: Body = storage.get("imageReference") or {}
    words = " ".join(str(each) for each in image.values()).lower()
    return "windows" in words or "windowsConfiguration" in machine.properties.get("osProfile", {})


def ssh_keys(machine: Resource) -> tuple[str, ...]:
    """Return the public keys of the machine's user."""
    linux: Body = machine.properties.get("osProfile", {}).get("linuxConfiguration", {})
    return tuple(each.get("keyData", "") for each in linux.get("ssh", {}).get("publicKeys", []))


def same_or_unset(new: Any, old: Any) -> bool:
    """Return whether an immutable property is unchanged, or left out."""
    return new is None or new == old


def check_unchanged(machine: Resource, old: Resource) -> None:
    """Raise an ArmError if an immutable property would change."""
    for path in (("osProfile", "adminUsername"), ("osProfile", "computerName"), ("storageProfile", "imageReference")):
        if not same_or_unset(dig(machine.properties, *path), dig(old.properties, *path)):
            message = f"Changing property '{path[1]}' is not allowed."
            raise errors.conflict("PropertyChangeNotAllowed", message, path[1])
    if not same_or_unset(machine.body.get("zones"), old.body.get("zones")):
        raise errors.conflict("PropertyChangeNotAllowed", "Changing property 'zones' is not allowed.", "zones")


def disk_id(machine: ResourceId, name: str) -> ResourceId:
    """Return the id of a disk in the machine's group."""
    return machine.sibling(name, "disks", "Microsoft.Compute")
