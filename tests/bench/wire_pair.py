"""The two processes of `tests.bench.wire`, and subjects that are measured in turns between them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from tests.bench.common import cpu_seconds

DELAY_MS = 50
Measure = Callable[[], Awaitable[float]]


@dataclass
class Far:
    """The other process, and where to reach it."""

    process: subprocess.Popen[str]
    port: int
    bare: int


@contextmanager
def far_process() -> Generator[Far]:
    """The other process, as long as the context."""
    with started("tests.bench.far") as process:
        assert process.stdout is not None
        port, bare = map(int, process.stdout.readline().split())
        yield Far(process, port, bare)


@contextmanager
def started(module: str, *words: str) -> Generator[subprocess.Popen[str]]:
    """A module of the tests in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", module, *words], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def delaying(port: int) -> Generator[int]:
    """The port of a relay to `port`, which delays what passes."""
    with started("tests.support.relay", str(port), "--delay-ms", str(DELAY_MS)) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


class Found(NamedTuple):
    """A rate, or a latency in milliseconds; and the processor time that both processes took for one unit of the rate,
    in seconds.
    """

    figure: float
    cpu: float


async def in_turns(far: Far, subjects: dict[str, Measure], rounds: int) -> dict[str, Found]:
    """The medians of each; they take turns, so that a noisy moment hits all of them alike."""
    found: dict[str, list[Found]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, measure in subjects.items():
            used, began = cpu_of_both(far), time.perf_counter()
            figure = await measure()
            processors = (cpu_of_both(far) - used) / (time.perf_counter() - began)
            found[name].append(Found(figure, processors / figure))
    return {name: Found(*map(median, zip(*each, strict=True))) for name, each in found.items()}


def cpu_of_both(far: Far) -> float:
    """Seconds of processor time that this process and the other one have taken."""
    return time.process_time() + cpu_seconds(far.process.pid)
