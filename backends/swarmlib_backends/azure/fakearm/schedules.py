"""Microsoft.DevTestLab/schedules: the automatic shutdown of a virtual machine, at one time of each day. None ever runs.

Microsoft's documents of this provider are not among those that the fake is held against.
"""

from __future__ import annotations

import re

from . import errors
from .kind import Kind
from .resource import Resource, dig
from .state import ArmCall


class Schedules(Kind):
    """Schedules of machines that are no part of a lab; each has the name shutdown-computevm-MACHINE."""

    type = "Microsoft.DevTestLab/schedules"
    working = "Creating"

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check the task, its time, and that the machine exists and is in the same region."""
        properties = resource.properties
        if properties.get("taskType") != "ComputeVmShutdownTask":
            raise errors.bad("InvalidScheduleTask", "The taskType must be ComputeVmShutdownTask.", "taskType")
        if not re.fullmatch(r"([01]\d|2[0-3])[0-5]\d", str(dig(properties, "dailyRecurrence", "time"))):
            raise errors.bad("InvalidScheduleTime", "The schedule's time must be HHMM.", "dailyRecurrence.time")
        machine = self.state.resources.get(str(properties.get("targetResourceId")).lower())
        if machine is None:
            raise errors.missing_reference(str(resource.id), str(properties.get("targetResourceId")))
        if resource.id.name.lower() != f"shutdown-computevm-{machine.id.name}".lower():
            raise errors.bad("InvalidScheduleId", "The name must be shutdown-computevm-MACHINE.", "name")
        if resource.location != machine.location:
            raise errors.bad("InvalidScheduleLocation", "The schedule must be in the machine's region.", "location")
        properties.setdefault("status", "Enabled")
        properties["uniqueIdentifier"] = self.state.uuid()
