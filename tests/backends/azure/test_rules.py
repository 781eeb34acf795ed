"""Azure's own rules and errors, as the real SDK meets them on the fake."""

import json
import re
from collections.abc import Awaitable
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from swarmlib import Chain, ChainSyntaxError
from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm import FakeArm, Fault, Limit
from swarmlib_backends.azure.fakearm.spec import Spec
from swarmlib_backends.azure.fakearm.validation import REFUSED_USERS
from swarmlib_backends.azure.options import REFUSED_ADMINS
from tests.backends.azure.conftest import DOCUMENTS
from tests.support.azure.sdk import LOCATION, Sdk, machine_body, opened


async def refused(call: Awaitable[Any]) -> tuple[int | None, str]:
    """The status and the code of the error that a call, or the operation that it begins, ends with."""

    async def done() -> None:
        await (await call).result()

    with pytest.raises(HttpResponseError) as caught:
        await done()
    assert caught.value.error is not None
    return caught.value.status_code, str(caught.value.error.code)


def test_the_names_that_the_document_disallows_are_refused() -> None:
    file = next(DOCUMENTS.rglob("computeRPCommon.json"))
    described = json.loads(file.read_text("utf-8"))["definitions"]["OSProfile"]["properties"]["adminUsername"]
    listed = re.search(r"Disallowed values:\*\* (.*?)\. <br>", described["description"])
    assert listed is not None
    assert {*re.findall('"(.*?)"', listed[1])} == REFUSED_USERS == REFUSED_ADMINS
    with pytest.raises(ChainSyntaxError, match="invalid --admin 'Admin': Azure does not allow this name"):
        Chain.read("azure --admin Admin")


async def test_a_provider_must_be_registered_first(spec: Spec) -> None:
    async with fakearm.serving(spec=spec, registered=False) as arm, opened(arm) as sdk:
        await sdk.group()
        body = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
        networks = sdk.network.virtual_networks
        assert await refused(networks.begin_create_or_update("prod", "net", body)) == (
            409,
            "MissingSubscriptionRegistration",
        )
        registering = await sdk.resources.providers.register("Microsoft.Network")
        assert registering.registration_state == "Registering"
        while (await sdk.resources.providers.get("Microsoft.Network")).registration_state != "Registered":
            pass
        assert (await (await networks.begin_create_or_update("prod", "net", body)).result()).name == "net"
        assert arm.violations == []


async def test_what_is_in_use_can_not_be_deleted(sdk: Sdk) -> None:
    await sdk.group()
    network, rules = sdk.network, {"location": LOCATION}
    group = await (await network.network_security_groups.begin_create_or_update("prod", "nsg", rules)).result()
    subnet = await sdk.subnet()
    interface = await sdk.interface("nic", subnet, (await sdk.address("ip")).id)
    guarded = {"properties": {"addressPrefix": "10.0.4.0/24", "networkSecurityGroup": {"id": group.id}}}
    await (await network.subnets.begin_create_or_update("prod", "net", "guarded", guarded)).result()
    machine = await sdk.machine("vm", interface)
    disk = machine.storage_profile.os_disk.name
    assert await refused(network.network_interfaces.begin_delete("prod", "nic")) == (400, "NicInUse")
    in_use = (400, "InUseSubnetCannotBeDeleted")
    assert await refused(network.subnets.begin_delete("prod", "net", "default")) == in_use
    assert await refused(network.virtual_networks.begin_delete("prod", "net")) == in_use
    no_subnets = {
        "location": LOCATION,
        "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": []},
    }
    assert await refused(network.virtual_networks.begin_create_or_update("prod", "net", no_subnets)) == in_use
    assert await refused(network.public_ip_addresses.begin_delete("prod", "ip")) == (
        400,
        "PublicIPAddressCannotBeDeleted",
    )
    assert await refused(network.network_security_groups.begin_delete("prod", "nsg")) == (
        400,
        "InUseNetworkSecurityGroupCannotBeDeleted",
    )
    assert await refused(sdk.compute.disks.begin_delete("prod", disk)) == (409, "OperationNotAllowed")


async def test_a_reference_to_what_is_not_there_or_another_ones_is_refused(sdk: Sdk) -> None:
    interface = await sdk.network_for("vm")
    machines = sdk.compute.virtual_machines
    nowhere = machine_body(interface.replace("vm-nic", "none"))
    assert await refused(machines.begin_create_or_update("prod", "vm", nowhere)) == (400, "InvalidResourceReference")
    await sdk.machine("vm", interface)
    assert await refused(machines.begin_create_or_update("prod", "other", machine_body(interface))) == (400, "NicInUse")
    assert await refused(machines.begin_create_or_update("none", "vm", machine_body(interface))) == (
        404,
        "ResourceGroupNotFound",
    )
    assert await refused(machines.begin_start("prod", "none")) == (404, "ResourceNotFound")


