"""What the real cloud does to the unwary, as the real SDK meets it on the fake: each has cost somebody money."""

import pytest
import trio
from azure.core.exceptions import HttpResponseError

from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.fakearm.spec import Spec
from tests.support.azure.sdk import LOCATION, Sdk, machine_body, opened


async def test_an_interface_is_reserved_for_the_machine_that_was_refused(spec: Spec) -> None:
    async with fakearm.serving(spec=spec, reserve_seconds=0.3) as arm, opened(arm) as sdk:
        interface = await sdk.network_for("vm")
        arm.state.regions[LOCATION].withheld = {"Standard_B2s"}
        with pytest.raises(HttpResponseError, match="SkuNotAvailable"):
            await sdk.machine("vm", interface)
        with pytest.raises(HttpResponseError, match=r"NicReservedForAnotherVm.*Reserved VM: .*/vm"):
            await sdk.network.network_interfaces.begin_delete("prod", "vm-nic")
        arm.state.regions[LOCATION].withheld = set()
        with pytest.raises(HttpResponseError, match="NicReservedForAnotherVm"):
            await sdk.machine("other", interface)
        await trio.sleep(0.3)
        await (await sdk.network.network_interfaces.begin_delete("prod", "vm-nic")).result()
        assert arm.violations == []


async def test_a_list_that_is_filtered_by_a_tag_does_not_show_tags(sdk: Sdk) -> None:
    await sdk.group()
    await sdk.subnet()
    await change_tags(sdk, "Merge", owner="me")
    resources = sdk.resources.resources
    (found,) = [each async for each in resources.list_by_resource_group("prod", filter="tagName eq 'owner'")]
    assert (found.name, found.tags) == ("net", None)
    (found,) = [each async for each in resources.list_by_resource_group("prod")]
    assert found.tags == {"owner": "me"}


async def test_arms_own_list_shows_what_has_gone_a_little_longer(sdk: Sdk, arm: FakeArm) -> None:
    arm.state.list_lag = 0.2
    await sdk.group()
    await sdk.subnet()
    await (await sdk.network.virtual_networks.begin_delete("prod", "net")).result()
    assert [each async for each in sdk.network.virtual_networks.list("prod")] == []
    assert [each.name async for each in sdk.resources.resources.list_by_resource_group("prod")] == ["net"]
    await trio.sleep(0.2)
    assert [each async for each in sdk.resources.resources.list_by_resource_group("prod")] == []


async def change_tags(sdk: Sdk, operation: str, **tags: str) -> dict[str, str]:
    """Change the tags of the network, and return all of them."""
    network = (await sdk.network.virtual_networks.get("prod", "net")).id
    body = {"operation": operation, "properties": {"tags": tags}}
    changed = await (await sdk.resources.tags.begin_update_at_scope(network, body)).result()
    return dict(changed.properties.tags)


async def test_tags_are_changed_one_by_one(sdk: Sdk) -> None:
    await sdk.group()
    await sdk.subnet()
    assert await change_tags(sdk, "Merge", a="1", b="2") == {"a": "1", "b": "2"}
    assert await change_tags(sdk, "Merge", b="3") == {"a": "1", "b": "3"}
    assert await change_tags(sdk, "Delete", a="1", b="other") == {"b": "3"}
    assert await change_tags(sdk, "Replace", c="4") == {"c": "4"}
    network = await sdk.network.virtual_networks.get("prod", "net")
    assert network.tags == {"c": "4"}
    assert (await sdk.resources.tags.get_at_scope(network.id)).properties.tags == {"c": "4"}
    with pytest.raises(HttpResponseError, match="ResourceNotFound"):
        await sdk.resources.tags.get_at_scope(f"{network.id}2")


async def test_the_tags_of_a_machine_that_is_being_made_can_not_be_changed_yet(sdk: Sdk, arm: FakeArm) -> None:
    interface = await sdk.network_for("vm")
    arm.faults.add(fakearm.Fault("slow", "PUT", "*/virtualMachines/vm", seconds=0.3))
    poller = await sdk.compute.virtual_machines.begin_create_or_update("prod", "vm", machine_body(interface))
    (machine,) = arm.state.of_type("Microsoft.Compute/virtualMachines")
    body = {"operation": "Merge", "properties": {"tags": {"a": "b"}}}
    with pytest.raises(HttpResponseError, match="concurrent request"):
        await sdk.resources.tags.begin_update_at_scope(str(machine.id), body)
    await poller.result()
    await (await sdk.resources.tags.begin_update_at_scope(str(machine.id), body)).result()
