"""The simulator at size: its memory, how long a list takes, and a thousand lists of a hundred containers.

    python -m tests.bench.simulator [--containers 100000]

Each size runs in a process of its own, so that its memory is its own.
"""

import argparse
import subprocess
import sys
import time
from statistics import median

import orjson
import trio

from swarmlib import Verb, connect
from tests.bench.common import show

SIZES = (100, 1_000, 10_000, 100_000)


def _resident() -> float:
    """MiB that this process has resident now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20


async def _measure(containers: int) -> dict[str, float]:
    before = _resident()
    begun = time.perf_counter()
    async with connect(f"simulator --containers {containers} --seed 1") as client:
        opened = time.perf_counter() - begun
        first = await _list(client.call)
        memory = _resident() - before
        again = median([await _list(client.call) for _ in range(5)])
        changed = []
        for _ in range(5):
            (newest,) = await client.ls(limit="1")
            await client.set("containers", newest["Id"], "pause" if newest["State"] == "running" else "unpause")
            changed.append(await _list(client.call))
        begun = time.perf_counter()
        for _ in range(1000 if containers <= 100 else 10):
            await client.call(Verb.LS, ("containers",))
        many = time.perf_counter() - begun
    return {"open": opened, "first": first, "again": again, "changed": median(changed), "memory": memory, "many": many}


async def _list(call: object) -> float:
    begun = time.perf_counter()
    answer = await call(Verb.LS, ("containers",), params={"all": "1"})  # type: ignore[operator]
    assert answer.before[-1].value.raw
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, help="measure this size only, and print its figures as JSON")
    options = parser.parse_args()
    if options.containers is not None:
        print(orjson.dumps(trio.run(_measure, options.containers)).decode())
        return
    rows: list[list[str]] = []
    for size in SIZES:
        command = [sys.executable, "-m", "tests.bench.simulator", "--containers", str(size)]
        found = orjson.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        times = [f"{found[name] * 1000:,.2f}" for name in ("open", "first", "again", "changed")]
        many = f"{found['many'] * 1000:,.0f}" if size <= 100 else ""
        rows.append([f"{size:,}", *times, f"{found['memory']:,.0f}", f"{found['memory'] * 1024 / size:,.1f}", many])
    columns = ["containers", "open", "first ls", "again", "changed", "MiB", "KiB each", "1,000 ls"]
    show("the simulator at size (times in ms)", columns, rows)


if __name__ == "__main__":
    main()