async def test_basic_and_dynamic_public_addresses_are_gone(sdk: Sdk) -> None:
    await sdk.group()
    make = sdk.network.public_ip_addresses.begin_create_or_update
    basic = {"location": LOCATION, "properties": {"publicIPAllocationMethod": "Static"}}
    assert await refused(make("prod", "ip", basic)) == (400, "IPv4BasicSkuPublicIpCountLimitReached")
    dynamic = {"location": LOCATION, "sku": {"name": "Standard"}}
    assert await refused(make("prod", "ip", dynamic)) == (400, "StandardSkuPublicIPAddressesMustBeStatic")


async def test_quotas_skus_and_room_are_limited(sdk: Sdk, arm: FakeArm) -> None:
    region = arm.state.regions[LOCATION]
    interface = await sdk.network_for("vm")

    async def tried(size: str, **more: Any) -> tuple[int | None, str]:
        body = machine_body(interface, size, **more)
        return await refused(sdk.compute.virtual_machines.begin_create_or_update("prod", "vm", body))

    region.cores = 3
    assert await tried("Standard_D4s_v5") == (409, "OperationNotAllowed")
    region.cores, region.families["standardDSv5Family"] = 100, 3
    assert await tried("Standard_D4s_v5") == (409, "OperationNotAllowed")
    region.spot_cores = 1
    assert await tried("Standard_D2s_v5", priority="Spot") == (409, "OperationNotAllowed")
    region.withheld = {"Standard_B2s"}
    assert await tried("Standard_B2s") == (409, "SkuNotAvailable")
    assert await tried("Standard_Z9") == (400, "InvalidParameter")
    assert await tried("Standard_D2_v2", securityProfile={"securityType": "TrustedLaunch"}) == (400, "BadRequest")
    image = {"publisher": "Debian", "offer": "debian-12", "sku": "13"}
    storage = {"osDisk": {"createOption": "FromImage"}, "imageReference": image}
    assert await tried("Standard_B1s", storageProfile=storage) == (404, "PlatformImageNotFound")
    assert await tried("Standard_B1s", osProfile={"adminUsername": "root", "adminPassword": "x"}) == (
        400,
        "InvalidParameter",
    )
    assert not [each async for each in sdk.compute.virtual_machines.list("prod")]
    region.room = 1
    assert await tried("Standard_B4s_v2") == (200, "AllocationFailed")  # its operation failed
    left = await sdk.compute.virtual_machines.get("prod", "vm")
    assert left.provisioning_state == "Failed"  # and the machine is there, as in Azure
    await (await sdk.compute.virtual_machines.begin_delete("prod", "vm")).result()


async def test_a_deallocated_machine_may_find_no_room_when_it_starts_again(sdk: Sdk, arm: FakeArm) -> None:
    await sdk.machine("vm", await sdk.network_for("vm"))
    await (await sdk.compute.virtual_machines.begin_deallocate("prod", "vm")).result()
    arm.state.regions[LOCATION].room = 0
    assert await refused(sdk.compute.virtual_machines.begin_start("prod", "vm")) == (200, "AllocationFailed")
    assert await sdk.power("vm") == "deallocated"


async def test_a_machine_that_found_no_room_does_when_it_is_asked_for_again(sdk: Sdk, arm: FakeArm) -> None:
    interface = await sdk.network_for("vm")
    region = arm.state.regions[LOCATION]
    region.room = 0
    body = machine_body(interface)
    refusal = await refused(sdk.compute.virtual_machines.begin_create_or_update("prod", "vm", body))
    assert refusal == (200, "AllocationFailed")
    region.room = 8
    assert (await sdk.machine("vm", interface)).provisioning_state == "Succeeded"
    assert await sdk.power("vm") == "running"


async def test_a_disk_is_made_grown_and_deleted_in_its_own_api_version(arm: FakeArm) -> None:
    async with opened(arm, api_version="2024-03-02") as sdk, opened(arm) as newest:
        await newest.group()
        disks = sdk.compute.disks
        empty = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}
        body = {"location": LOCATION, "properties": empty}
        made = await (await disks.begin_create_or_update("prod", "d", body)).result()
        assert (made.disk_size_gb, made.disk_state) == (4, "Unattached")
        grown = await (await disks.begin_update("prod", "d", {"properties": {"diskSizeGB": 8}})).result()
        assert grown.disk_size_gb == 8
        shrunk = {"properties": {"diskSizeGB": 4}}
        assert await refused(disks.begin_update("prod", "d", shrunk)) == (400, "InvalidParameter")
        access = await (
            await disks.begin_grant_access("prod", "d", {"access": "Read", "durationInSeconds": 60})
        ).result()
        assert access.access_sas.startswith(arm.url)
        await (await disks.begin_revoke_access("prod", "d")).result()
        await (await disks.begin_delete("prod", "d")).result()
        assert [each async for each in disks.list()] == []


