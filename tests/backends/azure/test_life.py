"""The whole life of a virtual machine, by the real SDK on the fake."""

from collections import Counter

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from swarmlib_backends.azure.fakearm import FakeArm
from tests.support.azure.sdk import LOCATION, Sdk


async def names(pages: object) -> list[str]:
    return sorted([each.name async for each in pages])  # type: ignore[attr-defined]


async def test_a_machine_is_made_stopped_started_resized_and_deleted(sdk: Sdk) -> None:
    machines = sdk.compute.virtual_machines
    made = await sdk.machine("vm", await sdk.network_for("vm"))
    assert (made.provisioning_state, await sdk.power("vm")) == ("Succeeded", "running")
    await (await machines.begin_deallocate("prod", "vm")).result()
    assert await sdk.power("vm") == "deallocated"
    await (
        await machines.begin_update("prod", "vm", {"properties": {"hardwareProfile": {"vmSize": "Standard_B4s_v2"}}})
    ).result()
    assert await sdk.power("vm") == "deallocated"
    await (await machines.begin_start("prod", "vm")).result()
    assert await sdk.power("vm") == "running"
    await (await machines.begin_power_off("prod", "vm")).result()
    assert await sdk.power("vm") == "stopped"
    assert (await machines.get("prod", "vm")).hardware_profile.vm_size == "Standard_B4s_v2"
    await (await machines.begin_delete("prod", "vm")).result()
    with pytest.raises(ResourceNotFoundError, match="virtualMachines/vm"):
        await machines.get("prod", "vm")


async def test_with_a_machine_go_its_disk_interface_and_address_and_nothing_else(sdk: Sdk) -> None:
    await sdk.machine("vm", await sdk.network_for("vm"))
    assert len(await names(sdk.resources.resources.list_by_resource_group("prod"))) == 5
    await (await sdk.compute.virtual_machines.begin_delete("prod", "vm")).result()
    assert await names(sdk.resources.resources.list_by_resource_group("prod")) == ["net"]


