"""What a tenant's terms allow and give, through the stage, over a simulated engine."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import Chain, Client, Denied, Invalid, SwarmError
from swarmlib_backends.simulator import Simulator
from swarmlib_backends.tenant import tenants as files
from tests.support.tenants import FILE, tenants

MIB = 2**20


def body(**host: Any) -> dict[str, Any]:
    return {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": host}


def publishing(port: str) -> dict[str, Any]:
    return body(PortBindings={"80/tcp": [{"HostIp": "", "HostPort": port}]}) | {"ExposedPorts": {"80/tcp": {}}}


@asynccontextmanager
async def world(folder: Path, terms: str) -> AsyncGenerator[tuple[Client, Client, Client]]:
    """Clients of alice, who has these terms, of bob, who has none, and of the engine behind them."""
    text = FILE.replace("[tenant.bob]", f"{terms}\n[tenant.bob]")
    async with Chain(Simulator()).open() as engine, tenants(engine, folder, text) as (alice, bob):
        yield alice, bob, Client(engine)


async def test_a_quota_is_of_one_tenant(tmp_path: Path) -> None:
    async with world(tmp_path, "[tenant.alice.quota]\ncontainers = 1\nnetworks = 1") as (alice, bob, _):
        await alice.spawn(body(), name="one")
        with pytest.raises(Denied, match="the quota of tenant alice is exceeded: containers: 1 in use"):
            await alice.spawn(body(), name="two")
        with pytest.raises(Denied, match="networks: 1 in use"):  # her bridge
            await alice.spawn({"Name": "app"}, "networks")
        for name in ("one", "two"):
            await bob.spawn(body(), name=name)


async def test_what_runs_is_limited_by_its_sum(tmp_path: Path, autojump_clock: MockClock) -> None:
    terms = '[tenant.alice.quota]\nmemory = "100MiB"\n[tenant.alice.defaults]\nmemory = "60MiB"'
    async with world(tmp_path, terms) as (alice, _, engine):
        for name in ("one", "two"):
            await alice.spawn(body(), name=name)
        await alice.start("containers", "one")
        for again in ("start", "restart"):
            with pytest.raises(Denied, match="memory: 60MiB in use, 60MiB more requested, at most 100MiB allowed"):
                await (alice.start("containers", "two") if again == "start" else alice.set("containers", "two", again))
        await alice.set("containers", "one", "restart")
        await alice.stop("containers", "one", t=0)
        await wait_all_tasks_blocked()
        await alice.start("containers", "two")
        assert (await engine.get("containers", "alice.one"))["HostConfig"]["Memory"] == 60 * MIB


async def test_ports_come_from_the_range_and_are_shown_as_asked(tmp_path: Path) -> None:
    async with world(tmp_path, 'ports = "20000-20001"\naddress = "127.0.0.1"') as (alice, bob, engine):
        await alice.spawn(publishing("8080"), name="web")
        await alice.start("containers", "web")
        real = (await engine.get("containers", "alice.web"))["NetworkSettings"]["Ports"]["80/tcp"]
        assert real == [{"HostIp": "127.0.0.1", "HostPort": "20000"}]
        found = await alice.get("containers", "web")
        assert found["NetworkSettings"]["Ports"]["80/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": "8080"}]
        assert found["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
        assert not any(name.startswith("swarmlib") for name in found["Config"]["Labels"])
        (listed,) = await alice.ls()
        assert [each["PublicPort"] for each in listed["Ports"]] == [8080]
        for port, names in (("8080", ["/web"]), ("8000-9000/tcp", ["/web"]), ("20000", []), ("8080/udp", [])):
            assert [each["Names"][0] for each in await alice.ls(filters={"publish": port})] == names
        await alice.spawn(publishing("8080"), name="again")
        with pytest.raises(SwarmError, match=r"Bind for 127\.0\.0\.1:8080 failed: port is already allocated"):
            await alice.start("containers", "again")
        await alice.spawn(publishing("8081"), name="last")
        with pytest.raises(Denied, match="no port of the tenant is free: all 2 ports of 20000-20001 are published"):
            await alice.spawn(publishing("8082"), name="more")
        with pytest.raises(Denied, match="it may publish none"):
            await bob.spawn(publishing("8080"), name="web")


async def test_after_a_restart_ports_are_shown_as_asked_and_not_given_twice(tmp_path: Path) -> None:
    text = FILE.replace("[tenant.bob]", 'ports = "20000-20001"\n[tenant.alice.quota]\ncontainers = 5\n[tenant.bob]')
    async with Chain(Simulator()).open() as engine:
        async with tenants(engine, tmp_path, text) as (alice, _):
            await alice.spawn(publishing("8080"), name="web")
        async with tenants(engine, tmp_path, text) as (alice, _):
            await alice.spawn(publishing("8080-8081"), name="more")
            found = [(await alice.get("containers", name))["HostConfig"]["PortBindings"] for name in ("web", "more")]
            assert [each["80/tcp"][0]["HostPort"] for each in found] == ["8080", "8081"]


async def test_without_egress_every_network_is_internal(tmp_path: Path) -> None:
    async with world(tmp_path, 'egress = false\nruntime = "runc"') as (alice, _, engine):
        await alice.spawn({"Name": "app", "Internal": False}, "networks")
        await alice.spawn(body(), name="one")
        found = [await engine.get("networks", f"alice.{name}") for name in ("app", "bridge")]
        assert [each["Internal"] for each in found] == [True, True]
        assert (await engine.get("containers", "alice.one"))["HostConfig"]["Runtime"] == "runc"


async def test_what_counts_and_where_ports_are_can_not_be_said_by_the_tenant(tmp_path: Path) -> None:
    """Labels, limits that lift the ones before, and ports outside of the range are not the tenant's to choose."""
    terms = 'ports = "20000"\n[tenant.alice.quota]\npids = 100\ncontainers = 2\n[tenant.alice.defaults]\npids = 50'
    async with world(tmp_path, terms) as (alice, _, engine):
        forged = {"swarmlib.tenant": "bob", "swarmlib.tenant.ports": '[["80/tcp", "", 80, 80]]'}
        made = await alice.spawn(body(PidsLimit=0) | {"Labels": forged}, name="one")
        found = await engine.get("containers", made.id)
        assert found["HostConfig"]["PidsLimit"] == 50
        assert found["Config"]["Labels"] == {"swarmlib.tenant": "alice", "swarmlib.tenant.ports": "[]"}
        await alice.start("containers", "one")
        for lifted in ({"PidsLimit": 0}, {"PidsLimit": 101}):
            with pytest.raises(Denied, match="the quota of tenant alice is exceeded: pids"):
                await alice.set("containers", "one", "update", body=lifted)
        await alice.spawn(body(PublishAllPorts=True) | {"ExposedPorts": {"80/tcp": {}}}, name="two")
        await alice.start("containers", "two")
        ports = (await engine.get("containers", "alice.two"))["NetworkSettings"]["Ports"]["80/tcp"]
        assert {each["HostPort"] for each in ports} == {"20000"}


