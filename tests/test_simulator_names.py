"""The names that containers of a simulator find each other by: those of their networks, and those of links."""

import pytest
from trio.testing import MockClock

from swarmlib import Client, Invalid, Json, SwarmError, Verb
from tests.test_simulator import LONG, run, started, swarm


async def lookup(client: Client, name: str, network: str, **endpoint: object) -> tuple[int, str]:
    networking = {"EndpointsConfig": {network: endpoint}} if endpoint else {}
    more = {"HostConfig": {"NetworkMode": network}, "NetworkingConfig": networking}
    code, lines = await run(client, "nslookup", name, name=f"asks_{len(await client.ls(all='1'))}", **more)
    return code, "\n".join(line.decode() for _, line in lines)


async def make_network(client: Client, **body: object) -> None:
    await client.call(Verb.SPAWN, ("networks",), value=Json.of({"Name": "net", **body}))


@pytest.mark.parametrize("name", ["db", "store", "net.db", "db.net", "linked"])
async def test_a_network_that_was_made_knows_names_aliases_and_links(autojump_clock: MockClock, name: str) -> None:
    async with swarm() as client:
        await make_network(client, IPAM={"Config": [{"Subnet": "10.9.0.0/24"}]})
        endpoints = {"EndpointsConfig": {"net": {"Aliases": ["store"]}}}
        await started(client, "db", *LONG, HostConfig={"NetworkMode": "net"}, NetworkingConfig=endpoints)
        code, said = await lookup(client, name, "net", Links=["db:linked"])
        if name == "net.db":
            assert code == 1
            assert "** server can't find net.db: NXDOMAIN" in said
        else:
            assert (code, f"Name:\t{name}\nAddress: 10.9.0.2" in said) == (0, True)


async def test_a_link_is_a_name_for_one_container_only(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        await make_network(client)
        await started(client, "db", *LONG, HostConfig={"NetworkMode": "net"})
        assert (await lookup(client, "linked", "net", Links=["db:linked"]))[0] == 0
        assert (await lookup(client, "linked", "net"))[0] == 1


async def test_the_default_bridge_has_no_name_service(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        await started(client, "db", *LONG)
        assert await lookup(client, "db", "bridge") == (1, ";; connection timed out; no servers could be reached\n")


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ({"IPv6Address": "2001:db9::1"}, "It does not belong to any of this network's subnets"),
        ({"IPv6Address": "nonsense"}, r"Invalid IPv6 address: nonsense\)"),
        ({"IPv6Address": "2001:db8::1"}, "Address already in use"),
        ({"IPv4Address": "10.8.0.1"}, "It does not belong to any of this network's subnets"),
    ],
)
async def test_an_address_that_cannot_be_had_is_refused(
    autojump_clock: MockClock, address: dict[str, str], problem: str
) -> None:
    async with swarm() as client:
        configs = [{"Subnet": "2001:db8::/64"}, {"Subnet": "10.9.0.0/24"}]
        await make_network(client, EnableIPv6=True, IPAM={"Config": configs})
        await started(client, "box", *LONG)
        body = {"Container": "box", "EndpointConfig": {"IPAMConfig": address}}
        with pytest.raises(SwarmError, match=problem):
            await client.call(Verb.SET, ("networks", "net", "connect"), value=Json.of(body))
        assert "net" not in (await client.get("containers", "box"))["NetworkSettings"]["Networks"]
        free = {"Container": "box", "EndpointConfig": {"IPAMConfig": {"IPv6Address": "2001:db8::ffff:0:0:1"}}}
        await client.call(Verb.SET, ("networks", "net", "connect"), value=Json.of(free))


async def test_a_link_that_is_none_is_refused(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        with pytest.raises(Invalid, match="could not get container for nosuch"):
            await started(client, "box", *LONG, HostConfig={"Links": ["nosuch:x"]})
