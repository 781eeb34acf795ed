"""The sizes of machines that a region has."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from swarmlib import Denied

from .client import Arm
from .spec import parts

_log = logging.getLogger(__name__)

LARGEST: Final = (416, 12 * 2**40)
"""The CPUs and the bytes of memory that a size is believed to have while the sizes are not known: nothing is larger."""


async def sizes(arm: Arm, location: str) -> Mapping[str, tuple[int, int]] | None:
    """Return the CPUs and the bytes of memory of each size, by its name in lower case; None if they may not be read.

    The list is the subscription's: a role for a resource group alone does not suffice for it.
    """
    try:
        found = await arm.listed(arm.compute.resource_skus.list(filter=f"location eq '{location}'"))
    except Denied as exc:
        _log.info("the sizes of machines are not known, so one may turn out to be too small: %s", exc.message)
        return None
    machines = [each for each in found if each.get("resourceType") == "virtualMachines"]
    return {str(each["name"]).lower(): _capacity(each) for each in machines}


def _capacity(sku: Mapping[str, object]) -> tuple[int, int]:
    told = {each.get("name"): str(each.get("value")) for each in parts(dict(sku), "capabilities")}
    return int(told.get("vCPUs", "0")), int(float(told.get("MemoryGB", "0")) * 2**30)