async def test_etags_guard_against_changes_that_cross(sdk: Sdk) -> None:
    interface = await sdk.network_for("vm")
    made = await sdk.machine("vm", interface)
    machines = sdk.compute.virtual_machines
    body = machine_body(interface)
    changed = {"etag": '"0"', "match_condition": MatchConditions.IfNotModified}
    assert await refused(machines.begin_create_or_update("prod", "vm", body, **changed)) == (412, "PreconditionFailed")
    new = {"match_condition": MatchConditions.IfMissing}
    assert await refused(machines.begin_create_or_update("prod", "vm", body, **new)) == (412, "PreconditionFailed")
    same = {"etag": made.etag, "match_condition": MatchConditions.IfNotModified}
    assert (await (await machines.begin_create_or_update("prod", "vm", body, **same)).result()).etag != made.etag


async def test_making_the_same_again_changes_nothing_but_the_etag(sdk: Sdk) -> None:
    interface = await sdk.network_for("vm")
    data = [{"lun": lun, "createOption": "Empty", "diskSizeGB": 4} for lun in (0, 1)]
    storage = machine_body(interface)["properties"]["storageProfile"] | {"dataDisks": data}
    first, again = [await sdk.machine("vm", interface, storageProfile=storage) for _ in range(2)]
    assert len([each async for each in sdk.compute.disks.list()]) == 3
    assert (first.vm_id, first.storage_profile.os_disk.name) == (again.vm_id, again.storage_profile.os_disk.name)
    assert (await sdk.address("vm-ip")).ip_address == (await sdk.address("vm-ip")).ip_address
    body = machine_body(interface)
    body["properties"]["osProfile"]["adminUsername"] = "other"
    assert await refused(sdk.compute.virtual_machines.begin_create_or_update("prod", "vm", body)) == (
        409,
        "PropertyChangeNotAllowed",
    )


async def test_two_changes_at_once_are_a_conflict_but_a_deletion_takes_over(sdk: Sdk, arm: FakeArm) -> None:
    interface = await sdk.network_for("vm")
    machines = sdk.compute.virtual_machines
    never = arm.faults.add(Fault("hang-later", "PUT", "*/virtualMachines/vm"))
    making = await machines.begin_create_or_update("prod", "vm", machine_body(interface))
    assert never.hits == 1
    assert await refused(machines.begin_create_or_update("prod", "vm", machine_body(interface))) == (409, "Conflict")
    deletion = await machines.begin_delete("prod", "vm")
    again = await machines.begin_delete("prod", "vm")
    await deletion.result()
    await again.result()
    with pytest.raises(HttpResponseError, match="preempted by a more recent operation"):
        await making.result()


async def test_a_network_being_changed_asks_to_come_again_and_the_sdk_does(spec: Spec) -> None:
    async with fakearm.serving(spec=spec, poll_seconds=0.3) as arm, opened(arm) as sdk:
        await sdk.group()
        arm.faults.add(Fault("slow", "PUT", "*/virtualNetworks/net", seconds=0.2))
        body = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
        await sdk.network.virtual_networks.begin_create_or_update("prod", "net", body)
        subnet = {"properties": {"addressPrefix": "10.0.0.0/24"}}
        await sdk.network.subnets.begin_create_or_update("prod", "net", "a", subnet)
        assert sum(each.endswith("/subnets/a") for each in arm.asked) == 2
        assert arm.violations == []


async def test_throttling_says_when_to_come_again_and_the_sdk_does(spec: Spec) -> None:
    limits = {"reads": Limit(2, 4)}
    async with fakearm.serving(spec=spec, limits=limits) as arm, opened(arm) as sdk:
        for _ in range(4):
            assert not [each async for each in sdk.compute.virtual_machines.list_all()]
        assert len(arm.asked) > 4
        async with opened(arm, retry_total=0) as impatient:
            statuses: list[int | None] = []
            for _ in range(4):
                try:
                    await impatient.resources.resource_groups.get("x")
                except HttpResponseError as exc:
                    statuses.append(exc.status_code)
        assert {404, 429} >= set(statuses) >= {429}


@pytest.mark.parametrize(
    ("version", "code"),
    [("2019-01-01", "NoRegisteredProviderFound"), ("newest", "NoRegisteredProviderFound")],
)
async def test_an_unknown_api_version_is_refused_with_those_that_are_known(
    arm: FakeArm, version: str, code: str
) -> None:
    async with opened(arm, api_version=version) as sdk:
        with pytest.raises(HttpResponseError, match="2024-11-01") as caught:
            await sdk.resources.resource_groups.get("prod")
        assert caught.value.error is not None
        assert caught.value.error.code == code


async def test_a_body_that_the_documents_do_not_allow_is_refused_with_the_place(sdk: Sdk) -> None:
    interface = await sdk.network_for("vm")
    body = machine_body(interface, hardwareProfile={"vmSize": "Standard_B2s", "turbo": True})
    with pytest.raises(HttpResponseError, match=r"properties\.hardwareProfile.*turbo"):
        await sdk.compute.virtual_machines.begin_create_or_update("prod", "vm", body)
