"""How machines without public addresses reach the Internet: by a NAT gateway, or by the subnet of others."""

import logging
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from swarmlib import Invalid, NotFound
from swarmlib_backends.azure.fakearm import FakeArm, Fault, Machine, NoMachines
from tests.support.azure.backend import azure, left, until_nothing_is_left
from tests.support.azure.command import run
from tests.support.azure.sdk import LOCATION, Sdk, opened

UBUNTU = {"Image": "ubuntu"}
GATEWAYS = "microsoft.network/natgateways"


class Noted(NoMachines):
    """Machines with nothing behind them, each noted when it boots."""

    def __init__(self) -> None:
        self.seen: dict[str, Machine] = {}

    async def start(self, machine: Machine) -> None:
        self.seen[machine.name] = machine


@pytest.fixture
def machines() -> Noted:
    """Machines that are noted."""
    return Noted()


async def subnet(sdk: Sdk, location: str = LOCATION, **properties: Any) -> None:
    """A subnet of others, net/default."""
    shown = {"name": "default", "properties": {"addressPrefix": "10.0.0.0/22", **properties}}
    space = {"addressPrefixes": ["10.0.0.0/16"]}
    body = {"location": location, "properties": {"addressSpace": space, "subnets": [shown]}}
    await (await sdk.network.virtual_networks.begin_create_or_update("prod", "net", body)).result()


# A NAT gateway.


async def test_a_private_machine_reaches_the_internet_by_a_nat_gateway(led: FakeArm, machines: Noted) -> None:
    async with azure(private=True, nat=True, tag=["owner=me"]) as swarm:
        web = await swarm.spawn(UBUNTU, name="web")
        assert (machines.seen["web"].public, machines.seen["web"].outbound) == ("", True)
        (gateway,) = led.state.of_type(GATEWAYS)
        assert gateway.body["tags"]["owner"] == "me"
        assert ["NAT gateway", "billed, with its address, until the last machine is removed"] in (
            (await swarm.get())["DriverStatus"]
        )
        db = await swarm.spawn(UBUNTU, name="db")
        await web.rm(force=True)
        assert [*led.state.of_type(GATEWAYS)] == [gateway]  # for db
        await db.rm(force=True)
        await until_nothing_is_left(led)


async def test_the_command_says_from_where_a_private_machine_is_reached(led: FakeArm) -> None:
    said = "box, without a public address, is reached from its own network only; --via reaches it through a jump host"
    assert said in (await run("create", "box", "--private", "--nat"))[1]
    assert said not in (await run("create", "box", "--private", "--nat", "--via", "me@jump"))[1]


async def test_a_network_that_is_there_gets_its_nat_gateway(led: FakeArm, machines: Noted) -> None:
    async with azure() as swarm:
        await swarm.spawn(UBUNTU, name="open")
    async with azure() as swarm:
        labels = {"azure.private": "true", "azure.nat": "true"}
        await swarm.spawn({**UBUNTU, "Labels": labels}, name="closed")
        assert machines.seen["closed"].outbound
        (subnet,) = led.state.of_type("Microsoft.Network/virtualNetworks/subnets")
        assert subnet.properties["defaultOutboundAccess"] is False
        led.asked.clear()
        await swarm.spawn({**UBUNTU, "Labels": labels}, name="other")
        assert not [each for each in led.asked if each.startswith("PUT") and ("/subnets/" in each or "/nat" in each)]


async def test_the_command_plans_shows_and_sweeps_a_nat_gateway(led: FakeArm) -> None:
    words = ("create", "box", "--private", "--nat")
    planned, _ = await run(*words, "--dry-run")
    kinds = [line.split("/")[-2] for line in planned.splitlines() if "/providers/" in line]
    assert kinds[:4] == ["publicIPAddresses", "natGateways", "virtualNetworks", "networkSecurityGroups"]
    _, said = await run(*words)
    assert "billed besides: a NAT gateway with its address, until the last machine is removed" in said
    assert "billed besides: a NAT gateway" in (await run("ls"))[1]
    assert "natGateways" not in (await run("sweep", "--older-than", "0s", "--dry-run"))[0]
    for each in [each.id for each in led.state.resources.values() if each.id.name.startswith("box")]:
        led.state.drop(each)  # somebody else has removed the machine
    await run("sweep", "--older-than", "0s")
    assert left(led) == []


