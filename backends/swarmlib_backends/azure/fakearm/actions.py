"""The actions of a virtual machine: power, maintenance, patches, diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from ...http.serving import Body
from . import errors, instance
from .kind import Action
from .machines import Machine
from .nat import has_way_out
from .resource import Resource, dig
from .state import ArmCall, State
from .storage import all_disks, attach_listed, data_disks, detach_listed
from .validation import machines_in, size_of, ssh_keys
from .world import SIZES

_HOLDING_ROOM: Final = ("starting", "running", "stopping", "stopped", "deallocating")

_OUTPUT: Final = 4096
"""How many of the last characters of its output a run command answers."""


class Actions:
    """The actions of virtual machines, and the switching of their power."""

    def __init__(self, state: State) -> None:
        self._state = state
        later = {
            "start": self._start,
            "poweroff": self._power_off,
            "deallocate": self._deallocate,
            "restart": self._restart,
            "redeploy": self._restart,
            "reimage": self._restart,
            "performmaintenance": self._restart,
            "reapply": self._nothing,
            "converttomanageddisks": self._nothing,
            "capture": self._capture,
            "assesspatches": self._assess_patches,
            "installpatches": self._install_patches,
            "attachdetachdatadisks": self._attach_detach,
        }
        self.table: Mapping[str, Action] = {name: Action(run) for name, run in later.items()} | {
            "generalize": Action(self._generalize, later=False, empty=200),
            "simulateeviction": Action(self._simulate_eviction, later=False),
            "retrievebootdiagnosticsdata": Action(self._diagnostics, later=False),
            "instanceview": Action(self._instance_view, later=False, method="GET"),
            "runcommand": Action(self._run_command, check=_check_running),
            "vmsizes": Action(self._sizes, later=False, method="GET"),
        }

    def allocate(self, machine: Resource) -> None:
        """Check that the region has room for a machine.

        Raises:
            ArmError: it has none (AllocationFailed).
        """
        size, region = size_of(machine), self._state.region(machine.location)
        others = [each for each in machines_in(self._state, machine.location) if each is not machine]
        held = sum(size_of(each).cores for each in others if instance.power_of(each) in _HOLDING_ROOM)
        if held + size.cores > region.room:
            raise errors.allocation_failed(size.name)

    async def switch_on(self, machine: Resource) -> None:
        """Start a machine; return once it runs. Whatever a failed attempt has left is stopped first."""
        if "machine" in machine.hidden:
            await self.switch_off(machine, "stopped")
        instance.set_power(machine, "starting")
        real = self._machine(machine)
        machine.hidden["machine"] = real
        await self._state.machines.start(real)
        instance.set_power(machine, "running")

    async def switch_off(self, machine: Resource, power: str) -> None:
        """Stop a machine."""
        if (real := machine.hidden.get("machine")) is not None:
            instance.set_power(machine, "deallocating" if power == "deallocated" else "stopping")
            await self._state.machines.stop(real)
            del machine.hidden["machine"]
        instance.set_power(machine, power)

    def _machine(self, machine: Resource) -> Machine:
        profile: Body = machine.properties.get("osProfile", {})
        public, private, subnet = self._addresses(machine)
        return Machine(
            id=str(machine.id),
            name=machine.id.name,
            size=size_of(machine).name,
            public=public,
            private=private,
            outbound=bool(public) or subnet is None or has_way_out(subnet),
            admin=profile.get("adminUsername", ""),
            keys=ssh_keys(machine),
            custom_data=machine.hidden.get("custom_data", b""),
            tags=dict(machine.body.get("tags") or {}),
        )

    def _addresses(self, machine: Resource) -> tuple[str, str, Resource | None]:
        """Return a machine's public address, its private one, and its subnet."""
        resources = self._state.resources
        for reference in machine.properties["networkProfile"]["networkInterfaces"]:
            interface = resources[reference["id"].lower()]
            for each in interface.properties["ipConfigurations"]:
                public = resources.get(each["properties"].get("publicIPAddress", {}).get("id", "").lower())
                address = public.properties["ipAddress"] if public else ""
                subnet = resources.get((dig(each, "properties", "subnet", "id") or "").lower())
                return address, each["properties"].get("privateIPAddress", ""), subnet
        return "", "", None

    async def _start(self, machine: Resource, call: ArmCall) -> None:
        if instance.power_of(machine) != "running":
            if instance.power_of(machine) not in _HOLDING_ROOM:
                self.allocate(machine)
            await self.switch_on(machine)

    async def _power_off(self, machine: Resource, call: ArmCall) -> None:
        if instance.power_of(machine) != "deallocated":
            await self.switch_off(machine, "stopped")

    async def _deallocate(self, machine: Resource, call: ArmCall) -> None:
        await self.switch_off(machine, "deallocated")

    async def _restart(self, machine: Resource, call: ArmCall) -> None:
        if instance.power_of(machine) == "running":
            await self.switch_off(machine, "stopped")
            await self.switch_on(machine)

    async def _run_command(self, machine: Resource, call: ArmCall) -> Body:
        script = "\n".join(call.json().get("script", []))
        output = await self._state.machines.run(machine.hidden["machine"], script)
        shown = f"Enable succeeded: \n[stdout]\n{output[-_OUTPUT:]}\n[stderr]\n"
        done = instance.status("ProvisioningState/succeeded", "Provisioning succeeded")
        return {"value": [{name: value for name, value in done.items() if name != "time"} | {"message": shown}]}

    async def _nothing(self, machine: Resource, call: ArmCall) -> None:
        pass

    async def _capture(self, machine: Resource, call: ArmCall) -> Body:
        schema = "http://schema.management.azure.com/schemas/2014-04-01-preview/VM_IP.json"
        template: Body = {"$schema": schema, "contentVersion": "1.0.0.0", "parameters": {}, "resources": [{}]}
        return {"id": str(machine.id), **template}

    async def _assess_patches(self, machine: Resource, call: ArmCall) -> Body:
        counts: Body = {"criticalAndSecurityPatchCount": 0, "otherPatchCount": 0, "availablePatches": []}
        return {"status": "Succeeded", "assessmentActivityId": self._state.uuid(), "rebootPending": False,
                "startDateTime": datetime.now(UTC).isoformat(), **counts}  # fmt: skip

    async def _install_patches(self, machine: Resource, call: ArmCall) -> Body:
        names = ("excluded", "notSelected", "pending", "installed", "failed")
        counts = {f"{name}PatchCount": 0 for name in names}
        return {"status": "Succeeded", "installationActivityId": self._state.uuid(), "rebootStatus": "NotNeeded",
                "maintenanceWindowExceeded": False, "startDateTime": datetime.now(UTC).isoformat(),
                "patches": [], **counts}  # fmt: skip

    async def _attach_detach(self, machine: Resource, call: ArmCall) -> Body:
        body = call.json()
        detach_listed(self._state, machine, body.get("dataDisksToDetach", []))
        attach_listed(self._state, machine, body.get("dataDisksToAttach", []))
        storage: Body = machine.properties["storageProfile"]
        return storage | {"osDisk": all_disks(machine)[0], "dataDisks": data_disks(machine)}

    async def _generalize(self, machine: Resource, call: ArmCall) -> None:
        if instance.power_of(machine) == "running":
            message = f"Operation 'Generalize' is not allowed on VM '{machine.id.name}' since the VM is running."
            raise errors.conflict("OperationNotAllowed", message)
        machine.hidden["generalized"] = True

    async def _simulate_eviction(self, machine: Resource, call: ArmCall) -> None:
        if machine.properties.get("priority") != "Spot":
            message = f"Operation 'SimulateEviction' is only allowed on Spot VMs; '{machine.id.name}' is none."
            raise errors.conflict("OperationNotAllowed", message)
        await self.switch_off(machine, "deallocated")

    async def _diagnostics(self, machine: Resource, call: ArmCall) -> Body:
        if not machine.properties.get("diagnosticsProfile", {}).get("bootDiagnostics", {}).get("enabled"):
            message = f"Boot diagnostics is not enabled on VM '{machine.id.name}'."
            raise errors.conflict("OperationNotAllowed", message)
        base = f"{call.request.base}/fakearm/bootdiagnostics/{machine.properties['vmId']}"
        return {"consoleScreenshotBlobUri": f"{base}/screenshot.bmp?sig=fake",
                "serialConsoleLogBlobUri": f"{base}/serialconsole.log?sig=fake"}  # fmt: skip

    async def _instance_view(self, machine: Resource, call: ArmCall) -> Body:
        return instance.view(machine)

    async def _sizes(self, machine: Resource, call: ArmCall) -> Body:
        return sizes()


def _check_running(machine: Resource) -> None:
    if instance.power_of(machine) != "running":
        raise errors.conflict("OperationNotAllowed", "Cannot modify extensions in the VM when the VM is not running.")


def sizes() -> Body:
    """Return the list of sizes."""
    return {
        "value": [
            {
                "name": each.name,
                "numberOfCores": each.cores,
                "osDiskSizeInMB": 1047552,
                "resourceDiskSizeInMB": each.temp_disk_mb,
                "memoryInMB": each.memory_mb,
                "maxDataDiskCount": 4 * each.cores,
            }
            for each in SIZES.values()
        ]
    }
