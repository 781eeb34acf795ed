"""Azure's virtual machines as workloads: their whole life, by the backend and the real SDK, against the fake ARM."""

import re
from datetime import datetime
from functools import partial
from typing import Literal

import pytest
import trio

from swarmlib import Conflict, Denied, Invalid, Json, NotFound, Unavailable, Unsupported, Verb, Workload
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from tests.support.azure.backend import azure, left, until_asked, until_nothing_is_left


async def test_the_whole_life_of_a_machine(led: FakeArm) -> None:
    async with azure() as swarm:
        assert await swarm.ls() == []
        web = await swarm.spawn(
            {"Image": "ubuntu", "Labels": {"tier": "web", "azure.size": "Standard_D2s_v5"}}, name="web"
        )
        (listed,) = await swarm.ls(all=True)
        assert (listed.id, listed.name, listed["State"]) == (web.id, "web", "running")
        assert re.fullmatch(r"Up (Less than a second|\d+ seconds?)", listed["Status"])
        assert re.fullmatch("[0-9a-f]{64}", web.id)
        assert (listed["Image"], listed["ImageID"][:7]) == ("ubuntu", "sha256:")
        assert [each.name for each in await swarm.ls(filters={"ancestor": ["ubuntu"]})] == ["web"]
        assert listed["Labels"]["tier"] == "web"
        details = await swarm.get("containers", "web")
        assert details["Azure"]["properties"]["hardwareProfile"]["vmSize"] == "Standard_D2s_v5"
        assert details["Azure"]["powerState"] == "running"
        assert details["Azure"]["publicIPAddress"].startswith("127.")
        assert details["NetworkSettings"]["IPAddress"].startswith("10.86.0.")

        await web.stop()
        assert await swarm.ls() == []
        (listed,) = await swarm.ls(all=True)
        assert listed["State"] == "exited"
        assert re.fullmatch(r"Exited \(0\) .* ago, deallocated", listed["Status"])
        stopped = (await swarm.get("containers", "web"))["State"]
        assert datetime.fromisoformat(stopped["StartedAt"]) < datetime.fromisoformat(stopped["FinishedAt"])
        await web.start()
        await swarm.call(Verb.STOP, web.path, params={"keep_allocated": "1"})
        assert (await swarm.ls(all=True))[0]["Status"].endswith("ago, stopped, but allocated and billed")
        await web.set("update", body={"Labels": {"azure.size": "Standard_D4s_v5", "tier": "db"}})
        details = await swarm.get("containers", web.id[:12])
        assert details["Azure"]["properties"]["hardwareProfile"]["vmSize"] == "Standard_D4s_v5"
        assert details["Config"]["Labels"]["tier"] == "db"
        assert set(left(led)) == {"prod", "swarmlib", "machines", "web-ip", "web-nic", "web", *_disks(led)} | _rules(
            led
        )
        await web.start()
        with pytest.raises(Conflict, match="Stop the container before"):
            await web.rm()
        await web.rm(force=True)
        assert left(led) == []


def _disks(led: FakeArm) -> set[str]:
    return {each.id.name for each in led.state.of_type("Microsoft.Compute/disks")}


def _rules(led: FakeArm) -> set[str]:
    return {each.id.name for each in led.state.of_type("Microsoft.Network/networkSecurityGroups/securityRules")}


async def test_what_is_shared_goes_with_its_last_user(led: FakeArm) -> None:
    async with azure() as swarm:
        one = await swarm.spawn({"Image": "ubuntu"}, name="one")
        two = await swarm.spawn({"Image": "debian"}, name="two")
        await one.rm(force=True)
        assert {"prod", "swarmlib", "two"} <= set(left(led))
        await two.rm(force=True)
        assert left(led) == []


async def test_a_group_that_was_there_stays(led: FakeArm, sdk: object) -> None:
    await sdk.group()  # type: ignore[attr-defined]
    async with azure() as swarm:
        await (await swarm.spawn({"Image": "ubuntu"}, name="one")).rm(force=True)
    assert left(led) == ["prod"]


async def test_the_same_spawn_twice_is_one_machine_and_another_of_its_name_a_conflict(led: FakeArm) -> None:
    async with azure() as swarm, azure() as other:
        first = await swarm.spawn({"Image": "ubuntu"}, name="web")
        again = await other.spawn({"Image": "ubuntu"}, name="web")
        assert first.id == again.id
        with pytest.raises(Conflict, match="the name web is in use"):
            await other.spawn({"Image": "debian"}, name="web")
        assert len(await swarm.ls()) == 1


