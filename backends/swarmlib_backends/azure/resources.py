"""The kinds of resources that a machine consists of, and the order in which they are removed."""

from __future__ import annotations

from typing import Final

from swarmlib import SwarmError

from .client import parts

MACHINES: Final = "Microsoft.Compute/virtualMachines"
DISKS: Final = "Microsoft.Compute/disks"
INTERFACES: Final = "Microsoft.Network/networkInterfaces"
ADDRESSES: Final = "Microsoft.Network/publicIPAddresses"
SECURITY_GROUPS: Final = "Microsoft.Network/networkSecurityGroups"
NETWORKS: Final = "Microsoft.Network/virtualNetworks"
SCHEDULES: Final = "Microsoft.DevTestLab/schedules"
_ORDER: Final = (MACHINES, SCHEDULES, DISKS, INTERFACES, ADDRESSES, SECURITY_GROUPS, NETWORKS)
"""The order of removal: nothing is removed before the things that use it."""
SHARED: Final = (SECURITY_GROUPS, NETWORKS)
"""The kinds that the machines of a group share."""


def kind_of(id: str) -> str:
    """Return the kind in an id, as it is spelled here; for an unknown kind, the last one of the order."""
    found = parts(id)[1].lower()
    return next((kind for kind in _ORDER if kind.lower() == found), NETWORKS)


def removal_rank(id: str) -> int:
    """Return the place of a resource in the order of removal."""
    return _ORDER.index(kind_of(id))


def is_in_use(exc: SwarmError) -> bool:
    """Return whether Azure refuses a removal because something else uses the resource."""
    code = str(exc.details.get("azure", ""))
    return "InUse" in code or "CannotBeDeleted" in code or code == "NicReservedForAnotherVm"
