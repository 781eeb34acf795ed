"""A role for the resource group alone is enough for everything but a sweep of all groups."""

import json

import pytest
import trio
from azure.core.exceptions import HttpResponseError

import swarmlib
from swarmlib_backends.azure import Azure
from swarmlib_backends.azure.client import connected
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from swarmlib_backends.azure.machines import machines
from swarmlib_backends.azure.sizes import Sizes
from tests.support.azure.backend import azure, left
from tests.support.azure.command import run
from tests.support.azure.sdk import LOCATION, Sdk


@pytest.fixture
async def scoped(led: FakeArm, sdk: Sdk) -> FakeArm:
    """A fake whose caller has a role for the group prod alone."""
    await sdk.group()
    led.role.scope = f"/subscriptions/{led.state.subscription}/resourceGroups/prod"
    return led


async def test_the_fake_refuses_what_is_outside_of_the_scope_and_leaves_it_out_of_lists(
    scoped: FakeArm, sdk: Sdk
) -> None:
    scoped.role.scope, scope = "", scoped.role.scope
    await sdk.group("other")
    await sdk.address("theirs", "other")
    scoped.role.scope = scope
    assert [each.name async for each in sdk.resources.resource_groups.list()] == ["prod"]
    assert [each async for each in sdk.resources.resources.list()] == []
    with pytest.raises(HttpResponseError, match=r"AuthorizationFailed.*'Microsoft.Compute/skus/read' over scope"):
        _ = [each async for each in sdk.compute.resource_skus.list()]
    with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
        await sdk.network.public_ip_addresses.get("other", "theirs")


async def test_the_life_of_a_machine_needs_no_more_than_the_group(scoped: FakeArm) -> None:
    async with azure() as swarm:
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        assert [each["State"] for each in await swarm.ls()] == ["running"]
        await web.stop()
        await web.start()
        await web.rm(force=True)
    await run("create", "box")
    (box,) = json.loads((await run("ls", "--json"))[0])
    assert box["power"] == "running"
    await run("sweep", "--older-than", "0s")
    await run("rm", "box")
    assert left(scoped) == ["prod"]


async def test_many_machines_are_asked_for_their_states_one_by_one_if_the_list_of_all_is_refused(
    scoped: FakeArm,
) -> None:
    await run("create", "box")
    (found,) = scoped.state.of_type("Microsoft.Compute/virtualMachines")
    for number in range(19):
        body = found.body | {"id": f"{found.body['id']}-{number}", "name": f"vm-{number}"}
        scoped.plant(body, power="running")
    async with connected() as arm:
        assert {each.power for each in await machines(arm, "prod")} == {"running"}


async def test_a_chain_that_may_not_read_the_sizes_runs_all_the_same(scoped: FakeArm) -> None:
    async with connected() as arm:
        assert await Sizes(arm).of(LOCATION) is None
        scoped.role.scope = ""
        known = await Sizes(arm).of(LOCATION)
        assert known is not None
        size = known["standard_b2s_v2"]
        assert (size.cpus, size.memory) == (2, 8 * 2**30)
    async with swarmlib.connect(Azure(group="prod", allow=["192.0.2.1"], max=1)) as swarm:
        assert (await swarm.get())["MemTotal"] == 8 * 2**30
    scoped.role.scope = f"/subscriptions/{scoped.state.subscription}/resourceGroups/prod"
    async with swarmlib.connect(Azure(group="prod", allow=["192.0.2.1"], max=1)) as swarm:
        assert (await swarm.get())["MemTotal"] == 12 * 2**40


async def test_a_registration_that_may_not_be_followed_ends_with_azures_own_error(scoped: FakeArm) -> None:
    scoped.role.scope = ""
    scoped.state.registered["microsoft.network"] = "NotRegistered"
    scoped.faults.add(Fault("fail", "GET", "*/providers/Microsoft.Network", "AuthorizationFailed", times=0))
    async with azure() as swarm:
        with trio.fail_after(10), pytest.raises(swarmlib.Conflict, match="MissingSubscriptionRegistration"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