async def test_a_limit_can_not_be_lifted_while_nobody_looks(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Starts and updates of one container take turns, whoever comes first."""
    terms = '[tenant.alice.quota]\nmemory = "100MiB"\n[tenant.alice.defaults]\nmemory = "50MiB"'
    async with world(tmp_path, terms) as (alice, _, engine):
        await alice.spawn(body(), name="one")

        async def attempt(call: Any) -> None:
            with suppress(Denied):
                await call()

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(attempt, partial(alice.start, "containers", "one"))
                raised = {"Memory": 200 * MIB, "MemorySwap": 400 * MIB}
                nursery.start_soon(attempt, partial(alice.set, "containers", "one", "update", body=raised))
        host = (await engine.get("containers", "alice.one"))["HostConfig"]
        running = (await engine.get("containers", "alice.one"))["State"]["Running"]
        assert not running or host["Memory"] <= 100 * MIB


async def test_volumes_that_are_made_for_a_container_count(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "[tenant.alice.quota]\nvolumes = 3") as (alice, _, engine):
        await alice.spawn(body(Binds=["data:/d"]) | {"Volumes": {"/x": {}}}, name="one")
        await alice.spawn(body(Binds=["data:/d"]), name="two")  # the same one
        with pytest.raises(Denied, match="volumes: 3 in use"):  # with the first of the two
            await alice.spawn(body(Binds=["data:/d", "more:/m"]) | {"Volumes": {"/x": {}}}, name="three")
        await wait_all_tasks_blocked()
        await alice.spawn({"Name": "last"}, "volumes")
        with pytest.raises(Denied, match="volumes: 3 in use"):
            await alice.spawn({"Name": "more"}, "volumes")
        await alice.spawn({"Name": "last"}, "volumes")  # the same one
        await engine.rm("volumes", "alice.last")
        await wait_all_tasks_blocked()
        await alice.spawn({"Name": "more"}, "volumes")


async def test_the_host_is_as_large_as_the_quota(tmp_path: Path) -> None:
    async with world(tmp_path, '[tenant.alice.quota]\nmemory = "100MiB"\ncpus = 1.5') as (alice, bob, _):
        info = await alice.get()
        assert (info["NCPU"], info["MemTotal"]) == (2, 100 * MIB)
        assert (await bob.get())["NCPU"] == 4


async def test_an_image_of_its_own_counts_by_its_name(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "[tenant.alice.quota]\nimages = 1") as (alice, _, _):
        await alice.set("images", "busybox", "tag", repo="mine", tag="1")
        with pytest.raises(Denied, match="images: 1 in use"):
            await alice.set("images", "busybox", "tag", repo="mine", tag="2")
        await alice.rm("images", "mine:1")
        await wait_all_tasks_blocked()
        await alice.set("images", "busybox", "tag", repo="mine", tag="2")


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ("[tenant.alice.quota]\nmemry = 1", "unknown key 'memry'; did you mean 'memory'?"),
        ('[tenant.alice.quota]\nmemory = "8Gi"', "memory: invalid value '8Gi'"),
        ("[tenant.alice.quota]\ncontainers = 1.5", "containers must be a whole number, not 1.5"),
        ("[tenant.alice.quota]\ncontainers = -1", "containers must be 0 or more, not -1"),
        ("[tenant.alice.quota]\ncpus = true", "cpus must be a number such as 1.5, not True"),
        ("[tenant.alice.defaults]\ncontainers = 1", "unknown key 'containers'"),
        ('ports = "99-98"', "ports: invalid ports '99-98': expected FROM-TO"),
        ('egress = "no"', "egress must be true or false, not 'no'"),
    ],
)
def test_a_mistake_is_told_with_its_line(terms: str, error: str) -> None:
    text = FILE.replace("[tenant.bob]", f"{terms}\n[tenant.bob]")
    with pytest.raises(Invalid) as caught:
        files.parse(text, "tenants.toml")
    assert error in caught.value.message
    assert caught.value.message.startswith(f"tenants.toml:{9 + terms.count(chr(10))}: ")
