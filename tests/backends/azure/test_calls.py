"""How many calls of ARM each operation takes; the table in docs/azure.md says it."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmlib_backends.azure import Azure
from swarmlib_backends.azure.access import Access
from swarmlib_backends.azure.client import connected
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from swarmlib_backends.azure.host_keys import HostKeys
from swarmlib_backends.azure.lease import Lease
from swarmlib_backends.azure.objects import Machine
from swarmlib_backends.azure.ports import Port
from swarmlib_backends.azure.power import Power
from swarmlib_backends.azure.published_ports import PublishedPorts
from tests.support.azure.backend import azure
from tests.support.azure.command import run
from tests.support.paths import ROOT

OPTIONS = Azure(group="prod", allow=["192.0.2.1"])
GUIDE = ROOT / "docs/azure.md"


class Counts:
    """The calls of each operation, without the polling of asynchronous ones."""

    def __init__(self, arm: FakeArm) -> None:
        self._arm = arm
        self.found: dict[str, int] = {}

    @contextmanager
    def of(self, operation: str) -> Iterator[None]:
        """Count the calls within this context."""
        self._arm.asked.clear()
        yield
        self.found[operation] = sum(not re.search("/operation(s|results)/", each, re.I) for each in self._arm.asked)


@pytest.fixture
async def counts(led: FakeArm) -> AsyncIterator[Counts]:
    """The counts of a fake; at the end, they must be those of the guide."""
    counts = Counts(led)
    yield counts
    table = dict(re.findall(r"^\| ([^|]+?) +\| (\d+) +\|", GUIDE.read_text("utf-8"), re.MULTILINE))
    assert counts.found == {name: int(table.get(name, -1)) for name in counts.found}


async def test_the_calls_of_machines_that_are_workloads(counts: Counts) -> None:
    async with azure() as swarm:
        with counts.of("`docker run`, of the first machine of a group"):
            web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        with counts.of("`docker run`, of a further machine"):
            await swarm.spawn({"Image": "ubuntu"}, name="db")
        with counts.of("`docker ps`, of two machines"):
            await swarm.ls()
        with counts.of("`docker inspect`"):
            await web.details()
        with counts.of("`docker stop`"):
            await web.stop()
        with counts.of("`docker start`"):
            await web.start()
        with counts.of("`docker rm`"):
            await web.rm(force=True)
        with counts.of("`docker info`"):
            await swarm.get()
        with counts.of("`docker rm`, of the last machine of a group"):
            await swarm.workload("db").rm(force=True)


async def test_the_calls_of_further_choices(counts: Counts, arm: FakeArm) -> None:
    first, label = counts.found, "`docker run`, of a further machine"
    async with azure(size="Standard_D2s_v5,Standard_D2as_v5") as swarm:
        await swarm.spawn({"Image": "ubuntu"}, name="one")
        with counts.of(label):
            await swarm.spawn({"Image": "ubuntu"}, name="two")
        arm.faults.add(Fault("fail", "PUT", "*/virtualMachines/*", "AllocationFailed"))
        with counts.of("each choice besides that Azure refuses at once"):
            await swarm.spawn({"Image": "ubuntu"}, name="three")
        arm.faults.add(Fault("fail-later", "PUT", "*/virtualMachines/*", "AllocationFailed"))
        with counts.of("each choice besides that fails later"):
            await swarm.spawn({"Image": "ubuntu"}, name="four")
        with counts.of("an image by its URN, besides"):
            await swarm.spawn({"Image": "ubuntu", "Labels": {"azure.image": "Debian:debian-12:12:latest"}}, name="urn")
        golden = f"/subscriptions/{arm.state.subscription}/resourceGroups/own/providers/Microsoft.Compute/galleries/g"
        arm.plant({"id": f"{golden}/images/docker", "properties": {"hyperVGeneration": "V2", "architecture": "x64"}})
        arm.plant({"id": f"{golden}/images/docker/versions/1.0.0", "location": "westeurope", "properties": {}})
        with counts.of("an image by its id, besides"):
            await swarm.spawn({"Image": "ubuntu", "Labels": {"azure.image": f"{golden}/images/docker"}}, name="own")
        with counts.of("the version of a gallery's image, besides"):
            version = {"azure.image": f"{golden}/images/docker/versions/1.0.0"}
            await swarm.spawn({"Image": "ubuntu", "Labels": version}, name="version")
    usual = first.pop(label)
    counts.found = {name: number - usual for name, number in first.items()}


async def test_the_calls_of_the_command(counts: Counts) -> None:
    with counts.of("`swarmd azure create --dry-run`"):
        await run("create", "box", "--dry-run")
    with counts.of("`swarmd azure create`"):
        await run("create", "box")
    with counts.of("`swarmd azure create`, again"):
        await run("create", "box")
    with counts.of("`swarmd azure ls`, of one machine"):
        await run("ls")
    with counts.of("`swarmd azure sweep`, of nothing"):
        await run("sweep")
    with counts.of("`swarmd azure rm`"):
        await run("rm", "box")


async def test_the_calls_of_machines_that_are_engines(counts: Counts, arm: FakeArm, tmp_path: Path) -> None:
    await run("create", "box")
    async with connected() as connection:
        (found,) = arm.state.of_type("Microsoft.Compute/virtualMachines")
        machine = Machine.of(await connection.get(str(found.id), expand="instanceView"))
        lease = Lease(connection, machine.arm_id, machine.tags, "one")
        power = Power(connection, "prod", machine, lease, HostKeys(connection, tmp_path / "known"))
        with counts.of("the first use of an engine, and again after each 150 s of use"):
            await power.claim()
        with counts.of("each further use"):
            await power.claim()
        ports = PublishedPorts(Access(OPTIONS, connection), OPTIONS)
        await ports.open([Port(80)])
        with counts.of("`docker run` with a port that is not open yet, besides"):
            await ports.open([Port(81)])
        with counts.of("`docker run` with a port that is open, besides"):
            await ports.open([Port(81)])
        with counts.of("the deallocation of an engine that is idle"):
            assert await power.off(lambda: True)
        with counts.of("the first start of an engine that this user did not make"):
            await power.on()
        with counts.of("the start of an engine"):
            await power.on()
