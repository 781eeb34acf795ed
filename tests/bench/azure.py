"""What Azure costs: importing its SDK, a list of many machines, and how soon a cancelled spawn returns.

python -m tests.bench.azure [MACHINES]: against the fake ARM, in the same process, which so takes its part of the time.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import trio

from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from tests.support.azure.backend import azure, lead

IMPORTS = {
    "azure.mgmt.compute": "import azure.mgmt.compute.aio",
    "azure.mgmt.network": "import azure.mgmt.network.aio",
    "azure.identity": "import azure.identity.aio",
    "the backend, with all of them": "import swarmlib_backends.azure.engines",
    "the backend's name in a chain": "import swarmlib; swarmlib.Chain.read('azure --group prod')",
}


def seconds_of(program: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began


async def listing(arm: FakeArm, count: int) -> None:
    async with azure() as swarm:
        await swarm.spawn({"Image": "ubuntu"}, name="vm")
        (found,) = arm.state.of_type("Microsoft.Compute/virtualMachines")
        for number in range(count - 1):
            body = found.body | {"id": f"{found.body['id']}-{number}", "name": f"vm-{number}"}
            body["properties"] = found.properties | {"vmId": arm.state.uuid()}
            arm.plant(body, power="running")
        arm.asked.clear()
        began = time.perf_counter()
        listed = await swarm.ls()
        took = time.perf_counter() - began
        print(f"ls of {len(listed)} machines: {len(arm.asked)} calls of ARM, {took * 1000:.0f} ms")


async def cancelling(arm: FakeArm, *, halfway: bool) -> None:
    async with azure() as swarm:
        hanging = arm.faults.add(Fault("hang-halfway" if halfway else "hang", "PUT", "*/virtualMachines/*"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swarm.spawn, {"Image": "ubuntu"})
            await hanging.hit.wait()
            began = time.perf_counter()
            nursery.cancel_scope.cancel()
        took = time.perf_counter() - began
        where = "in the middle of its answer" if halfway else "before it answers"
        print(f"a spawn that is cancelled while ARM hangs {where} returns after {took * 1000:.1f} ms")


async def main(count: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        async with fakearm.serving() as arm:
            lead(arm, Path(folder), patch)
            await listing(arm, count)
            for halfway in (False, True):
                await cancelling(arm, halfway=halfway)


if __name__ == "__main__":
    bare = min(seconds_of("pass") for _ in range(3))
    for what, program in IMPORTS.items():
        print(f"{what}: {min(seconds_of(program) for _ in range(3)) - bare:.2f} s to import")
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 200)
