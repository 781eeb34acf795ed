"""The sizes of machines that a region has, and what each can do."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from swarmlib import Denied

from .client import Arm
from .spec import Body, part, parts

_log = logging.getLogger(__name__)

_LARGEST: Final = (416, 12 * 2**40)
"""The CPUs and the bytes of memory that a size is believed to have while the sizes are not known: nothing is larger."""
_NAME: Final = re.compile(r"Standard_(?P<family>[A-Z]+)\d+(?:-\d+)?(?P<features>[a-z]*)(?:_.*)?", re.IGNORECASE)
"""https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions"""


@dataclass(frozen=True)
class Size:
    """A size. memory: bytes. architecture: x64 or Arm64. generations: those of images (V1, V2). trusted, confidential:
    whether these security types are possible. zones: None if they are not known. withheld: whether the subscription
    can't have it.
    """

    name: str
    cpus: int
    memory: int
    architecture: str
    generations: frozenset[str]
    trusted: bool = True
    confidential: bool = False
    spot: bool = True
    zones: frozenset[str] | None = None
    withheld: bool = False

    @classmethod
    def by_name(cls, name: str) -> Self:
        """Return what a name alone says about a size, which is its architecture and whether it is confidential."""
        match = _NAME.fullmatch(name)
        architecture = "Arm64" if match and "p" in match["features"].lower() else "x64"
        confidential = match is not None and match["family"].upper() in ("DC", "EC")
        both = frozenset({"V1", "V2"})
        return cls(name, *_LARGEST, architecture, both, confidential=confidential)

    @classmethod
    def of(cls, sku: Body) -> Self:
        """Read a size from Azure's list of SKUs."""
        told = {str(each.get("name")): str(each.get("value")) for each in parts(sku, "capabilities")}
        restrictions = parts(sku, "restrictions")
        zones = {str(zone) for each in parts(sku, "locationInfo") for zone in each.get("zones") or ()}
        for each in restrictions:
            zones -= {str(zone) for zone in part(each, "restrictionInfo").get("zones") or ()}
        return cls(
            str(sku["name"]),
            int(told.get("vCPUs", "0")),
            int(float(told.get("MemoryGB", "0")) * 2**30),
            told.get("CpuArchitectureType", "x64"),
            frozenset(told.get("HyperVGenerations", "V1").split(",")),
            trusted=told.get("TrustedLaunchDisabled") != "True" and "V2" in told.get("HyperVGenerations", ""),
            confidential="ConfidentialComputingType" in told,
            spot=told.get("LowPriorityCapable") == "True",
            zones=frozenset(zones),
            withheld=any(each.get("type") == "Location" for each in restrictions),
        )


class Sizes:
    """The sizes of each region, each list asked for once."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._lists: dict[str, Mapping[str, Size] | None] = {}

    async def of(self, location: str) -> Mapping[str, Size] | None:
        """Return the sizes of a region, by their names in lower case; None if they may not be read.

        The list is the subscription's: a role for a resource group alone does not suffice for it.
        """
        if location not in self._lists:
            self._lists[location] = await self._read(location)
        return self._lists[location]

    async def _read(self, location: str) -> Mapping[str, Size] | None:
        try:
            found = await self._arm.listed(self._arm.compute.resource_skus.list(filter=f"location eq '{location}'"))
        except Denied as exc:
            _log.info("the sizes of machines are not known, so one may turn out to be too small: %s", exc.message)
            return None
        machines = [Size.of(each) for each in found if each.get("resourceType") == "virtualMachines"]
        return {each.name.lower(): each for each in machines}


def size_in(known: Mapping[str, Size] | None, name: str) -> Size | None:
    """Return a size of a region's, or None if the region doesn't have it; if the sizes are not known, what it is by
    its name.
    """
    return Size.by_name(name) if known is None else known.get(name.lower())
