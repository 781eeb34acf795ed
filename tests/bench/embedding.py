"""Lists of 100 workloads in a Python program: the client over a simulator and over a real engine, beside docker-py.

docker-py's `containers.list()` inspects each container besides; its `api.containers()` is the bare list, as `ls` is.
The engine's own answer is most of what the three on it take: the simulator's row shows what swarmlib itself costs.

python -m tests.bench.embedding [--containers 100] [--calls 1000] [--simulator CHAIN]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import docker
import trio

from swarmlib import connect
from tests.bench.common import show
from tests.support.engines import engine


def rate(call: Callable[[], object], calls: int) -> float:
    """Calls a second, one after another."""
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return calls / (time.perf_counter() - began)


async def ls_rate(chain: str, containers: int, calls: int) -> float:
    """Lists a second through a chain; each is of as many workloads as it should be."""
    async with connect(chain) as swarm:
        began = time.perf_counter()
        for _ in range(calls):
            found = await swarm.ls(all=True)
            if len(found) != containers:
                raise RuntimeError(f"{chain} lists {len(found)} workloads, not {containers}")
        return calls / (time.perf_counter() - began)


async def create(chain: str, number: int) -> None:
    """Make containers."""
    async with connect(chain) as swarm:
        for _ in range(number):
            await swarm.spawn({"Image": "busybox"})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--calls", type=int, default=1000, help="a tenth of it for docker-py's slow list")
    parser.add_argument("--simulator", default="simulator --containers {}", help="a chain with as many workloads")
    given = parser.parse_args()
    number: int = given.containers
    calls: int = given.calls
    with engine() as real:
        chain = f"docker {real.host}"
        trio.run(create, chain, number)
        sdk = docker.DockerClient(base_url=real.host)
        simulator = given.simulator.format(number)
        found = {
            f"swarm.ls(), {simulator}": trio.run(ls_rate, simulator, number, calls),
            "swarm.ls(), docker": trio.run(ls_rate, chain, number, calls),
            "docker-py, api.containers()": rate(partial(sdk.api.containers, all=True), calls),
            "docker-py, containers.list()": rate(partial(sdk.containers.list, all=True), max(calls // 10, 1)),
        }
        sdk.close()
    rows = [(name, f"{each:,.0f}", f"{1e3 / each:,.2f}") for name, each in found.items()]
    show(f"Lists of {number} workloads, one after another", ["by", "calls/s", "ms each"], rows)


if __name__ == "__main__":
    main()
