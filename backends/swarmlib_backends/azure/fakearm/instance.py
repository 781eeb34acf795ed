"""The instance view of a virtual machine: its power, its agent, its disks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from ...http.serving import Body
from .resource import Resource
from .storage import all_disks
from .validation import is_windows

_POWER: Final = {
    "starting": "VM starting",
    "running": "VM running",
    "stopping": "VM stopping",
    "stopped": "VM stopped",
    "deallocating": "VM deallocating",
    "deallocated": "VM deallocated",
}


def set_power(machine: Resource, power: str) -> None:
    """Set the power state."""
    assert power in _POWER
    machine.hidden["power"] = power


def power_of(machine: Resource) -> str:
    """Return the power state, such as running; "" before there is one."""
    return str(machine.hidden.get("power", ""))


def status(code: str, shown: str, level: str = "Info", at: datetime | None = None) -> Body:
    """Return one status, by default of now."""
    return {"code": code, "level": level, "displayStatus": shown, "time": (at or datetime.now(UTC)).isoformat()}


def _changed(machine: Resource) -> datetime | None:
    """Return when the last operation on a machine ended."""
    return machine.operation.ended if machine.operation is not None else None


def statuses(machine: Resource) -> list[Body]:
    """Return the machine's provisioning state, and its power state once it has one."""
    state = machine.state
    level = "Error" if state == "Failed" else "Info"
    code = f"ProvisioningState/{state.lower()}"
    if state == "Failed" and machine.operation is not None and machine.operation.error is not None:
        code += f"/{machine.operation.error.code}"
    found = [status(code, f"Provisioning {state.lower()}", level, _changed(machine))]
    if machine.hidden.get("generalized"):
        found.append(status("OSState/generalized", "VM generalized"))
    if power := power_of(machine):
        found.append({"code": f"PowerState/{power}", "level": "Info", "displayStatus": _POWER[power]})
    return found


def view(machine: Resource) -> Body:
    """Return the whole view; a machine that is not running shows nothing of its inside."""
    done = status("ProvisioningState/succeeded", "Provisioning succeeded")
    found: Body = {
        "disks": [{"name": each["name"], "statuses": [done]} for each in all_disks(machine)],
        "hyperVGeneration": "V1" if is_windows(machine) else "V2",
        "statuses": statuses(machine),
    }
    if machine.properties.get("diagnosticsProfile", {}).get("bootDiagnostics", {}).get("enabled"):
        found["bootDiagnostics"] = {}
    if power_of(machine) == "running":
        windows = is_windows(machine)
        found["computerName"] = machine.properties.get("osProfile", {}).get("computerName", machine.id.name)
        found["osName"] = "Windows Server 2022 Datacenter" if windows else "ubuntu"
        found["osVersion"] = "10.0.20348.0" if windows else "24.04"
        agent = status("ProvisioningState/succeeded", "Ready")
        found["vmAgent"] = {"vmAgentVersion": "2.11.1.4", "statuses": [agent], "extensionHandlers": []}
    return found
