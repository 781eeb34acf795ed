"""The network around machines: who may reach them, how they reach others, and what an organization demands of both."""

from pathlib import Path

import pytest
import trio
from azure.core.exceptions import HttpResponseError

import swarmlib
from swarmlib import Denied, Invalid
from swarmlib_backends.azure import Azure
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from tests.support.azure.backend import azure, left, opened, until_nothing_is_left
from tests.support.azure.command import run
from tests.support.azure.sdk import LOCATION, Sdk
from tests.support.command import invoke

# Who may reach machines.


async def test_who_is_allowed_now_may_reach_the_machines_and_who_was_before_may_not(led: FakeArm) -> None:
    await run("create", "box", "--allow", "198.51.100.7")
    assert opened(led) == {("192.0.2.1", "22"), ("198.51.100.7", "22")}
    await run("create", "box", "--allow", "203.0.113.0/24")  # the machine exists already
    assert opened(led) == {("192.0.2.1", "22"), ("203.0.113.0/24", "22")}
    await run("create", "other")
    assert opened(led) == {("192.0.2.1", "22")}


async def test_what_other_users_allow_stays(led: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with azure(allow=["192.0.2.1"]) as one:
        await one.spawn({"Image": "ubuntu"}, name="one")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    async with azure(allow=["198.51.100.0/24"]) as two:
        await two.spawn({"Image": "ubuntu"}, name="two")
    assert opened(led) == {("192.0.2.1", "22"), ("198.51.100.0/24", "22")}


async def test_a_rule_whose_number_another_one_took_first_is_made_with_the_next(led: FakeArm) -> None:
    await run("create", "box")
    led.faults.add(Fault("fail", "PUT", "*/securityRules/*", "SecurityRuleConflict"))
    await run("create", "box", "--allow", "203.0.113.9")
    assert opened(led) == {("192.0.2.1", "22"), ("203.0.113.9", "22")}


async def test_open_ports_are_open_to_everybody_until_they_are_no_longer_asked_for(led: FakeArm) -> None:
    await run("create", "box", "--open-port", "80")
    assert opened(led) == {("192.0.2.1", "22"), ("*", "80")}
    async with swarmlib.connect(Azure(group="prod", allow=["192.0.2.1"], max=1, open_port=["53/udp", "80"])):
        assert opened(led) == {("192.0.2.1", "22"), ("*", "80"), ("*", "53")}
    rules = [each.properties for each in led.state.of_type("Microsoft.Network/networkSecurityGroups/securityRules")]
    assert {each["protocol"] for each in rules if each["destinationPortRange"] == "53"} == {"Udp"}
    await run("create", "box")
    assert opened(led) == {("192.0.2.1", "22")}


@pytest.mark.parametrize("port", ["0", "65536", "80/sctp", "-1", "80-90", ""])
async def test_what_is_no_port_can_not_be_opened(port: str) -> None:
    with pytest.raises(Invalid, match=f"invalid --open-port '{port}': expected PORT or PORT/udp"):
        Azure(open_port=[port]).check_options()


async def test_a_chain_that_opens_lets_its_address_reach_the_existing_machines(led: FakeArm) -> None:
    await run("create", "box")
    async with swarmlib.connect(Azure(group="prod", allow=["203.0.113.9"], max=1)):
        pass
    assert opened(led) == {("203.0.113.9", "22")}


async def test_for_private_machines_nobody_is_asked_for_the_public_address(led: FakeArm, sdk: Sdk) -> None:
    await sdk.group()
    await sdk.subnet()
    words = ("--group", "prod", "--private", "--network", "net/default", "--whoami", "https://127.0.0.1:1")
    await trio.to_thread.run_sync(lambda: invoke("azure", "create", "box", "--no-wait", *words))
    assert opened(led) == set()


# How machines reach others.


async def test_from_its_newer_versions_on_a_subnet_has_no_way_out_unless_it_says_so(led: FakeArm, sdk: Sdk) -> None:
    await sdk.group()
    subnets = [{"name": "a", "properties": {"addressPrefix": "10.0.0.0/24"}}]
    properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    body = {"location": LOCATION, "properties": properties}
    networks = sdk.network.virtual_networks
    old = await networks.begin_create_or_update("prod", "old", body, api_version="2024-05-01")
    assert (await old.result()).subnets[0].default_outbound_access is None
    new = await networks.begin_create_or_update("prod", "new", body, api_version="2025-07-01")
    assert (await new.result()).subnets[0].default_outbound_access is False


async def test_the_own_network_means_the_same_by_every_api_version(led: FakeArm) -> None:
    await run("create", "box")
    (subnet,) = led.state.of_type("Microsoft.Network/virtualNetworks/subnets")
    assert subnet.properties["defaultOutboundAccess"] is False
    _, said = await run("create", "lost", "--private", code=1)
    assert "--private requires --nat or --network: machines without a public address can't leave swarmlib's own" in said


async def test_an_interface_in_another_region_than_its_network_is_refused_by_azure(led: FakeArm, sdk: Sdk) -> None:
    await sdk.group()
    subnet = await sdk.subnet()
    properties = {"ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": subnet}}}]}
    body = {"location": "northeurope", "properties": properties}
    with pytest.raises(HttpResponseError, match=r"InvalidResourceReference.*in the same region"):
        await sdk.network.network_interfaces.begin_create_or_update("prod", "nic", body)


async def test_a_second_region_in_one_group_is_refused_before_anything_is_made(led: FakeArm) -> None:
    await run("create", "box")
    before = left(led)
    async with azure(location="North Europe") as swarm:
        led.asked.clear()
        with pytest.raises(Invalid, match="all machines of a group are in one region; use --location westeurope"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
    assert not [each for each in led.asked if each.startswith("PUT")]
    assert left(led) == before


# What an organization demands.


async def test_all_resources_have_the_tags_that_a_policy_demands(led: FakeArm) -> None:
    led.state.policies.required = {"owner"}
    advice = "What to do: comply with the policy 'Require tag owner', or ask .* --tag sets tags of all resources"
    async with azure() as swarm:
        with pytest.raises(Denied, match=f"RequestDisallowedByPolicy.*{advice}"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
    async with azure(tag=["owner=me"], max_hours=2) as swarm:
        web = await swarm.spawn({"Image": "ubuntu", "Labels": {"tier": "web"}}, name="web")
        tops = [
            each for each in led.state.resources.values() if each.id.parent is None and "disks" not in each.id.types
        ]
        assert {each.body["tags"]["owner"] for each in tops} == {"me"}
        assert {each.id.name for each in tops if "tier" not in each.body["tags"]} == {"swarmlib"}
        await web.rm(force=True)
        await until_nothing_is_left(led)


async def test_a_policy_against_public_addresses_is_named(led: FakeArm) -> None:
    led.state.policies.denied = {"microsoft.network/publicipaddresses"}
    named = "comply with the policy 'Deny publicIPAddresses', or ask .* --private with --network leaves out public"
    async with azure() as swarm:
        with pytest.raises(Denied, match=named):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
        await until_nothing_is_left(led)
    led.state.policies.required = {"owner", "cost"}
    async with azure(group="other") as swarm:
        with pytest.raises(
            Denied, match="comply with the policy 'Require tag cost' and the policy 'Require tag owner'"
        ):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
