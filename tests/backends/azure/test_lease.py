"""The lease on a machine: what one swarmd uses, no other one deallocates."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest
import trio

import swarmlib
from swarmlib import Chain, Denied, Request, Server, Unavailable, Verb
from swarmlib_backends.azure import lease as leases
from swarmlib_backends.azure.access import state_folder
from swarmlib_backends.azure.auto_suspend import AutoSuspend
from swarmlib_backends.azure.client import Arm, connected
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from swarmlib_backends.azure.host_keys import HostKeys
from swarmlib_backends.azure.lease import Lease
from swarmlib_backends.azure.memory import Memory
from swarmlib_backends.azure.objects import Machine
from swarmlib_backends.azure.power import Power
from swarmlib_backends.azure.stamps import stamp
from tests.support.azure.backend import lead
from tests.support.azure.sdk import Sdk


@pytest.fixture
async def azure(arm: FakeArm, sdk: Sdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Arm]:
    """A connection to a fake that has one machine, vm."""
    lead(arm, tmp_path, monkeypatch)
    await sdk.machine("vm", await sdk.network_for("vm"))
    async with connected() as connection:
        yield connection


async def machine_of(arm: Arm) -> Machine:
    id = arm.id("prod", "Microsoft.Compute/virtualMachines", "vm")
    return Machine.of(await arm.get(id, expand="instanceView"))


async def power(arm: Arm, holder: str) -> Power:
    machine = await machine_of(arm)
    host_keys = HostKeys(arm, state_folder() / "known")
    return Power(arm, "prod", machine, Lease(arm, machine.arm_id, machine.tags, holder), host_keys)


async def test_a_machine_that_another_swarmd_uses_is_not_switched_off(azure: Arm) -> None:
    one, two = await power(azure, "one"), await power(azure, "two")
    assert await one.claim()
    assert not two.lease.used_by_others  # it has not looked since
    assert not await two.off(lambda: True)
    assert two.lease.used_by_others
    found = await machine_of(azure)
    assert (found.power, [*found.tags]) == ("running", ["swarmlib.use.one"])
    await one.lease.release()
    assert await two.off(lambda: True)
    found = await machine_of(azure)
    assert (found.power, found.tags) == ("deallocated", {})


async def test_a_lease_that_is_past_or_no_time_holds_nobody_up_and_is_removed(azure: Arm) -> None:
    machine = await machine_of(azure)
    past = {"swarmlib.use.dead": stamp(-1), "swarmlib.use.odd": "for ever"}
    await azure.tag(machine.arm_id, {**past, "owner": "me"})
    assert await (await power(azure, "two")).off(lambda: True)
    assert (await machine_of(azure)).tags == {"owner": "me"}


async def test_a_swarmd_that_is_no_longer_ready_gives_way_and_keeps_its_lease(azure: Arm) -> None:
    one = await power(azure, "one")
    assert not await one.off(lambda: False)
    assert ((await machine_of(azure)).power, (await machine_of(azure)).tags) == ("running", {})
    await one.claim()
    assert not await one.off(lambda: False)
    assert [*(await machine_of(azure)).tags] == ["swarmlib.use.one"]


async def test_who_claims_a_machine_that_is_being_switched_off_waits_for_the_end_of_that(
    azure: Arm, arm: FakeArm
) -> None:
    one, two = await power(azure, "one"), await power(azure, "two")
    deallocation = arm.faults.add(Fault("slow", "POST", "*/deallocate", seconds=0.2))
    claimed: list[bool] = []

    async def claim() -> None:
        claimed.append(await one.claim())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(two.off, lambda: True)
        await deallocation.hit.wait()
        nursery.start_soon(claim)
    assert claimed == [False]
    assert (await machine_of(azure)).power == "deallocated"
    assert [*(await machine_of(azure)).tags] == ["swarmlib.use.one"]


@pytest.mark.parametrize("seed", range(5))
async def test_of_two_that_decide_at_the_same_time_at_least_one_sees_the_other(
    azure: Arm, arm: FakeArm, seed: int
) -> None:
    one, two = await power(azure, "one"), await power(azure, "two")
    slow = ["one", "two"][seed % 2]
    arm.faults.add(Fault("slow", "PATCH", f"*{slow}*"))
    outcome: dict[str, bool] = {}

    async def claim() -> None:
        outcome["claimed"] = await one.claim()

    async def off() -> None:
        outcome["off"] = await two.off(lambda: True)

    async with trio.open_nursery() as nursery:
        for work in (claim, off) if seed % 2 else (off, claim):
            nursery.start_soon(work)
            await trio.sleep(seed * 0.003)
    assert not (outcome["claimed"] and outcome["off"])
    assert (await machine_of(azure)).power == ("deallocated" if outcome["off"] else "running")


async def test_a_lease_is_renewed_before_it_is_past_and_not_more_often(
    azure: Arm, arm: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await power(azure, "one")
    arm.asked.clear()
    await one.lease.renew()
    assert [*arm.asked] == []  # there is none
    await one.claim()
    await one.claim()
    await one.lease.renew()
    assert len(arm.asked) == 2  # the tag, and once the machine's state
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.02)
    two = await power(azure, "two")
    await two.claim()
    await trio.sleep(0.02)
    arm.asked.clear()
    await two.lease.renew()
    assert len(arm.asked) == 1


async def test_a_machine_whose_tags_may_not_be_changed_is_used_with_a_warning_and_never_switched_off(
    azure: Arm, arm: FakeArm, caplog: pytest.LogCaptureFixture
) -> None:
    arm.faults.add(Fault("fail", "PATCH", "*/tags/default", "AuthorizationFailed", times=0))
    one = await power(azure, "one")
    assert await one.claim()
    assert await one.claim()
    (warning,) = caplog.records
    assert "vm has no lease, so that another swarmd may deallocate it: Azure says Author" in warning.message
    with pytest.raises(Denied):
        await one.off(lambda: True)
    assert (await machine_of(azure)).power == "running"


class Hanging(Server):
    """An engine that never answers a spawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked = trio.Event()

    def make_stage(self) -> Self:
        return self

    async def spawn(self, request: Request) -> None:
        self.asked.set()
        await trio.sleep_forever()


async def test_calls_on_a_machine_that_somebody_switches_off_end_with_an_error_that_says_so(
    azure: Arm, tmp_path: Path
) -> None:
    engine, memory = Hanging(), Memory(tmp_path / "memory")
    stage = AutoSuspend("vm", memory, {}, await power(azure, "one"), begins_asleep=False)
    async with swarmlib.connect(Chain(stage, engine)) as swarm, trio.open_nursery() as nursery:

        async def pull() -> None:
            with pytest.raises(Unavailable, match="vm was switched off by somebody else before this call had ended"):
                await swarm.call(Verb.SPAWN, ("images",))

        nursery.start_soon(pull)
        await engine.asked.wait()
        assert stage.idle == 0
        stage.lost()
