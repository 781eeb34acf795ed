"""The names that containers of a simulator find each other by: those of their networks, and those of links."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from trio.testing import MockClock

from swarmlib import Client, Invalid, Json, SwarmError, Verb
from tests.backends.simulator.test_simulator import LONG, run, started, swarm
from tests.support.engines import Engine, docker, swarmd
from tests.system.test_same_answers import UnixConnection, ask


async def lookup(client: Client, name: str, network: str, **endpoint: object) -> tuple[int, str]:
    networking = {"EndpointsConfig": {network: endpoint}} if endpoint else {}
    more = {"HostConfig": {"NetworkMode": network}, "NetworkingConfig": networking}
    code, lines = await run(client, "nslookup", name, name=f"asks_{len(await client.ls(all='1'))}", **more)
    return code, "\n".join(line.decode() for _, line in lines)


async def make_network(client: Client, **body: object) -> None:
    await client.call(Verb.SPAWN, ("networks",), body=Json.from_data({"Name": "net", **body}))


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


@pytest.mark.parametrize("host", ["db", "127.0.0.1", "localhost", "told"])
async def test_what_has_an_address_answers_a_ping(autojump_clock: MockClock, host: str) -> None:
    async with swarm() as client:
        await make_network(client, IPAM={"Config": [{"Subnet": "10.9.0.0/24"}]})
        await started(client, "db", *LONG, HostConfig={"NetworkMode": "net"})
        asks = {"HostConfig": {"NetworkMode": "net", "ExtraHosts": ["told:10.1.1.1"]}}
        code, lines = await run(client, "ping", "-c2", host, **asks)
        address = {"db": "10.9.0.2", "told": "10.1.1.1"}.get(host, "127.0.0.1")
        assert (code, lines[0][1]) == (0, f"PING {host} ({address}): 56 data bytes".encode())
        assert ("stdout", b"2 packets transmitted, 2 packets received, 0% packet loss") in lines
        for refused in (["ping", "nosuch"], ["ping", "-c", "x", "db"], ["ping", "10.9.0.2"], ["ping", "-w", "1", "db"]):
            assert (await run(client, *refused, name=f"asks{len(await client.ls(all='1'))}", **asks))[0] == 1


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
            await client.call(Verb.SET, ("networks", "net", "connect"), body=Json.from_data(body))
        assert "net" not in (await client.get("containers", "box"))["NetworkSettings"]["Networks"]
        free = {"Container": "box", "EndpointConfig": {"IPAMConfig": {"IPv6Address": "2001:db8::ffff:0:0:1"}}}
        await client.call(Verb.SET, ("networks", "net", "connect"), body=Json.from_data(free))


async def test_a_link_that_is_none_is_refused(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        with pytest.raises(Invalid, match="could not get container for nosuch"):
            await started(client, "box", *LONG, HostConfig={"Links": ["nosuch:x"]})


async def test_the_hosts_that_a_container_is_told_of() -> None:
    async with swarm() as client:
        hosts = ["far:192.0.2.1", "six:2001:db8::1", "host.docker.internal:host-gateway"]
        code, lines = await run(client, "cat", "/etc/hosts", HostConfig={"ExtraHosts": hosts})
        told = {line.decode() for _, line in lines}
        assert code == 0
        assert {"192.0.2.1\tfar", "2001:db8::1\tsix", "172.17.0.1\thost.docker.internal"} <= told


HOSTS = ["foo", ":1.2.3.4", "a:", "a:b", "a:1.2.3", "a:host-gateway:1", "a:1.2.3.4", "a:::1"]
PORTS = ["8125/udp", "8126/", "/udp", "8127-8128/tcp", "8129-", "x", "70000", "70000/tcp", "0", "0/tcp", "-1", "1/2/3"]


@pytest.fixture(scope="module")
def places(engines: tuple[Engine, Engine]) -> Iterator[list[HTTPConnection]]:
    """A real engine, and the simulator."""
    with swarmd("simulator --image busybox") as simulator:
        yield [UnixConnection(str(engines[0].socket)), HTTPConnection("127.0.0.1", simulator.port, timeout=30)]


@pytest.mark.engine
@pytest.mark.parametrize(
    "host",
    [
        *({"ExtraHosts": [host]} for host in HOSTS),
        *({"PortBindings": {"80/tcp": [{"HostPort": port}]}} for port in PORTS),
    ],
    ids=str,
)
def test_hosts_and_ports_are_taken_or_refused_as_by_an_engine(
    engines: tuple[Engine, Engine], places: list[HTTPConnection], host: dict[str, Any]
) -> None:
    body = json.dumps({"Image": "busybox", "HostConfig": host})
    said = [ask(place, "POST", "/v1.41/containers/create", body) for place in places]
    assert said[0][0] == said[1][0]
    assert said[0][0] == 201 or said[0][2] == said[1][2]
    if said[0][0] == 201:
        docker(engines[0].host, "rm", json.loads(said[0][2])["Id"], check=True)
