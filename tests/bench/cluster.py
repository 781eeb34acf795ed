"""balance over simulated engines of 100 containers each: how start-up, memory, lists, placement and lookup grow.

    python -m tests.bench.cluster [--engines 10 100 1000] [--rounds 3] [--beside OTHER/.venv/bin/python]

Each number of engines is measured in a process of its own, as often as there are rounds; the figures are medians.
Another checkout, if one is named, takes turns with this one.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import trio
import trio.testing

from swarmlib import Chain, Client, Meta, Request, Verb
from swarmlib.asking import call
from swarmlib_backends.balance import Balance
from swarmlib_backends.balance.mirror import CLAIMS
from swarmlib_backends.balance.placement.placement import Placement
from swarmlib_backends.balance.spawning import NO_CONTAINER
from tests.bench.common import add_beside, pythons, show
from tests.support.simulated import Engine

_CONTAINERS = 100
_ROWS = {
    "start-up, s": "",
    "memory, MiB": "< 400",
    "memory with lists, MiB": "",
    "ls after one change, ms of CPU": "",
    "ls after none, ms of CPU": "",
    "placement, µs of CPU": "< 1000",
    "lookup by prefix, µs of CPU": "< 10",
    "forwarding, µs of CPU": "< 60",
}
"""What is measured, and the goal."""


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


async def cpu_of_lists(client: Client, change: Callable[[], None]) -> float:
    """Milliseconds of CPU of a list of the running containers, the median of several; a change precedes each."""
    lists: list[float] = []
    for _ in range(15):
        change()
        await trio.testing.wait_all_tasks_blocked()
        began = time.process_time()
        await client.call(Verb.LS, ("containers",))
        lists.append((time.process_time() - began) * 1000)
    return median(lists)


def full(label: str) -> Engine:
    """An engine whose containers have run for hours, days or weeks."""
    made = Engine(label)
    for number in range(_CONTAINERS):
        box = made.add(f"{label}-box{number}")
        box.created -= random.uniform(3, 500) * 3600
        box.started = box.created + 1
    made.told.clear()
    return made


def restart_one(engines: Sequence[Engine]) -> None:
    """Change one container of one engine."""
    engine = random.choice(engines)
    box = random.choice(list(engine.boxes.values()))
    box.started = time.time() - 3 * 3600
    engine.tell("restart", box)


async def measure(engines: int) -> list[float]:
    """Measure what the rows of the table tell."""
    simulated = [full(f"engine{number}") for number in range(engines)]
    gc.collect()
    before, began = resident(), time.perf_counter()
    async with Chain(Held([Chain(each) for each in simulated], deadline=300.0)).open() as sender:
        client = Client(sender)
        await client.get("ping")
        started = time.perf_counter() - began
        gc.collect()
        memory = resident() - before
        index, members = Held.stage._members.index, Held.stage._members.all
        for member in members:
            await member.settle(CLAIMS)  # which is known once lists have been asked for often enough
        changed = await cpu_of_lists(client, partial(restart_one, simulated))
        unchanged = await cpu_of_lists(client, lambda: None)
        gc.collect()
        with_lists = resident() - before
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
    return [started, memory, with_lists, changed, unchanged, placed, found, through]


def measured(python: str, engines: int) -> list[float]:
    """Measure in a process of its own."""
    command = [python, "-m", "tests.bench.cluster", "--one", str(engines)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(figure) for figure in told.split()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    add_beside(parser)
    given = parser.parse_args()
    if given.one:
        print(*trio.run(measure, given.one))
        return
    columns: dict[str, list[float]] = {}
    subjects = pythons(given, "here")
    for engines in given.engines:
        runs: dict[str, list[list[float]]] = {name: [] for name in subjects}
        for _ in range(given.rounds):
            for name, python in subjects.items():
                runs[name].append(measured(python, engines))
        for name, figures in runs.items():
            columns[f"{engines} engines, {name}"] = [median(row) for row in zip(*figures, strict=True)]
    rows = [
        (name, *(f"{each[row]:,.2f}" for each in columns.values()), goal)
        for row, (name, goal) in enumerate(_ROWS.items())
    ]
    show(f"Engines of {_CONTAINERS} containers", ["", *columns, "goal"], rows)


if __name__ == "__main__":
    main()
