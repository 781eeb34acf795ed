"""Nothing is left behind, whatever fails; what can't be removed is named; and what is others' is not touched."""

import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import trio

from swarmlib import Conflict, Denied, Unavailable
from swarmlib_backends.azure import patience
from swarmlib_backends.azure.client import connected
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from tests.support.azure.backend import azure, left, until_nothing_is_left
from tests.support.azure.command import CREATE, run
from tests.support.azure.sdk import LOCATION, Sdk


def refuse_machines(arm: FakeArm) -> None:
    """Refuse every machine, so that its interface stays reserved for it."""
    arm.state.regions[LOCATION].short = {"Standard_B2s_v2"}


# Failures.


async def test_the_command_waits_until_azure_lets_the_interface_of_a_refused_machine_go(led: FakeArm) -> None:
    refuse_machines(led)
    _, said = await run("create", "box", code=1)
    assert "SkuNotAvailable" in said
    assert "Could not be removed" not in said
    assert left(led) == []


async def test_a_chain_names_what_azure_still_reserves_and_removes_it_later(led: FakeArm) -> None:
    led.state.reserve_seconds = 1.0
    refuse_machines(led)
    async with azure() as swarm:
        with pytest.raises(Unavailable, match=r"SkuNotAvailable.*web-nic.*180 seconds.*\(it is tried again\)"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
        await until_nothing_is_left(led)


async def test_what_can_not_be_removed_is_named_with_its_id_by_create_and_sweep(
    led: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "RESERVED_SECONDS", 0.2)
    led.faults.add(Fault("fail", "PUT", "*/virtualMachines/*", "SkuNotAvailable"))
    reserved = led.faults.add(Fault("fail", "DELETE", "*/networkInterfaces/*", "NicReservedForAnotherVm", times=0))
    nic = f"/subscriptions/{led.state.subscription}/resourceGroups/prod/providers/Microsoft.Network/networkInterfaces"
    _, said = await run("create", "box", code=1)
    assert f"{nic}/box-nic: " in said
    _, said = await run("sweep", "--older-than", "0s", code=1)
    assert f"not removed: {nic}/box-nic: " in said
    assert "box-ip" in said  # the interface uses it
    assert "box-nic" in left(led)
    reserved.times = reserved.hits
    await run("sweep", "--older-than", "0s")
    assert left(led) == []


async def test_what_is_shared_goes_with_the_last_of_several_failures(led: FakeArm) -> None:
    refuse_machines(led)
    async with azure() as swarm:

        async def spawn(name: str) -> None:
            with pytest.raises(Unavailable):
                await swarm.spawn({"Image": "ubuntu"}, name=name)

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(spawn, f"vm{number}")
        await until_nothing_is_left(led)


async def test_a_group_that_holds_what_another_has_just_made_stays(led: FakeArm, sdk: Sdk) -> None:
    led.state.list_lag = 0.05
    async with azure() as swarm:
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        await sdk.address("others")
        await web.rm(force=True)
    assert left(led) == ["prod", "others"]


async def test_arms_list_that_lags_behind_keeps_no_group(led: FakeArm) -> None:
    led.state.list_lag = 0.05
    async with azure() as swarm:
        await (await swarm.spawn({"Image": "ubuntu"}, name="web")).rm(force=True)
    assert left(led) == []


# Signals.


async def interrupted(arm: FakeArm, log: Path, number: int, *faults: Fault) -> int:
    """Run a creation that gets a signal at each fault, one after the other; return its exit code."""
    hanging = [arm.faults.add(fault) for fault in faults]
    with log.open("wb") as file:
        async with trio.open_nursery() as nursery:
            start = partial(trio.run_process, CREATE, check=False, stderr=file)
            process: trio.Process = await nursery.start(start)
            for fault in hanging:
                await fault.hit.wait()
                process.send_signal(number)
            with trio.fail_after(20):
                return await process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_creation_is_removed_again(led: FakeArm, tmp_path: Path, number: int, code: int) -> None:
    hanging = Fault("hang-later", "PUT", "*/virtualMachines/*")
    assert await interrupted(led, tmp_path / "log", number, hanging) == code
    assert left(led) == []
    assert "removed virtualMachines box" in (tmp_path / "log").read_text()


async def test_a_second_signal_leaves_at_once_and_names_what_is_left(led: FakeArm, tmp_path: Path) -> None:
    faults = [Fault("hang-later", "PUT", "*/virtualMachines/*"), Fault("hang", "DELETE", "*/virtualMachines/*")]
    assert await interrupted(led, tmp_path / "log", signal.SIGTERM, *faults) == 143
    said = (tmp_path / "log").read_text()
    assert "perhaps not removed: " in said
    assert "virtualMachines/box" in said
    assert "box" in left(led)


async def test_a_machine_that_a_killed_creation_left_behind_is_swept_by_its_tags(led: FakeArm, tmp_path: Path) -> None:
    slow = Fault("slow", "PUT", "*/virtualMachines/*", seconds=0.2)
    assert await interrupted(led, tmp_path / "log", signal.SIGKILL, slow) == -9
    with trio.fail_after(10):
        while "running" not in (await run("ls"))[0]:  # Azure completes it
            pass
    assert (await run("sweep", "--dry-run"))[0] == ""
    await run("sweep", "--older-than", "0s")
    assert left(led) == []


# What is others'.


async def others_machine(sdk: Sdk, **tags: str) -> None:
    await sdk.machine("proddb", await sdk.network_for("proddb"))
    if tags:
        machines = sdk.compute.virtual_machines
        await (await machines.begin_update("prod", "proddb", {"tags": tags})).result()


async def test_the_command_removes_no_machine_that_it_did_not_make_unless_told(led: FakeArm, sdk: Sdk) -> None:
    await others_machine(sdk, owner="dba")
    before = left(led)
    _, said = await run("rm", "proddb", code=1)
    assert "proddb was not made by swarmlib: only with --not-ours" in said
    assert left(led) == before
    (machine,) = led.state.of_type("Microsoft.Compute/virtualMachines")
    del machine.properties["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"]
    _, said = await run("rm", "proddb", "--not-ours")
    assert "kept: " in said
    assert "networkInterfaces/proddb-nic" in said
    assert {"proddb-nic", "proddb-ip"} <= set(left(led))


async def test_a_chain_changes_no_machine_that_it_did_not_make_unless_told(led: FakeArm, sdk: Sdk) -> None:
    await others_machine(sdk)
    async with azure() as swarm:
        db = swarm.workload("proddb")
        assert [each.name for each in await swarm.ls()] == ["proddb"]
        update: Mapping[str, object] = {"Labels": {"a": "b"}}
        changes = (db.stop, db.start, partial(db.rm, force=True), partial(db.set, "update", body=update))
        for change in changes:
            with pytest.raises(Denied, match="proddb was not made by swarmlib"):
                await change()
        with pytest.raises(Denied, match="proddb was not made by swarmlib"):
            await db.set("restart")
        assert await sdk.power("proddb") == "running"
    async with azure(not_ours=True) as swarm:
        await swarm.workload("proddb").stop()
        assert await sdk.power("proddb") == "deallocated"


@pytest.mark.parametrize("kind", ["network_security_groups", "virtual_networks"])
async def test_a_network_or_security_group_of_others_is_not_changed(led: FakeArm, sdk: Sdk, kind: str) -> None:
    await sdk.group()
    properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}} if kind == "virtual_networks" else {}
    body = {"location": LOCATION, "properties": properties}
    await (await getattr(sdk.network, kind).begin_create_or_update("prod", "swarmlib", body)).result()
    async with azure() as swarm:
        with pytest.raises(Conflict, match="exists and was not made by swarmlib"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
        await trio.sleep(0.1)
    assert left(led) == ["prod", "swarmlib"]


async def test_the_sweep_takes_neither_what_is_young_nor_what_has_no_age_nor_a_complete_machine(led: FakeArm) -> None:
    await run("create", "box")
    (machine,) = led.state.of_type("Microsoft.Compute/virtualMachines")
    machine.state = "Failed"  # as after a start for which Azure had no room
    (address,) = led.state.of_type("Microsoft.Network/publicIPAddresses")
    led.plant(address.body | {"id": f"{address.body['id']}2", "name": "lost", "tags": {"swarmlib": "engine"}})
    made = address.body["tags"] | {"swarmlib.vm": "gone", "swarmlib.made": "long ago"}
    led.plant(address.body | {"id": f"{address.body['id']}3", "name": "odd", "tags": made})
    assert await run("sweep", "--older-than", "0s", "--dry-run") == ("", "")
    young = made | {"swarmlib.made": address.body["tags"]["swarmlib.made"]}
    led.plant(address.body | {"id": f"{address.body['id']}4", "name": "young", "tags": young})
    for words in ((), ("--everywhere",)):
        assert await run("sweep", "--older-than", "1h", "--dry-run", *words) == ("", "")
        said, _ = await run("sweep", "--older-than", "0s", "--dry-run", *words)
        assert said.splitlines() == [f"remove  {address.body['id']}4"]


async def test_tags_of_a_resource_are_set_and_removed_without_harm_to_others(led: FakeArm, sdk: Sdk) -> None:
    await others_machine(sdk, owner="dba", b="2")
    async with connected() as arm:
        (machine,) = led.state.of_type("Microsoft.Compute/virtualMachines")
        assert await arm.tag(str(machine.id), {"a": "1"}) == {"owner": "dba", "b": "2", "a": "1"}
        assert await arm.untag(str(machine.id), {"a": "1", "b": "other"}) == {"owner": "dba", "b": "2"}
