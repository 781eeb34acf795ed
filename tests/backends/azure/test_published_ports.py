"""Ports that containers publish: Azure opens them to those who may reach the engines, for as long as they are used."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import swarmlib
from swarmlib import Chain, Client, Denied, Json, Verb
from swarmlib_backends import Simulator
from swarmlib_backends.azure import Azure
from swarmlib_backends.azure.access import Access
from swarmlib_backends.azure.client import connected
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from swarmlib_backends.azure.ports import Port
from swarmlib_backends.azure.published_ports import OpeningPorts, PublishedPorts
from swarmlib_backends.balance.node import Claim, Node
from swarmlib_backends.balance.objects import Container
from tests.support.azure.backend import opened
from tests.support.azure.command import run

OPTIONS = Azure(group="prod", allow=["192.0.2.1", "198.51.100.0/24"], open_port=["443"])
ENGINES = {("192.0.2.1", "22"), ("*", "443")}


@asynccontextmanager
async def ports(options: Azure = OPTIONS) -> AsyncIterator[PublishedPorts]:
    """The ports of a swarmd with a group."""
    async with connected() as arm:
        yield PublishedPorts(Access(options, arm), options)


def chain(machine: str, rules: PublishedPorts, *, made: bool) -> Chain:
    """An engine on a machine."""
    return Chain(OpeningPorts(machine, rules, made=made), Simulator())


async def create(engine: Client, bindings: dict[str, Any]) -> list[str]:
    """Create a container that publishes ports; return the warnings."""
    body = {"Image": "busybox", "HostConfig": {"PortBindings": bindings}}
    made = await engine.call(Verb.SPAWN, ("containers",), body=Json.from_data(body))
    return list(made.value["Warnings"])


def container(**claim: Any) -> Container:
    """A container that publishes ports."""
    found = Container(Node("box"), "1" * 64)
    found.claim = Claim.of(claim)
    return found


def published(*numbers: str) -> dict[str, Any]:
    """The HostConfig of a container that publishes these ports of TCP."""
    return {"PortBindings": {"80/tcp": [{"HostPort": each} for each in numbers]}}


def of_containers(arm: FakeArm) -> set[tuple[str, str]]:
    """The rules besides those of the engines themselves."""
    return opened(arm) - ENGINES


@pytest.mark.parametrize(
    ("bindings", "numbers"),
    [
        ({"80/tcp": [{"HostPort": "8080"}]}, {"8080"}),
        ({"80/tcp": [{"HostPort": "80"}], "53/udp": [{"HostPort": "53"}, {"HostIp": "0.0.0.0"}]}, {"53", "80"}),
        ({"80/tcp": [{"HostPort": "8080", "HostIp": "127.0.0.1"}], "90/tcp": None}, set()),
        ({"443/tcp": [{"HostPort": "443"}], "9/sctp": [{"HostPort": "9"}]}, set()),
        ({}, set()),
    ],
)
async def test_a_port_is_open_before_its_container_is_there_to_those_who_are_allowed(
    led: FakeArm, bindings: dict[str, Any], numbers: set[str]
) -> None:
    await run("create", "box", "--open-port", "443")
    async with ports() as rules, swarmlib.connect(chain("box", rules, made=True)) as engine:
        assert await create(engine, bindings) == []
    assert of_containers(led) == {(each, number) for number in numbers for each in ("192.0.2.1", "198.51.100.0/24")}


async def test_a_container_whose_port_can_not_be_opened_is_not_created(led: FakeArm) -> None:
    await run("create", "box")
    led.faults.add(Fault("fail", "PUT", "*/securityRules/*", "AuthorizationFailed"))
    async with ports() as rules, swarmlib.connect(chain("box", rules, made=True)) as engine:
        with pytest.raises(Denied, match="can't open port 80, 81 of box: Azure says AuthorizationFailed"):
            await create(engine, published("80", "81")["PortBindings"])
        assert await engine.ls(all=True) == []
        await create(engine, published("80")["PortBindings"])
    assert {number for _, number in of_containers(led)} == {"80"}


async def test_of_a_machine_of_others_the_security_group_is_not_changed(led: FakeArm) -> None:
    await run("create", "box", "--open-port", "443")
    async with ports() as rules, swarmlib.connect(chain("old", rules, made=False)) as engine:
        text = "old was not made by swarmlib: whether Azure lets port 80 in is its owner's decision"
        assert await create(engine, published("80")["PortBindings"]) == [text]
    assert of_containers(led) == set()


async def test_ports_are_closed_when_no_container_has_them_twice_in_a_row(led: FakeArm) -> None:
    await run("create", "box")
    async with ports() as rules:
        first, second = container(**published("80")), container(**published("80", "81"))
        await rules.settle([first, second], all_listed=True)
        await rules.settle([first], all_listed=True)
        await rules.settle([first, second], all_listed=True)
        await rules.settle([first], all_listed=True)
        assert {number for _, number in of_containers(led)} == {"80", "81"}
        await rules.settle([first], all_listed=False)  # one of the engines does not answer
        await rules.settle([first], all_listed=True)
        await rules.settle([first], all_listed=True)
        assert {number for _, number in of_containers(led)} == {"80"}
        led.asked.clear()
        await rules.settle([first], all_listed=True)
        assert [*led.asked] == []


async def test_a_port_that_the_engine_chose_is_opened(led: FakeArm) -> None:
    await run("create", "box")
    listed = {"Id": "1", "Ports": [{"PrivatePort": 80, "PublicPort": 32768, "Type": "tcp", "IP": "0.0.0.0"},
                                   {"PrivatePort": 90, "PublicPort": 32769, "Type": "tcp", "IP": "127.0.0.1"},
                                   {"PrivatePort": 91, "Type": "tcp"}]}  # fmt: skip
    found = container()
    found.tell(listed)
    async with ports() as rules:
        await rules.settle([found], all_listed=True)
    assert {number for _, number in of_containers(led)} == {"32768"}


async def test_another_swarmd_of_the_same_user_takes_the_ports_over_for_those_who_are_allowed_now(led: FakeArm) -> None:
    await run("create", "box")
    async with ports() as before:
        await before.open([*map(Port, (80, 81))])
    async with ports(Azure(group="prod", allow=["203.0.113.9"])) as now:
        for _ in range(2):
            await now.settle([container(**published("80"))], all_listed=True)
    assert of_containers(led) == {("203.0.113.9", "80")}


async def test_rules_that_went_with_the_last_machine_are_made_again(led: FakeArm) -> None:
    await run("create", "box")
    async with ports() as rules:
        await rules.open([Port(80)])
        await run("rm", "box")
        rules.forget()
        await run("create", "box")
        await rules.open([Port(80)])
    assert ("192.0.2.1", "80") in opened(led)