async def test_two_swarmd_that_make_the_same_machine_at_once_make_one(led: FakeArm) -> None:
    ids: list[str] = []
    async with azure() as one, azure() as two:

        async def spawn(swarm: object) -> None:
            ids.append((await swarm.spawn({"Image": "ubuntu"}, name="web")).id)  # type: ignore[attr-defined]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(spawn, one)
            nursery.start_soon(spawn, two)
        assert len(set(ids)) == 1
        assert len(await one.ls()) == 1


async def test_the_ways_of_a_description_that_is_wrong(led: FakeArm) -> None:
    async with azure() as swarm:
        for labels, text in (
            ({"azure.colour": "red"}, "unknown label azure.colour; expected one of azure.size"),
            ({"azure.disk": "big"}, "azure.disk must be a number"),
            ({"azure.security": "some"}, "one of standard, trusted, confidential"),
            ({"swarmlib.isolation": "runsc"}, "one of standard, trusted, confidential"),
            ({"swarmlib.isolation": "trusted", "azure.security": "standard"}, "demands trusted, but standard"),
            ({"a/b": "c"}, "can't be a tag"),
            ({"azure.image": "windows"}, "invalid image"),
        ):
            with pytest.raises(Invalid, match=re.escape(text)):
                await swarm.spawn({"Image": "ubuntu", "Labels": labels})
        with pytest.raises(Unsupported, match=r"can't have Cmd, HostConfig.Memory"):
            await swarm.spawn({"Image": "ubuntu", "Cmd": ["ls"], "HostConfig": {"Memory": 5}})
        with pytest.raises(Invalid, match="expected at most 64 letters"):
            await swarm.spawn({"Image": "ubuntu"}, name="a b")
        with pytest.raises(NotFound, match="No such container: web"):
            await swarm.get("containers", "web")


STEPS = ["resourcegroups/prod", "*/networkSecurityGroups/swarmlib", "*/virtualNetworks/swarmlib",
         "*/publicIPAddresses/web-ip", "*/networkInterfaces/web-nic", "*/virtualMachines/web"]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", ["fail", "fail-later"])
async def test_a_failure_at_any_step_leaves_nothing_behind(
    led: FakeArm, step: str, how: Literal["fail", "fail-later"]
) -> None:
    if step.startswith("resourcegroups"):
        how = "fail"  # a group is made at once
    led.faults.add(Fault(how, "PUT", f"*{step}", "QuotaExceeded", message="no more"))
    async with azure() as swarm:
        with pytest.raises(Unavailable, match=r"QuotaExceeded: no more.*What to do: ask for a higher quota"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
        assert left(led) == []


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("halfway", [False, True])
async def test_a_spawn_that_is_cancelled_while_azure_hangs_returns_at_once_and_leaves_nothing(
    led: FakeArm, step: str, halfway: bool
) -> None:
    hanging = led.faults.add(Fault("hang-halfway" if halfway else "hang", "PUT", f"*{step}"))
    async with azure() as swarm:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(swarm.spawn, {"Image": "ubuntu"}, name="web"))
            await hanging.hit.wait()
            began = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began < 1
        await until_nothing_is_left(led)


