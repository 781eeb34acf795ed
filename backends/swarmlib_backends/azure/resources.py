"""The kinds of resources that a machine consists of, and the order in which they are removed."""

from __future__ import annotations

from typing import Final

from swarmlib import SwarmError

from .client import parts
from .spec import NETWORK

MACHINES: Final = "Microsoft.Compute/virtualMachines"
DISKS: Final = "Microsoft.Compute/disks"
INTERFACES: Final = "Microsoft.Network/networkInterfaces"
ADDRESSES: Final = "Microsoft.Network/publicIPAddresses"
SECURITY_GROUPS: Final = "Microsoft.Network/networkSecurityGroups"
NETWORKS: Final = "Microsoft.Network/virtualNetworks"
GATEWAYS: Final = "Microsoft.Network/natGateways"
SCHEDULES: Final = "Microsoft.DevTestLab/schedules"
_ORDER: Final = (MACHINES, SCHEDULES, DISKS, INTERFACES, ADDRESSES, SECURITY_GROUPS, NETWORKS, GATEWAYS)
"""The order of removal: nothing is removed before the things that use it."""
SHARED: Final = (SECURITY_GROUPS, NETWORKS, GATEWAYS, ADDRESSES)
"""The kinds of what the machines of a group share; all of it has the name `spec.NETWORK`."""


def kind_of(id: str) -> str:
    """Return the kind in an id, as it is spelled here; for an unknown kind, that of networks."""
    found = parts(id)[1].lower()
    return next((kind for kind in _ORDER if kind.lower() == found), NETWORKS)


def removal_rank(id: str) -> int:
    """Return the place of a resource in the order of removal; the shared address is the NAT gateway's, and the last."""
    kind = kind_of(id)
    return len(_ORDER) if kind == ADDRESSES and is_shared(id) else _ORDER.index(kind)


def is_shared(id: str) -> bool:
    """Return whether a resource is one that the machines of a group share."""
    return kind_of(id) in SHARED and parts(id)[2].lower() == NETWORK


def is_in_use(exc: SwarmError) -> bool:
    """Return whether Azure refuses a removal because something else uses the resource."""
    code = str(exc.details.get("azure", ""))
    return "InUse" in code or "CannotBeDeleted" in code or code == "NicReservedForAnotherVm"
