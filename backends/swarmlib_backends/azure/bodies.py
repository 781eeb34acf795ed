"""ARM's bodies for a machine and for what it needs of its own, by its description."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

from .choice import Choice
from .cloudinit import custom_data
from .spec import Body, Spec

_SECURITY: Final[Mapping[str, Body]] = {
    "trusted": {
        "securityType": "TrustedLaunch",
        "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
    },
    "confidential": {
        "securityType": "ConfidentialVM",
        "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
    },
}


def machine(spec: Spec, nic: str, chosen: Choice, tags: Mapping[str, str]) -> Body:
    """Return the body of the machine. chosen: which of the possible machines it is to be."""
    properties: Body = {
        "hardwareProfile": {"vmSize": chosen.size},
        "storageProfile": {"imageReference": chosen.image, "osDisk": _disk(spec)},
        "osProfile": _system(spec),
        "networkProfile": {"networkInterfaces": [{"id": nic, "properties": {"deleteOption": "Delete"}}]},
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
    }
    if chosen.spot:
        properties |= {"priority": "Spot", "evictionPolicy": "Deallocate", "billingProfile": {"maxPrice": -1}}
    if spec.security != "standard":
        properties["securityProfile"] = dict(_SECURITY[spec.security])
    body: Body = {"location": spec.location, "tags": {**spec.tags, **tags}, "properties": properties}
    if chosen.zone:
        body["zones"] = [chosen.zone]
    if chosen.plan:
        body["plan"] = chosen.plan
    if spec.identity:
        body["identity"] = _identity(spec.identity)
    return body


def _disk(spec: Spec) -> Body:
    managed: Body = {"storageAccountType": "StandardSSD_LRS"}
    if spec.security == "confidential":
        managed["securityProfile"] = {"securityEncryptionType": "VMGuestStateOnly"}
    size = {"diskSizeGB": spec.disk} if spec.disk else {}
    return {"createOption": "FromImage", "deleteOption": "Delete", "managedDisk": managed, **size}


def _system(spec: Spec) -> Body:
    key = {"path": f"/home/{spec.admin}/.ssh/authorized_keys", "keyData": spec.key}
    linux = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}}
    given = custom_data(spec.cloud_init)
    data = {"customData": base64.b64encode(given).decode()} if given else {}
    host = spec.host or re.sub(r"[^-a-zA-Z0-9]", "-", spec.name).strip("-")
    return {"computerName": host, "adminUsername": spec.admin, "linuxConfiguration": linux, **data}


def _identity(identity: str) -> Body:
    if identity == "system":
        return {"type": "SystemAssigned"}
    return {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}


def address(spec: Spec, tags: Mapping[str, str]) -> Body:
    """Return the body of the machine's public address."""
    return public_address(spec.location, {**spec.tags, **tags})


def public_address(location: str, tags: Mapping[str, str]) -> Body:
    """Return the body of a public address. Azure no longer creates Basic ones."""
    properties = {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}
    return {"location": location, "tags": dict(tags), "sku": {"name": "Standard"}, "properties": properties}


def interface(spec: Spec, subnet: str, security_group: str, address: str, tags: Mapping[str, str]) -> Body:
    """Return the body of the machine's interface; address: the id of its public address, or "" for none."""
    ip: Body = {"subnet": {"id": subnet}, "privateIPAllocationMethod": "Dynamic"}
    if address:
        ip["publicIPAddress"] = {"id": address, "properties": {"deleteOption": "Delete"}}
    properties = {
        "ipConfigurations": [{"name": "ip", "properties": ip}],
        "networkSecurityGroup": {"id": security_group},
    }
    return {"location": spec.location, "tags": {**spec.tags, **tags}, "properties": properties}
