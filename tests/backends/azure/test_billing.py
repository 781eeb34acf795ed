"""What machines cost is shown, and how long they run is limited, by Azure itself."""

import json
import re
from datetime import UTC, datetime, timedelta

from swarmlib_backends.azure.fakearm import FakeArm
from tests.support.azure.backend import azure, left
from tests.support.azure.command import run
from tests.support.azure.sdk import Sdk


def is_recent(text: str) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(text) < timedelta(minutes=1)


async def test_the_command_shows_what_runs_since_when_and_what_is_billed(led: FakeArm, sdk: Sdk) -> None:
    _, said = await run("create", "box")
    assert "billed: machine+disk+address; while deallocated: disk+address\n" in said
    await sdk.subnet()
    await run("create", "hidden", "--private", "--network", "net/default")
    await (await sdk.compute.virtual_machines.begin_deallocate("prod", "box")).result()
    box, hidden = sorted(json.loads((await run("ls", "--json"))[0]), key=lambda each: str(each["name"]))
    assert (box["power"], box["since"], box["billed"]) == ("deallocated", "", ["disk", "address"])
    assert (hidden["power"], hidden["billed"]) == ("running", ["machine", "disk"])
    assert is_recent(hidden["since"])


async def test_docker_info_shows_what_runs_since_when_and_what_is_billed(led: FakeArm) -> None:
    async with azure(max_hours=3) as swarm:
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        ((name, line),) = (await swarm.get())["DriverStatus"]
        assert name == "Machine web"
        pattern = r"running since \S+Z, for 3 h at most; Standard_B2s_v2; billed: machine, disk, address"
        assert re.fullmatch(pattern, line)
        await web.stop()
        ((_, line),) = (await swarm.get())["DriverStatus"]
        assert line == "deallocated, for 3 h at most; Standard_B2s_v2; billed: disk, address"


async def test_azure_itself_switches_a_machine_off_after_so_many_hours_from_its_last_start(led: FakeArm) -> None:
    async with azure(max_hours=5) as swarm:
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        (schedule,) = led.state.of_type("Microsoft.DevTestLab/schedules")
        (machine,) = led.state.of_type("Microsoft.Compute/virtualMachines")
        assert schedule.id.name == "shutdown-computevm-web"
        assert schedule.properties["targetResourceId"] == str(machine.id)
        at = {f"{datetime.now(UTC) + timedelta(hours=5, minutes=minutes):%H%M}" for minutes in (-1, 0)}
        assert schedule.properties["dailyRecurrence"]["time"] in at
        await web.stop()
        schedule.properties["dailyRecurrence"]["time"] = "0000"
        machine.body["tags"]["swarmlib.started"] = "2020-01-01T00:00:00Z"
    async with azure() as swarm:  # what limits it is the machine's own
        await swarm.workload("web").start()
        (schedule,) = led.state.of_type("Microsoft.DevTestLab/schedules")
        (machine,) = led.state.of_type("Microsoft.Compute/virtualMachines")
        assert schedule.properties["dailyRecurrence"]["time"] in at | {f"{datetime.now(UTC) + timedelta(hours=5):%H%M}"}
        assert is_recent(machine.body["tags"]["swarmlib.started"])
        await swarm.workload("web").rm(force=True)
    assert left(led) == []


async def test_the_schedule_of_a_machine_that_is_not_there_is_swept(led: FakeArm) -> None:
    await run("create", "box", "--max-hours", "2")
    planned, _ = await run("create", "other", "--max-hours", "2", "--dry-run")
    assert "shutdown-computevm-other" in planned
    (machine,) = led.state.of_type("Microsoft.Compute/virtualMachines")
    led.state.drop(machine.id)
    await run("sweep", "--older-than", "0s")
    assert {each.id.type for each in led.state.resources.values()} <= {"Microsoft.Compute/disks"}
