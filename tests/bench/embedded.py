"""Calls a second of one connection: from trio, from threads, from asyncio tasks.

python -m tests.bench.embedded [--seconds 0.5] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from swarmlib import Request, Server, connect
from swarmlib.client import aio, sync
from tests.bench.common import in_turns, show


class Answering(Server):
    """Answers."""

    async def get(self, _: Request) -> int:
        """Give a small value."""
        return 1


async def _trio(seconds: float) -> float:
    async with connect(Answering()) as swarm:
        return await _awaited(swarm.get, seconds)


async def _awaited(call: Callable[[], Awaitable[object]], seconds: float) -> float:
    calls, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        await call()
        calls += 1
    return calls / took


def _threads(count: int, seconds: float) -> float:
    rates: list[float] = []

    def use() -> None:
        calls, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            swarm.get()
            calls += 1
        rates.append(calls / took)

    with sync.connect(Answering()) as swarm:
        threads = [threading.Thread(target=use) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(rates)


async def _tasks(count: int, seconds: float) -> float:
    async with aio.connect(Answering()) as swarm:
        return sum(await asyncio.gather(*(_awaited(swarm.get, seconds) for _ in range(count))))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    subjects: dict[str, Callable[[], float]] = {"trio, one task": partial(trio.run, _trio, given.seconds)}
    for count in (1, 10):
        subjects[f"sync, threads: {count}"] = partial(_threads, count, given.seconds)
    for count in (1, 100):
        subjects[f"asyncio, tasks: {count}"] = lambda count=count: asyncio.run(_tasks(count, given.seconds))
    found = in_turns(subjects, given.rounds)
    rows = [(name, f"{rate:,.0f}", f"{1e6 / rate:,.0f}") for name, rate in found.items()]
    show("Calls through one connection", ["from", "calls/s", "µs a call"], rows)


if __name__ == "__main__":
    main()
