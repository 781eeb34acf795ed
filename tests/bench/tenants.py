"""Many tenants, each with containers of its own, over one simulated engine: the memory that they take, how long it
takes to count what is there, and what a creation and a list take, for a tenant with a quota and without the stage.

    python -m tests.bench.tenants [--tenants 1000] [--containers 10] [--calls 200]
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Chain, Client, Sender
from swarmlib_backends.simulator import Simulator
from swarmlib_backends.tenant import Tenant
from tests.bench.common import show
from tests.support.tenants import As

_BODY = {"Image": "busybox", "Cmd": ["sleep", "infinity"]}
_HOST = {"Memory": 2**26, "NanoCpus": 10**8, "PidsLimit": 100, "NetworkMode": "none"}
_OWN = {**_BODY, "HostConfig": _HOST}
_TENANT = """
[clients.c{0}]
users = [{0}]
[tenant.t{0}]
clients = ["c{0}"]
images = ["busybox"]
[tenant.t{0}.quota]
"""
_QUOTA = {"containers": 10_000, "running": 1000, "memory": '"1000GiB"', "cpus": 1000, "pids": 1_000_000}


def file(tenants: int) -> str:
    """The file of tenants, each of a user of its own."""
    limits = "\n".join(f"{name} = {limit}" for name, limit in _QUOTA.items())
    return "\n".join(_TENANT.format(number) + limits for number in range(tenants))


async def fill(engine: Client, tenants: int, containers: int) -> None:
    """Make the containers, all running, by another way than the stage."""
    for number in range(tenants):
        for each in range(containers):
            body = {**_BODY, "HostConfig": _HOST, "Labels": {"swarmlib.tenant": f"t{number}"}}
            made = await engine.spawn(body, name=f"t{number}.c{each}")
            await engine.start("containers", made.id)


async def timed(run: Callable[[int], Awaitable[object]], calls: int) -> float:
    """Milliseconds of a call, as the median."""
    taken: list[float] = []
    for number in range(calls):
        began = time.perf_counter()
        await run(number)
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


async def counting(engine: Sender, path: Path) -> tuple[float, float]:
    """MiB that the stage takes, and seconds until it has counted what a tenant has, and admits it."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    async with Tenant(path).open(engine) as stage, As("uid:1").open(stage) as inlet:
        await Client(inlet).spawn(_OWN, name="first")
        gc.collect()
        memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    began = time.perf_counter()
    async with Tenant(path).open(engine) as stage, As("uid:1").open(stage) as inlet:
        await Client(inlet).spawn(_OWN, name="second")
        return memory / 2**20, time.perf_counter() - began


async def calls(who: Client, prefix: str, given: argparse.Namespace) -> list[float]:
    """Milliseconds of each kind of call."""
    run: list[Callable[[int], Awaitable[object]]] = [
        lambda number: who.spawn(_OWN, name=f"{prefix}{number}"),
        lambda number: who.start("containers", f"{prefix}{number}"),
        lambda number: who.get("containers", f"{prefix}{number}"),
        lambda _: who.ls(all=True, filters={"label": "swarmlib.tenant=t2"} if prefix == "direct" else {}),
    ]
    return [await timed(each, given.calls) for each in run]


async def measure(path: Path, given: argparse.Namespace) -> None:
    """Measure and print."""
    async with Chain(Simulator()).open() as engine:
        await fill(Client(engine), given.tenants, given.containers)
        memory, seconds = await counting(engine, path)
        async with Tenant(path).open(engine) as stage, As("uid:2").open(stage) as inlet:
            await wait_all_tasks_blocked()  # until all is counted
            taken = [await calls(Client(inlet), "own", given), await calls(Client(engine), "direct", given)]
    names = ("create", "start", "inspect", "list")
    rows = [(name, f"{own:.2f}", f"{direct:.2f}") for name, own, direct in zip(names, *taken, strict=True)]
    show(f"{given.tenants} tenants with {given.containers} containers each: ms", ["", "tenant", "direct"], rows)
    show(
        "The stage",
        ["", "figure"],
        [("memory, MiB", f"{memory:.1f}"), ("until a tenant is admitted, s", f"{seconds:.2f}")],
    )


def main() -> None:
    """Read the options, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--containers", type=int, default=10)
    parser.add_argument("--calls", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tenants.toml")
        path.write_text(file(given.tenants))
        trio.run(measure, path, given)


if __name__ == "__main__":
    main()
