"""`balance (docker …) (azure --max 1) (aci)`: containers spill over in that order, and leave nothing."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

import swarmlib
from swarmlib import Chain
from swarmlib_backends import Aci, Azure, Balance, Docker
from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.fakearm.spec import Spec
from tests.support.azure.aci import groups
from tests.support.azure.cloud import real_cloud
from tests.support.azure.machines import RealMachines
from tests.support.engines import Engine, engine

pytestmark = pytest.mark.engine


@pytest.fixture
def real() -> Iterator[RealMachines]:
    machines = RealMachines()
    yield machines
    machines.close()


@pytest.fixture
async def cloud(
    spec: Spec, real: RealMachines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeArm]:
    async with real_cloud(spec, real, tmp_path, monkeypatch) as arm:
        yield arm


@pytest.fixture(scope="module")
def local() -> Iterator[Engine]:
    with engine(["--label", "containerslots=1"]) as started:
        yield started


def power(arm: FakeArm) -> list[str]:
    """The power states of all machines."""
    return [str(each.hidden.get("power")) for each in arm.state.of_type("Microsoft.Compute/virtualMachines")]


async def test_containers_spill_over_in_order_and_come_back_to_zero(cloud: FakeArm, local: Engine) -> None:
    machines = Azure(group="prod", allow=["192.0.2.1"], max=1, slots=1, idle=0.5)
    members = [
        Chain(Docker(local.host), label="local"),
        Chain(machines, label="machines"),
        Chain(Aci(group="burst", poll=0.1), label="burst"),
    ]
    async with swarmlib.connect(Balance(members, strategy="binpack")) as swarm:
        body = {"Image": "busybox", "Cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]}
        names = ("first", "second", "third", "fourth")
        for name in names:
            await (await swarm.spawn(body, name=name)).start()
        assert {each.name: each.node for each in await swarm.ls()} == {
            "first": "local",
            "second": "machines",
            "third": "burst",
            "fourth": "burst",
        }
        for name in names:
            await swarm.workload(name).rm(force=True)
        assert await swarm.ls(all=True) == []
        assert groups(cloud) == []
        with trio.fail_after(20):
            while power(cloud) != ["deallocated"]:  # noqa: ASYNC110 - the fake is another program
                await trio.sleep(0.05)