async def test_what_cannot_be_removed_again_is_named(led: FakeArm) -> None:
    led.faults.add(Fault("fail", "PUT", "*/virtualMachines/*", "AllocationFailed"))
    led.faults.add(
        Fault("fail", "DELETE", "*/networkInterfaces/*", "AuthorizationFailed", message="hands off", times=0)
    )
    async with azure() as swarm:
        with pytest.raises(Unavailable, match=r"AllocationFailed.*Could not be removed: .*web-nic.*hands off"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")


async def test_throttling_is_waited_out(led: FakeArm) -> None:
    led.faults.add(Fault("fail", "*", "*", "TooManyRequests", rate=0.2, times=0, retry_after=0.01))
    async with azure() as swarm:
        machine = await swarm.spawn({"Image": "ubuntu"}, name="web")
        await machine.rm(force=True)
    assert left(led) == []


async def test_providers_are_registered_when_they_are_first_used(led: FakeArm) -> None:
    for name in ("microsoft.compute", "microsoft.network"):
        led.state.registered[name] = "NotRegistered"
    async with azure() as swarm:
        await swarm.spawn({"Image": "ubuntu"}, name="web")
    assert led.state.registered["microsoft.compute"] == led.state.registered["microsoft.network"] == "Registered"


async def test_azures_own_errors_say_what_to_do(led: FakeArm) -> None:
    region = led.state.regions["westeurope"]
    async with azure() as swarm:
        region.short = {"Standard_B2s_v2"}
        with pytest.raises(Unavailable, match=r"SkuNotAvailable.*choose another --size"):
            await swarm.spawn({"Image": "ubuntu"})
        region.short = set()
        region.cores = 1
        with pytest.raises(Unavailable, match=r"OperationNotAllowed.*quota.*ask for a higher quota"):
            await swarm.spawn({"Image": "ubuntu"})
        region.cores, region.room = 100, 1
        with pytest.raises(Unavailable, match=r"AllocationFailed.*try again later"):
            await swarm.spawn({"Image": "ubuntu"})
        region.room = 100
        led.faults.add(Fault("fail", "PUT", "*", "AuthorizationFailed"))
        with pytest.raises(Denied, match=r"AuthorizationFailed.*Contributor"):
            await swarm.spawn({"Image": "ubuntu"})
        await until_nothing_is_left(led)


async def test_a_trusted_and_a_confidential_machine(led: FakeArm) -> None:
    async with azure(security="trusted") as swarm:
        await swarm.spawn({"Image": "ubuntu"}, name="trusted")
        labels = {"swarmlib.isolation": "confidential", "azure.size": "Standard_DC2as_v5"}
        await swarm.spawn({"Image": "ubuntu-confidential", "Labels": labels}, name="confidential")
        for name, kind in (("trusted", "TrustedLaunch"), ("confidential", "ConfidentialVM")):
            details = await swarm.get("containers", name)
            assert details["Azure"]["properties"]["securityProfile"]["securityType"] == kind


async def test_all_that_an_option_or_label_asks_for_is_in_the_machine(led: FakeArm, sdk: object) -> None:
    await sdk.group()  # type: ignore[attr-defined]
    subnet = await sdk.subnet()  # type: ignore[attr-defined]
    options = {"zone": "2", "spot": True, "disk": 64, "private": True, "identity": "system", "network": "net/default"}
    async with azure(tag=["owner=me"], size="Standard_D2s_v5", **options) as swarm:
        await swarm.spawn({"Image": "debian"}, name="web")
        body = (await swarm.get("containers", "web"))["Azure"]
        assert (body["zones"], body["tags"]["owner"], body["properties"]["priority"]) == (["2"], "me", "Spot")
        assert body["properties"]["storageProfile"]["osDisk"]["diskSizeGB"] == 64
        assert body["identity"]["type"] == "SystemAssigned"
        assert body["publicIPAddress"] == ""
        nic = await sdk.network.network_interfaces.get("prod", "web-nic")  # type: ignore[attr-defined]
        assert nic.ip_configurations[0].subnet.id == subnet


async def test_changes_are_told_to_who_watches(led: FakeArm) -> None:
    async with azure() as swarm, swarm.watch() as events:
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        await web.stop()
        assert [(await anext(events)).action for _ in range(3)] == ["create", "start", "die"]
        await web.rm()
        assert (await anext(events)).action == "destroy"


async def test_the_end_of_a_machine_is_waited_for(led: FakeArm) -> None:
    ended: list[str] = []

    async def wait(machine: Workload, condition: str) -> None:
        assert await machine.wait(condition) == 0
        ended.append(condition)

    async with azure() as swarm:
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        for condition, end in (("not-running", web.stop), ("removed", web.rm)):
            led.asked.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, web, condition)
                await until_asked(led, 10)
                assert condition not in ended
                await end()
            assert ended[-1] == condition


async def test_the_log_is_what_the_console_has_shown(led: FakeArm) -> None:
    async with azure() as swarm:
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        assert [line.data for line in await web.logs()][-1] == b"web login: "
        with pytest.raises(Unsupported, match="--follow is not supported"):
            await swarm.call(Verb.CONNECT, ("containers", "web", "logs"), params={"stdout": "1", "follow": "1"})


async def test_who_wants_to_run_a_command_or_to_publish_a_port_is_told_what_there_is_instead(led: FakeArm) -> None:
    async with azure() as swarm:
        await swarm.spawn({"Image": "ubuntu"}, name="web")
        with pytest.raises(Unsupported, match="`docker attach web` opens a shell by ssh"):
            await swarm.call(Verb.SPAWN, ("containers", "web", "exec"), body=Json.from_data({"Cmd": ["true"]}))
        host = {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}
        with pytest.raises(Unsupported, match="azure's --open-port opens ports of all machines"):
            await swarm.spawn({"Image": "ubuntu", "HostConfig": host}, name="db")


async def test_two_hundred_machines_are_listed_by_a_handful_of_calls(led: FakeArm) -> None:
    async with azure() as swarm:
        await swarm.spawn({"Image": "ubuntu"}, name="vm")
        (found,) = [each for each in led.state.resources.values() if each.id.type.endswith("virtualMachines")]
        for number in range(199):
            body = found.body | {"id": f"{found.body['id']}-{number}", "name": f"vm-{number}"}
            body["properties"] = found.properties | {"vmId": led.state.uuid()}
            led.plant(body, power="running")
        led.asked.clear()
        listed = await swarm.ls()
        assert len({each.id for each in listed}) == 200
        assert len(led.asked) <= 2 * 5, [*led.asked]
        assert all(each["State"] == "running" for each in listed)
