"""Whether Azure machines leave anything behind: creations under random failures, kills and throttling, again and again.

python -m tests.bench.azure_leftovers [CREATIONS] [SEED]: against the fake ARM. Several creations at once meet random
failures at random steps; some are cancelled, and those of one swarmd die with it, as by SIGKILL, and are swept
afterwards. There is a group of others', and a resource of others' in swarmlib's own group. After each round nothing of
swarmlib's must be left, and nothing of others' changed. The exit status is 1 if something was; the seed repeats it.
"""

import copy
import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from swarmlib import Client, SwarmError
from swarmlib_backends.azure import client, patience, provisioning, transport
from swarmlib_backends.azure.client import connected
from swarmlib_backends.azure.fakearm import FakeArm, Fault, Limit, serving
from swarmlib_backends.azure.removal import Remover, named
from swarmlib_backends.azure.sweeping import orphans
from swarmlib_backends.azure.transport import HttpxTransport
from tests.support.azure.backend import azure, lead
from tests.support.azure.sdk import opened

ROUND = 5
"""How many creations run at the same time."""
STEPS = ("*/networkSecurityGroups/*", "*/virtualNetworks/*", "*/publicIPAddresses/*", "*/networkInterfaces/*",
         "*/virtualMachines/*", "*/tags/default", "*resourcegroups/prod", "*/natGateways/*")  # fmt: skip
CODES = ("SkuNotAvailable", "AllocationFailed", "InternalServerError", "ServiceUnavailable", "TooManyRequests")
DOS = ("fail", "fail-later", "hang", "hang-halfway", "cut", "cut-halfway", "slow")
METHODS = ("PUT", "PUT", "PUT", "DELETE", "GET", "PATCH")
LIMITS = {"reads": Limit(250, 2500), "writes": Limit(200, 1000), "deletes": Limit(200, 1000)}
"""Azure's own, a hundred times as fast, as everything else here is."""


class Doomed:
    """A swarmd that dies: from then on, nothing that it wants reaches Azure."""

    def __init__(self, client: Client, wire: HttpxTransport) -> None:
        self.client = client
        self.calls: set[trio.CancelScope] = set()
        self._wire = wire

    async def die(self, after: float) -> None:
        """Die after so many seconds."""
        await trio.sleep(after)
        self._wire.send = never  # type: ignore[method-assign]
        for each in self.calls:
            each.cancel()


async def never(*_: object, **__: object) -> Any:
    """Hang."""
    await trio.sleep_forever()


@asynccontextmanager
async def doomed() -> AsyncGenerator[Doomed]:
    """A swarmd that is going to die; it is not waited for."""
    wires: list[HttpxTransport] = []

    class Noted(HttpxTransport):
        def __init__(self) -> None:
            super().__init__()
            wires.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "HttpxTransport", Noted)
        backend = azure()
        swarm = await backend.__aenter__()
    try:
        yield Doomed(swarm, wires[0])
    finally:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(provisioning, "CLEANUP_SECONDS", 0)
            await backend.__aexit__(None, None, None)