async def test_what_is_not_to_go_with_a_machine_stays_and_is_free(sdk: Sdk) -> None:
    interface = await sdk.network_for("vm")
    kept = {"createOption": "FromImage", "name": "disk"}
    image = {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"}
    await sdk.machine(
        "vm",
        interface,
        storageProfile={"osDisk": kept, "imageReference": image},
        networkProfile={"networkInterfaces": [{"id": interface}]},
    )
    assert (await sdk.compute.disks.get("prod", "disk")).managed_by.endswith("/virtualMachines/vm")
    await (await sdk.compute.virtual_machines.begin_delete("prod", "vm")).result()
    assert await names(sdk.resources.resources.list_by_resource_group("prod")) == ["disk", "net", "vm-ip", "vm-nic"]
    assert (await sdk.compute.disks.get("prod", "disk")).disk_state == "Unattached"
    await (await sdk.network.network_interfaces.begin_delete("prod", "vm-nic")).result()


async def test_with_a_group_goes_all_that_is_in_it(sdk: Sdk, arm: FakeArm) -> None:
    await sdk.machine("vm", await sdk.network_for("vm"))
    await (await sdk.resources.resource_groups.begin_delete("prod")).result()
    assert not await sdk.resources.resource_groups.check_existence("prod")
    assert (arm.state.resources, arm.state.groups) == ({}, {})


async def test_secrets_are_never_shown_again(sdk: Sdk, arm: FakeArm) -> None:
    profile = {"adminUsername": "me", "adminPassword": "s3cret!", "customData": "c2VjcmV0"}
    made = await sdk.machine("vm", await sdk.network_for("vm"), osProfile=profile)
    assert (made.os_profile.admin_username, made.os_profile.admin_password, made.os_profile.custom_data) == (
        "me",
        None,
        None,
    )
    await (await sdk.compute.virtual_machines.begin_update("prod", "vm", {"tags": {"a": "b"}})).result()
    assert arm.state.resources[made.id.lower()].hidden["custom_data"] == b"secret"


async def test_groups_and_resources_are_found_by_tag_and_type(sdk: Sdk) -> None:
    await sdk.machine("vm", await sdk.network_for("vm"))
    await (await sdk.compute.virtual_machines.begin_update("prod", "vm", {"tags": {"swarm": "one"}})).result()
    await sdk.resources.resource_groups.update("prod", {"tags": {"swarm": "two"}})
    resources, groups = sdk.resources.resources, sdk.resources.resource_groups
    assert await names(resources.list(filter="tagName eq 'swarm' and tagValue eq 'one'")) == ["vm"]
    assert await names(resources.list(filter="tagName eq 'swarm' and tagValue eq 'two'")) == []
    assert await names(resources.list(filter="resourceType eq 'Microsoft.Network/networkInterfaces'")) == ["vm-nic"]
    assert await names(groups.list(filter="tagName eq 'swarm'")) == ["prod"]
    with pytest.raises(HttpResponseError, match=r"Invalid \$filter 'nonsense'"):
        await names(resources.list(filter="nonsense"))


async def test_200_machines_are_listed_in_pages_and_all_their_states_in_as_many(sdk: Sdk, arm: FakeArm) -> None:
    await sdk.machine("vm000", await sdk.network_for("vm"))
    first = arm.state.resources[(await sdk.compute.virtual_machines.get("prod", "vm000")).id.lower()]
    for number in range(1, 200):
        id = str(first.id.sibling(f"vm{number:03}"))
        arm.plant({**first.body, "id": id, "name": f"vm{number:03}"}, power="deallocated")
    arm.asked.clear()
    listed = [each async for each in sdk.compute.virtual_machines.list_all()]
    states = [each async for each in sdk.compute.virtual_machines.list_all(status_only="true")]
    assert Counter(each.split(" ")[0] for each in arm.asked) == {"GET": 8}
    assert len({each.id for each in listed}) == 200
    assert {each.id for each in states} == {each.id for each in listed}
    powers = Counter(each.instance_view.statuses[-1].code for each in states)
    assert powers == {"PowerState/running": 1, "PowerState/deallocated": 199}


async def test_the_newest_api_version_of_the_sdk_is_answered_in_the_documented_ones_words(sdk: Sdk) -> None:
    urls: list[str] = []
    machines = sdk.compute.virtual_machines.list_all(raw_request_hook=lambda sent: urls.append(sent.http_request.url))
    assert [each async for each in machines] == []
    assert urls[0].rpartition("api-version=")[2] > "2024-07-01"


async def test_boot_diagnostics_are_a_file_that_anyone_with_the_address_may_read(sdk: Sdk, arm: FakeArm) -> None:
    enabled = {"bootDiagnostics": {"enabled": True}}
    await sdk.machine("vm", await sdk.network_for("vm"), diagnosticsProfile=enabled)
    data = await sdk.compute.virtual_machines.retrieve_boot_diagnostics_data("prod", "vm")
    async with httpx.AsyncClient(verify=arm.tls) as client:
        assert (await client.get(data.serial_console_log_blob_uri)).text.endswith("vm login: ")


async def test_sizes_skus_and_quotas_are_told(sdk: Sdk, arm: FakeArm) -> None:
    arm.state.regions[LOCATION].withheld = {"Standard_D2s_v5"}
    await sdk.machine("vm", await sdk.network_for("vm"))
    skus = {each.name: each async for each in sdk.compute.resource_skus.list(filter=f"location eq '{LOCATION}'")}
    assert [each.name for each in skus.values() if each.restrictions] == ["Standard_D2s_v5"]
    usages = {each.name.value: each async for each in sdk.compute.usage.list(LOCATION)}
    assert (usages["cores"].current_value, usages["standardBSFamily"].current_value) == (2, 2)
    assert len([each async for each in sdk.compute.virtual_machine_sizes.list(LOCATION)]) == len(skus)
