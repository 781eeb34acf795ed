"""The automatic shutdown of a machine by Azure itself, which also works when swarmd is gone (`--max-hours`).

Azure has one schedule a machine, for a time of the day. A machine that has run for so many hours is deallocated then,
whatever runs on it. The schedule is set again whenever swarmlib starts the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from .client import Arm
from .objects import Machine
from .resources import SCHEDULES
from .spec import MAX_HOURS, STARTED, Body, tags_of
from .stamps import stamp


async def start(arm: Arm, group: str, machine: Machine) -> None:
    """Start a machine; return once Azure has done so."""
    await arm.finished(partial(arm.compute.virtual_machines.begin_start, group, machine.name))
    await note_start(arm, group, machine)


async def note_start(arm: Arm, group: str, machine: Machine) -> None:
    """Note on a machine that was started when that was, and set its schedule again, if it has one."""
    await arm.tag(machine.arm_id, {STARTED: stamp()})
    if (hours := machine.tags.get(MAX_HOURS, "")).isdecimal():
        id = arm.id(group, SCHEDULES, schedule_name(machine.name))
        found = await arm.find(id)
        if found is not None:
            await arm.put(id, schedule(machine.arm_id, str(machine.body["location"]), int(hours), tags_of(found)))


def schedule_name(machine: str) -> str:
    """Return the name of a machine's schedule, as Azure demands it."""
    return f"shutdown-computevm-{machine}"


def schedule(machine: str, location: str, hours: int, tags: Mapping[str, str]) -> Body:
    """Return the body of the schedule that deallocates a machine, by its id, after so many hours from now."""
    at = datetime.now(UTC) + timedelta(hours=hours)
    properties = {
        "status": "Enabled",
        "taskType": "ComputeVmShutdownTask",
        "dailyRecurrence": {"time": f"{at:%H%M}"},
        "timeZoneId": "UTC",
        "notificationSettings": {"status": "Disabled", "timeInMinutes": 30},
        "targetResourceId": machine,
    }
    return {"location": location, "tags": dict(tags), "properties": properties}
