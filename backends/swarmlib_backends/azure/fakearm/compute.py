"""Microsoft.Compute's lists for a region or the whole subscription: machines, sizes, quotas."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from ...http.serving import Answer, Body
from . import errors, instance
from .actions import sizes
from .crud import Crud
from .resource import Resource
from .state import ArmCall, State
from .validation import is_spot, machines_in, size_of
from .world import SIZES, Region, Size, canonical

MACHINES: Final = "Microsoft.Compute/virtualMachines"
_SCALE_SET: Final = re.compile(r"'virtualMachineScaleSet/id' eq '?([^']*)'?", re.IGNORECASE)
_LOCATION: Final = re.compile(r"location eq '([^']*)'", re.IGNORECASE)


class Compute:
    """The lists of Microsoft.Compute."""

    def __init__(self, state: State, crud: Crud) -> None:
        self._state = state
        self._crud = crud

    def machines(self, call: ArmCall, group: str = "", location: str = "") -> Answer:
        """List virtual machines: all, a group's, or a region's.

        With `statusOnly=true` each shows little more than its state: two requests give both, not one per machine.
        """
        query = call.request.query
        if group:
            self._state.group(group)
        if "$expand" in query and "$filter" not in query:
            raise errors.parameter("$expand", "$expand can only be specified with a valid $filter option.")
        found = machines_in(self._state, canonical(location)) if location else self._state.of_type(MACHINES, group)
        fits = _in_scale_set(query.get("$filter"))
        show = _status_only if query.get("statusOnly", "").lower() == "true" else self._show(query)
        return self._crud.page([partial(show, each) for each in found if fits(each)], call)

    def _show(self, query: dict[str, str]) -> Callable[[Resource], Body]:
        kind = self._crud.kind(MACHINES)
        return lambda machine: kind.view(machine, query)

    def sizes(self, location: str) -> Answer:
        """List the sizes of a region."""
        self._state.region(canonical(location))
        return Answer(200, sizes())

    def usages(self, location: str) -> Answer:
        """List the quotas of a region, and how much of them is used."""
        region = self._state.region(canonical(location))
        machines = machines_in(self._state, region.name)
        regular = [each for each in machines if not is_spot(each)]
        spot = [each for each in machines if is_spot(each)]
        found = [
            _usage("cores", "Total Regional vCPUs", regular, region.cores),
            _usage("lowPriorityCores", "Total Regional Low-priority vCPUs", spot, region.spot_cores),
            {"unit": "Count", "currentValue": len(machines), "limit": 25000,
             "name": {"value": "virtualMachines", "localizedValue": "Virtual Machines"}},
        ]  # fmt: skip
        for family in dict.fromkeys(size.family for size in SIZES.values()):
            limit = region.families.get(family, region.cores)
            mine = [each for each in regular if size_of(each).family == family]
            found.append(_usage(family, f"{family} vCPUs", mine, limit))
        return Answer(200, {"value": found})

    def skus(self, call: ArmCall) -> Answer:
        """List which sizes exist in which regions, and which ones the subscription can't have."""
        text = call.request.query.get("$filter", "")
        match = _LOCATION.fullmatch(text)
        if text and match is None:
            raise errors.bad("InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string.")
        wanted = [canonical(match[1])] if match else [*self._state.regions]
        regions = [self._state.regions[name] for name in wanted if name in self._state.regions]
        return Answer(200, {"value": [_sku(size, region) for region in regions for size in SIZES.values()]})


def _usage(name: str, shown: str, machines: list[Resource], limit: int) -> Body:
    used = sum(size_of(each).cores for each in machines)
    return {"unit": "Count", "currentValue": used, "limit": limit, "name": {"value": name, "localizedValue": shown}}


def _sku(size: Size, region: Region) -> Body:
    capabilities = {
        "vCPUs": str(size.cores),
        "MemoryGB": f"{size.memory_mb / 1024:g}",
        "HyperVGenerations": ",".join(sorted(size.generations)),
        "CpuArchitectureType": size.architecture,
        "TrustedLaunchDisabled": str(not size.trusted_launch),
        "LowPriorityCapable": str(size.spot),
    }
    if size.confidential:
        capabilities["ConfidentialComputingType"] = "SNP" if "as_" in size.name else "TDX"
    withheld = {
        "type": "Location",
        "values": [region.name],
        "restrictionInfo": {"locations": [region.name]},
        "reasonCode": "NotAvailableForSubscription",
    }
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": size.name.partition("_")[2],
        "family": size.family,
        "locations": [region.name],
        "locationInfo": [{"location": region.name, "zones": [*region.zones], "zoneDetails": []}],
        "capabilities": [{"name": name, "value": value} for name, value in capabilities.items()],
        "restrictions": [withheld] if size.name in region.withheld else [],
    }


def _status_only(machine: Resource) -> Body:
    shown = {name: machine.body[name] for name in ("id", "name", "type", "location")}
    properties = {"provisioningState": machine.state, "instanceView": {"statuses": instance.statuses(machine)}}
    return shown | {"properties": {"vmId": machine.properties["vmId"], **properties}}


def _in_scale_set(text: str | None) -> Callable[[Resource], bool]:
    if text is None:
        return lambda machine: True
    wanted = match[1].lower() if (match := _SCALE_SET.search(text)) else None
    return lambda machine: machine.properties.get("virtualMachineScaleSet", {}).get("id", "").lower() == wanted
