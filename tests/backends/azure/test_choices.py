"""Which machine is made: sizes, zones and prices in the order in which they are tried, and the image that fits each."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from swarmlib import Chain, ChainSyntaxError, Denied, Invalid, NotFound, SwarmError, Unavailable
from swarmlib_backends.azure import Azure
from swarmlib_backends.azure.fakearm import SUBSCRIPTION, FakeArm, Fault
from swarmlib_backends.azure.fakearm.world import SIZES
from swarmlib_backends.azure.sizes import Size
from tests.support.azure.backend import azure, left
from tests.support.azure.command import run
from tests.support.azure.sdk import LOCATION, Sdk, machine_body

MACHINES = "Microsoft.Compute/virtualMachines"
TWO = "Standard_D2s_v5,Standard_D2as_v5"


async def spawned(arm: FakeArm, image: str = "ubuntu", **options: Any) -> dict[str, Any]:
    """The body of a machine that is made with these options."""
    async with azure(**options) as swarm:
        await swarm.spawn({"Image": "ubuntu", "Labels": {"azure.image": image}}, name="web")
    (found,) = arm.state.of_type(MACHINES)
    return found.body


def size(body: dict[str, Any]) -> str:
    """The size of a machine."""
    return str(body["properties"]["hardwareProfile"]["vmSize"])


def sku(body: dict[str, Any]) -> str:
    """The SKU of its image."""
    return str(body["properties"]["storageProfile"]["imageReference"]["sku"])


# What is tried.


async def test_the_next_size_is_taken_if_azure_has_none_of_the_first(led: FakeArm) -> None:
    led.state.regions[LOCATION].short = {"Standard_D2s_v5"}
    assert size(await spawned(led, size=TWO)) == "Standard_D2as_v5"


async def test_the_next_size_is_taken_after_a_quota(led: FakeArm) -> None:
    led.state.regions[LOCATION].families["standardDSv5Family"] = 1
    assert size(await spawned(led, size=TWO)) == "Standard_D2as_v5"


async def test_a_machine_that_found_no_room_is_replaced_with_all_that_went_with_it(led: FakeArm) -> None:
    led.faults.add(Fault("fail-later", "PUT", "*/virtualMachines/*", "AllocationFailed"))
    assert size(await spawned(led, size=TWO)) == "Standard_D2as_v5"
    assert {"web-nic", "web-ip"} <= {*left(led)}
    async with azure(size=TWO) as swarm:
        await swarm.workload("web").rm(force=True)
    assert left(led) == []


async def test_the_next_zone_is_taken_if_one_has_no_room(led: FakeArm) -> None:
    led.faults.add(Fault("fail", "PUT", "*/virtualMachines/*", "ZonalAllocationFailed"))
    assert (await spawned(led, zone="2,3"))["zones"] == ["3"]


async def test_a_regular_machine_is_made_for_a_spot_one_only_if_that_is_wanted(led: FakeArm) -> None:
    led.state.regions[LOCATION].spot_cores = 0
    with pytest.raises(Unavailable, match=r"quota.*All choices were refused: Standard_D2s_v5, spot \(Oper.*D2as_v5, s"):
        await spawned(led, size=TWO, spot=True)
    body = await spawned(led, size=TWO, spot=True, spot_fallback=True)
    assert size(body) == "Standard_D2s_v5"
    assert "priority" not in body["properties"]
    with pytest.raises(ChainSyntaxError, match="--spot-fallback requires --spot"):
        Chain.read("azure --spot-fallback")


async def test_if_nothing_is_possible_nothing_is_left_and_each_choice_is_named(led: FakeArm) -> None:
    led.state.regions[LOCATION].room = 1
    _, said = await run("create", "box", "--size", TWO, code=1)
    assert "All choices were refused: Standard_D2s_v5 (AllocationFailed); Standard_D2as_v5 (AllocationFailed)" in said
    assert left(led) == []


async def test_another_error_is_not_tried_again(led: FakeArm) -> None:
    fault = led.faults.add(Fault("fail", "PUT", "*/virtualMachines/*", "AuthorizationFailed", times=0))
    with pytest.raises(Denied):
        await spawned(led, size=TWO)
    assert fault.hits == 1


async def test_the_same_sizes_give_the_same_machine(led: FakeArm) -> None:
    led.state.regions[LOCATION].short = {"Standard_D2s_v5"}
    first, _ = await run("create", "box", "--size", TWO)
    assert (await run("create", "box", "--size", TWO))[0] == first
    assert "Standard_D2as_v5" in (await run("ls"))[0]


async def test_an_engine_is_made_in_a_size_that_has_room_for_the_container(led: FakeArm) -> None:
    led.state.regions[LOCATION].room = 1
    async with azure(max=1, size="Standard_B2s_v2,Standard_D4s_v5") as swarm:
        assert (await swarm.get())["MemTotal"] == 16 * 2**30
        with pytest.raises(Unavailable, match="Standard_D4s_v5") as caught:
            await swarm.spawn({"Image": "busybox", "HostConfig": {"Memory": 12 * 2**30}})
        assert "Standard_B2s_v2" not in caught.value.message
        with pytest.raises(Unavailable, match="of size Standard_B2s_v2 or Standard_D4s_v5 is too small"):
            await swarm.spawn({"Image": "busybox", "HostConfig": {"Memory": 17 * 2**30}})


def test_the_default_size_is_of_no_series_that_is_retired() -> None:
    assert SIZES[Azure().size.lower()].family == "standardBsv2Family"


# What is possible.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": "Standard_D1_v2", "security": "trusted"}, "Standard_D1_v2: it does not support the security type"),
        (
            {"size": "Standard_Z9"},
            r"in westeurope: Standard_Z9: the region has no such size. What to do: use --size",
        ),
        ({"size": "Standard_B2s", "spot": True}, "it can't be a spot machine. What to do: use --size Standard_F2s_v2"),
        (
            {"security": "confidential"},
            "it can't be confidential. What to do: use --size Standard_DC2as_v5",
        ),
        ({"zone": "9"}, "it is not in zone 9"),
        (
            {"image": "debian", "size": "Standard_DC2as_v5", "security": "confidential"},
            "image can't be confidential",
        ),
        ({"image": "ubuntu-confidential", "size": "Standard_D2ps_v5"}, "architecture is Arm64, and the image's is x64"),
        ({"image": "Debian:debian-12:12-gen2:latest", "size": "Standard_D1_v2"}, "no machines of generation 2"),
    ],
)
async def test_what_is_not_possible_is_refused_before_anything_is_made(
    led: FakeArm, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        await spawned(led, **options)
    assert left(led) == []


async def test_a_size_that_the_subscription_can_not_have_is_refused_with_others(led: FakeArm) -> None:
    led.state.regions[LOCATION].withheld = {"Standard_B2s_v2"}
    with pytest.raises(Invalid, match=r"this subscription can't have it.*What to do: use --size Standard_D2as_v5, "):
        await spawned(led)
    assert size(await spawned(led, size="Standard_B2s_v2,Standard_D2s_v5")) == "Standard_D2s_v5"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "server"),
        ({"size": "Standard_D2ps_v5"}, "server-arm64"),
        ({"size": "Standard_D1_v2"}, "server-gen1"),
        ({"size": "Standard_DC2as_v5", "security": "confidential"}, "cvm"),
    ],
)
async def test_a_short_name_is_the_image_that_fits(led: FakeArm, options: dict[str, Any], expected: str) -> None:
    assert sku(await spawned(led, **options)) == expected
    async with azure() as swarm:
        assert (await swarm.workload("web").details())["Config"]["Image"] == "ubuntu"


async def test_without_a_list_of_sizes_their_names_tell_the_architecture(led: FakeArm) -> None:
    led.faults.add(Fault("fail", "GET", "*/skus", "AuthorizationFailed", times=0))
    assert sku(await spawned(led, size="Standard_D2ps_v5")) == "server-arm64"
    assert Size.by_name("Standard_DC4as_v5").confidential
    assert not Size.by_name("Standard_D4as_v5").confidential


async def test_azure_itself_refuses_what_does_not_fit(sdk: Sdk) -> None:
    interface = await sdk.network_for("vm")

    async def refused(size: str, image: str, **more: Any) -> str:
        publisher, offer, sku = image.split(":")
        reference = {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"}
        body = machine_body(interface, size, **more)
        body["properties"]["storageProfile"]["imageReference"] = reference
        with pytest.raises(HttpResponseError) as caught:
            await sdk.compute.virtual_machines.begin_create_or_update("prod", "vm", body)
        return str(caught.value)

    assert "cannot boot Hypervisor Generation '2'" in await refused("Standard_D1_v2", "Debian:debian-12:12-gen2")
    assert "only supports a CPU Architecture of 'Arm64'" in await refused("Standard_D2ps_v5", "Debian:debian-12:12")
    confidential = {"securityProfile": {"securityType": "ConfidentialVM"}}
    said = await refused("Standard_DC2as_v5", "Debian:debian-12:12-gen2", **confidential)
    assert "does not support the security type" in said
    system = machine_body("")["properties"]["osProfile"] | {"computerName": "box-"}
    assert "Linux host name" in await refused("Standard_B2s", "Debian:debian-12:12", osProfile=system)


# Images that are sold, and others.

FLATCAR = "kinvolk:flatcar-container-linux:stable-gen2"


async def test_an_image_with_a_plan_is_asked_for_its_plan_and_needs_its_terms(led: FakeArm) -> None:
    with pytest.raises(Invalid, match=r"not accepted the legal terms.*What to do: .*az vm image terms accept --publ"):
        await spawned(led, f"{FLATCAR}:latest")
    led.state.terms = {FLATCAR}
    body = await spawned(led, f"{FLATCAR}:latest")
    assert body["plan"] == {
        "publisher": "kinvolk", "product": "flatcar-container-linux", "name": "stable-gen2"
    }  # fmt: skip


async def test_a_plan_that_may_not_be_looked_up_is_given(led: FakeArm) -> None:
    led.faults.add(Fault("fail", "GET", "*/vmimage/*", "AuthorizationFailed", times=0))
    led.state.terms = {FLATCAR}
    with pytest.raises(Invalid, match=r"VMMarketplaceInvalidInput.*What to do: give the plan of the image by --plan"):
        await spawned(led, f"{FLATCAR}:latest")
    assert "plan" in await spawned(led, f"{FLATCAR}:latest", plan=FLATCAR)
    with pytest.raises(Invalid, match="invalid plan 'flatcar': expected PUBLISHER:PRODUCT:NAME"):
        await spawned(led, f"{FLATCAR}:latest", plan="flatcar")


async def test_an_image_that_the_marketplace_does_not_have_is_refused_first(led: FakeArm) -> None:
    with pytest.raises(NotFound, match="VMImage was not found"):
        await spawned(led, "Debian:debian-12:13:latest")
    assert left(led) == []


OWN = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/golden/providers/Microsoft.Compute"
GALLERY = f"{OWN}/galleries/own/images/docker"
COMMUNITY = "/CommunityGalleries/c-1/Images/docker"
SHARED = "/SharedGalleries/s-1/Images/docker"
SECOND = {"hyperVGeneration": "V2", "architecture": "x64", "osType": "Linux"}


def plant_images(arm: FakeArm, **needed: str) -> None:
    """Have an image of each kind; needed: what is different about them."""
    needs = SECOND | needed
    system = {"storageProfile": {"osDisk": {"osType": needs["osType"], "osState": "Generalized"}}}
    managed = system | {"hyperVGeneration": needs["hyperVGeneration"]}
    arm.plant({"id": f"{OWN}/images/golden", "location": "westeurope", "properties": managed})
    arm.plant({"id": GALLERY, "location": "eastus", "properties": needs})
    for version, regions in (("1.2.3", ["West Europe", "East US"]), ("2.0.0", ["East US"])):
        profile = {"publishingProfile": {"targetRegions": [{"name": each} for each in regions]}}
        arm.plant({"id": f"{GALLERY}/versions/{version}", "location": "eastus", "properties": profile})
    arm.state.public_images = {COMMUNITY.lower(): needs, SHARED.lower(): needs}


@pytest.mark.parametrize(
    ("image", "key"),
    [
        (f"{OWN}/images/golden", "id"),
        (GALLERY, "id"),
        (f"{GALLERY}/versions/1.2.3", "id"),
        (f"{COMMUNITY}/Versions/latest", "communityGalleryImageId"),
        (f"{COMMUNITY}/Versions/1.2.3", "communityGalleryImageId"),
        (SHARED, "sharedGalleryImageId"),
    ],
)
async def test_images_of_ones_own_and_of_galleries_are_taken_by_id(led: FakeArm, image: str, key: str) -> None:
    plant_images(led)
    body = await spawned(led, image)
    assert body["properties"]["storageProfile"]["imageReference"] == {key: image}
    async with azure() as swarm:
        assert (await swarm.workload("web").details())["Config"]["Image"] == image


@pytest.mark.parametrize(
    ("image", "error", "said"),
    [
        (f"{OWN}/images/nix", NotFound, f"no such image: {OWN}/images/nix"),
        (f"{OWN}/galleries/own/images/nix", NotFound, "no such image: /sub"),
        (f"{GALLERY}/versions/9.9.9", NotFound, "no such image: /sub"),
        (f"{GALLERY}/versions/2.0.0", Invalid, "is in eastus, not in westeurope: replicate it"),
        ("/CommunityGalleries/c-1/Images/nix", NotFound, "not available in westeurope"),
        ("/SharedGalleries/nix/Images/docker/Versions/1.0.0", NotFound, "not available in westeurope"),
        ("/subscriptions/other/resourceGroups/g/providers/Microsoft.Compute/images/x", NotFound, "no such image"),
    ],
)
async def test_an_image_that_is_not_there_is_refused_first(
    led: FakeArm, image: str, error: type[SwarmError], said: str
) -> None:
    plant_images(led)
    before = left(led)
    with pytest.raises(error, match=said):
        await spawned(led, image)
    assert left(led) == before


@pytest.mark.parametrize(
    ("image", "needed", "said"),
    [
        (f"{OWN}/images/golden", {"hyperVGeneration": "V1"}, "support the security type trusted"),
        (f"{OWN}/images/golden", {"osType": "Windows"}, "has Windows: swarmlib makes machines with Linux only"),
        (GALLERY, {"osType": "Windows"}, "has Windows: swarmlib makes machines with Linux only"),
        (f"{GALLERY}/versions/1.2.3", {"architecture": "Arm64"}, "is x64, and the image's is Arm64"),
        (COMMUNITY, {"architecture": "Arm64"}, "is x64, and the image's is Arm64"),
        (SHARED, {}, "the image does not support the security type trusted"),
    ],
)
async def test_an_image_by_its_id_must_fit_the_machine(
    led: FakeArm, image: str, needed: dict[str, str], said: str
) -> None:
    plant_images(led, **needed)
    before = left(led)
    with pytest.raises(Invalid, match=said):
        await spawned(led, image, security="trusted")
    assert left(led) == before


async def test_a_managed_image_is_of_one_region(led: FakeArm) -> None:
    plant_images(led)
    with pytest.raises(Invalid, match="golden is in westeurope, not in northeurope: use --location westeurope"):
        await spawned(led, f"{OWN}/images/golden", location="northeurope")


async def test_the_plan_of_a_gallerys_image_is_looked_up(led: FakeArm) -> None:
    plant_images(led)
    plan = {"publisher": "p", "product": "o", "name": "n"}
    led.state.public_images[COMMUNITY.lower()] |= {"purchasePlan": plan}
    assert (await spawned(led, COMMUNITY))["plan"] == plan


async def test_an_image_that_may_not_be_read_is_left_to_azure(led: FakeArm) -> None:
    plant_images(led)
    led.faults.add(Fault("fail", "GET", "*/images/*", "AuthorizationFailed", times=0))
    said = (await run("create", "box", "--dry-run", "--image", GALLERY))[1]
    assert f"not checked, because your role does not let you read it: the image {GALLERY}" in said
    with pytest.raises(NotFound, match=r"Azure says GalleryImageNotFound: .* is not available in westeurope region"):
        await spawned(led, f"{GALLERY}/versions/2.0.0")


@pytest.mark.parametrize("image", ["/subscriptions/s/images/golden", "a:b:c", "a:b::d", "windows"])
async def test_a_name_of_an_image_that_is_none_is_refused(led: FakeArm, image: str) -> None:
    with pytest.raises(Invalid, match="expected PUBLISHER:OFFER:SKU:VERSION"):
        await spawned(led, image)
    assert left(led) == []