async def test_a_nat_gateway_that_can_not_be_made_leaves_nothing(led: FakeArm) -> None:
    led.state.policies.denied = {GATEWAYS}
    async with azure(private=True, nat=True) as swarm:
        with pytest.raises(Exception, match="Deny natGateways"):
            await swarm.spawn(UBUNTU, name="web")
        await until_nothing_is_left(led)


async def test_azure_keeps_a_nat_gateway_and_its_address_while_they_are_used(led: FakeArm) -> None:
    async with opened(led) as sdk:
        await sdk.group()
        address = await sdk.address("ip")
        gateways, network = sdk.network.nat_gateways, sdk.network.virtual_networks
        body: dict[str, Any] = {"location": LOCATION, "properties": {"publicIpAddresses": [{"id": address.id}]}}
        with pytest.raises(HttpResponseError, match="Standard"):
            await gateways.begin_create_or_update("prod", "nat", body)
        body["sku"] = {"name": "Standard"}
        gateway = await (await gateways.begin_create_or_update("prod", "nat", body)).result()
        with pytest.raises(HttpResponseError, match="PublicIPAddressCannotBeDeleted"):
            await sdk.network.public_ip_addresses.begin_delete("prod", "ip")
        with pytest.raises(HttpResponseError, match="PublicIPAddressInUse"):
            await gateways.begin_create_or_update("prod", "second", body)
        await subnet(sdk, natGateway={"id": gateway.id})
        assert len((await gateways.get("prod", "nat")).subnets) == 1
        with pytest.raises(HttpResponseError, match="InUseNatGatewayCannotBeDeleted"):
            await gateways.begin_delete("prod", "nat")
        await (await network.begin_delete("prod", "net")).result()
        await (await gateways.begin_delete("prod", "nat")).result()
        await subnet(sdk, "northeurope")
        body["location"] = "northeurope"
        with pytest.raises(HttpResponseError, match="InvalidResourceReference"):
            await gateways.begin_create_or_update("prod", "nat", body)


# The subnets of others.


@pytest.mark.parametrize(("properties", "warned"), [({}, True), ({"defaultOutboundAccess": True}, False)])
async def test_a_subnet_without_a_way_out_is_warned_of(
    led: FakeArm, machines: Noted, caplog: pytest.LogCaptureFixture, properties: dict[str, Any], warned: bool
) -> None:
    async with opened(led) as sdk:
        await sdk.group()
        await subnet(sdk, **properties)
    with caplog.at_level(logging.WARNING):
        async with azure(private=True, network="net/default") as swarm:
            await swarm.spawn(UBUNTU, name="web")
    assert ("has no NAT gateway and no route: web may not reach the Internet" in caplog.text) is warned
    assert machines.seen["web"].outbound is not warned


async def test_a_subnet_is_checked_before_anything_is_made(led: FakeArm) -> None:
    async with opened(led) as sdk:
        await sdk.group()
        await subnet(sdk, "northeurope")
    before = left(led)
    led.asked.clear()
    for network, kind, text in (
        ("net/default", Invalid, "is in northeurope, not in westeurope: use --location northeurope, or another"),
        ("net/other", NotFound, "no such subnet: .*/net/subnets/other"),
        ("none/default", NotFound, "no such subnet: .*/none/subnets/default"),
        ("/subscriptions/x", Invalid, "invalid network '/subscriptions/x': expected VNET/SUBNET or the id of a subnet"),
    ):
        async with azure(network=network) as swarm:
            with pytest.raises(kind, match=text):
                await swarm.spawn(UBUNTU, name="web")
    assert not [each for each in led.asked if each.startswith("PUT")]
    assert left(led) == before


async def test_a_network_that_may_not_be_read_is_not_checked(led: FakeArm) -> None:
    async with opened(led) as sdk:
        await sdk.group()
        await subnet(sdk)
    led.faults.add(Fault("fail", "GET", "*/virtualNetworks/net", "AuthorizationFailed", 403))
    async with azure(network="net/default") as swarm:
        await swarm.spawn(UBUNTU, name="web")


async def test_a_nat_gateway_is_for_the_own_network_only() -> None:
    with pytest.raises(Exception, match="--nat and --network can't be used together"):
        async with azure(nat=True, network="net/default"):
            raise AssertionError