@dataclass
class Bench:
    """The fake, the schedule, and what came of it."""

    arm: FakeArm
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    async def round(self, number: int) -> None:
        """Run some creations at once; then remove what was made, sweep after the dead, and look what is left."""
        self._disturb()
        made: list[str] = []
        async with azure() as swarm:
            async with doomed() as dying, trio.open_nursery() as nursery:
                nursery.start_soon(dying.die, self.random.uniform(0.05, 1))
                for each in range(ROUND):
                    nursery.start_soon(self._create, swarm, dying, f"vm-{number}-{each}", made)
            self._calm()
            for name in made:
                await self._remove(swarm, name)
        await self._sweep()
        self._judge(number)

    def _disturb(self) -> None:
        chance, region = self.random.random(), self.arm.state.regions["westeurope"]
        region.short = {"Standard_B2s_v2"} if chance < 0.1 else set()
        region.cores = 4 if 0.1 < chance < 0.2 else 1000
        region.room = 2 if 0.2 < chance < 0.3 else float("inf")
        self.arm.state.list_lag = self.random.choice((0, 0.05))
        if self.random.random() < 0.3:
            rate = self.random.choice((0.02, 0.1))
            self.arm.faults.add(Fault("fail", "*", "*", "TooManyRequests", rate=rate, times=0, retry_after=0.01))
        if self.random.random() < 0.2:
            self.arm.faults.add(Fault("hang-later", "PUT", "*/virtualMachines/*"))
        for _ in range(self.random.randrange(4)):
            what = (self.random.choice(DOS), self.random.choice(METHODS), self.random.choice(STEPS))
            when = {"after": self.random.randrange(3), "times": self.random.randrange(1, 3)}
            self.arm.faults.add(Fault(*what, self.random.choice(CODES), seconds=0.1, **when))  # type: ignore[arg-type]

    def _calm(self) -> None:
        """End the failures: what is removed from now on must be removed."""
        self.arm.faults.clear()
        region = self.arm.state.regions["westeurope"]
        region.withheld, region.cores, region.room = set(), 1000, float("inf")

    async def _create(self, swarm: Client, dying: Doomed, name: str, made: list[str]) -> None:
        await trio.sleep(self.random.uniform(0, 0.2))
        dies, outcome = self.random.random() < 0.3, "cancelled"
        limit = self.random.uniform(0.1, 1) if self.random.random() < 0.3 else 10
        with trio.move_on_after(limit) as scope:
            if dies:
                dying.calls.add(scope)
            outcome = await self._outcome(dying.client if dies else swarm, name)
        if outcome == "made" and not dies:
            made.append(name)
        self.counts["killed" if dies and outcome == "cancelled" else outcome] += 1

    async def _outcome(self, swarm: Client, name: str) -> str:
        private = {"azure.private": "true", "azure.nat": "true"} if self.random.random() < 0.3 else {}
        try:
            await swarm.spawn({"Image": "ubuntu", "Labels": private}, name=name)
        except SwarmError:
            return "failed"
        return "made"

    async def _remove(self, swarm: Client, name: str) -> None:
        try:
            await swarm.rm("containers", name, force=True)
        except SwarmError as exc:
            self.wrong.append(f"{name} can't be removed: {exc.message}")

    async def _sweep(self) -> None:
        """Remove the complete machines of the dead, as an operator would; then sweep all that has no machine."""
        async with connected() as arm:
            for machine in await arm.listed_in(arm.compute.virtual_machines, "prod"):
                if "swarmlib.making" not in machine.get("tags", {}):
                    await arm.delete(machine["id"])
            for group, ids in (await orphans(arm, "", -2)).items():
                left = await Remover(arm, group, lambda _id, _what: None).remove(ids)
                self.wrong += [f"not swept: {each}" for each in named(left)]

    def _judge(self, number: int) -> None:
        left = [str(each.id) for each in self.arm.state.resources.values() if "theirs" not in str(each.id)]
        if left:
            self.wrong.append(f"round {number} left {', '.join(left)}")
            for each in left:
                del self.arm.state.resources[each.lower()]

    def others(self) -> dict[str, Any]:
        """Return a copy of all that is others'."""
        found = {str(each.id): each.body for each in self.arm.state.resources.values() if "theirs" in str(each.id)}
        return copy.deepcopy(found | {name: group.body for name, group in self.arm.state.groups.items()})


async def doze(_transport: HttpxTransport, duration: float) -> None:
    """Sleep for a hundredth of the time."""
    await trio.sleep(duration / 100)


def hurry() -> None:
    """Make the backend wait a hundredth of the time."""
    logging.disable(logging.CRITICAL)
    patience.SETTLE_SECONDS, patience.RETRY_SECONDS, patience.RESERVED_SECONDS = 0.05, 0.1, 3.0
    transport.READ_SECONDS = 0.75  # type: ignore[misc]
    HttpxTransport.sleep = doze  # type: ignore[method-assign]


async def main(creations: int, seed: int) -> bool:
    hurry()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        async with serving(seed=seed, seconds=0.05, reserve_seconds=0.5, limits=LIMITS) as arm:
            lead(arm, Path(folder), patch)
            async with opened(arm) as sdk:
                for group in ("prod", "theirs"):
                    await sdk.group(group)
                    await sdk.address("theirs-ip", group)
            bench = Bench(arm, random.Random(seed))
            before = bench.others()
            for number in range(creations // ROUND):
                await bench.round(number)
                if bench.others() != before:
                    bench.wrong.append(f"round {number} touched what is others'")
                    before = bench.others()
    counts = ", ".join(f"{count} {name}" for name, count in sorted(bench.counts.items()))
    print(*bench.wrong, f"seed {seed}: {creations} creations ({counts}): {len(bench.wrong)} things wrong", sep="\n")
    return not bench.wrong


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(0 if trio.run(main, *given, *(200, 1)[len(given) :]) else 1)
