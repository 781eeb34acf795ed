"""balance over simulated engines of 100 containers each: how start-up, memory, lists, placement and lookup grow.

    python -m tests.bench.cluster [--engines 10 100 1000]

Each number of engines is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import trio

from swarmlib import Chain, Client, Meta, Request, Verb
from swarmlib.asking import call
from swarmlib_backends.balance import Balance
from swarmlib_backends.balance.placement.placement import Placement
from swarmlib_backends.balance.spawning import NO_CONTAINER
from tests.bench.common import show
from tests.support.simulated import Engine

_CONTAINERS = 100
_GOALS = ("", "< 400", "", "< 1000", "< 10", "< 60")


class Held(Balance):
    """A balance whose stage can be looked into."""

    stage: Balance

    def handlers(self) -> dict[Verb, object]:  # type: ignore[override]
        """See `Server.handlers`."""
        Held.stage = self
        return dict(super().handlers())


def resident() -> float:
    """MiB that this process has resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def microseconds(times: int, action: Callable[[], object]) -> float:
    """The median of several rounds, for one of `times` actions."""
    rounds: list[float] = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            action()
        rounds.append((time.process_time() - began) / times * 1e6)
    return median(rounds)


async def cpu_of_a_call(sender: trio.abc.SendChannel[Request], path: tuple[str, ...]) -> float:
    """Microseconds of CPU of one `start`."""
    began = time.process_time()
    for _ in range(2000):
        await call(sender, Request(Verb.START, path, meta=Meta(version="1.41")))
    return (time.process_time() - began) / 2000 * 1e6


async def measure(engines: int) -> list[float]:
    """Start-up in seconds, MiB, `ls` in milliseconds, a placement, a lookup and a call's forwarding in microseconds."""
    simulated = [Engine(f"engine{number}") for number in range(engines)]
    for each in simulated:
        for number in range(_CONTAINERS):
            each.add(f"{each.label}-box{number}")
        each.told.clear()
    gc.collect()
    before, began = resident(), time.perf_counter()
    async with Chain(Held([Chain(each) for each in simulated], deadline=300.0)).open() as sender:
        client = Client(sender)
        await client.get("ping")
        started = time.perf_counter() - began
        gc.collect()
        memory = resident() - before
        lists: list[float] = []
        for _ in range(5):
            Held.stage._members.index.summaries.changed()
            began = time.perf_counter()
            await client.call(Verb.LS, ("containers",))
            lists.append(time.perf_counter() - began)
        index, members = Held.stage._members.index, Held.stage._members.all
        placement = Placement("spread", index, lambda _: True)
        placed = microseconds(20, lambda: placement.choose(NO_CONTAINER, members, {}))
        refs = [box.id[:12] for each in simulated for box in random.sample(list(each.boxes.values()), 5)]
        index.find("containers", refs[0])
        found = microseconds(1000, lambda: index.find("containers", random.choice(refs)))
        last = simulated[-1]
        last.quiet = True
        path = ("containers", next(iter(last.boxes)))
        async with Chain(last).open() as direct:
            through = await cpu_of_a_call(sender, path) - await cpu_of_a_call(direct, path)
    return [started, memory, median(lists) * 1000, placed, found, through]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(*trio.run(measure, given.one))
        return
    columns: list[list[float]] = []
    for engines in given.engines:
        command = [sys.executable, "-m", "tests.bench.cluster", "--one", str(engines)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        columns.append([float(figure) for figure in told.split()])
    names = (
        "start-up, s",
        "memory, MiB",
        "ls of all, ms",
        "placement, µs",
        "lookup by prefix, µs",
        "forwarding, µs of CPU",
    )
    rows = [(name, *(f"{each[row]:,.2f}" for each in columns), _GOALS[row]) for row, name in enumerate(names)]
    show(f"Engines of {_CONTAINERS} containers", ["", *(f"{each} engines" for each in given.engines), "goal"], rows)


if __name__ == "__main__":
    main()
