"""What the machine gives a benchmark at the moment: figures of two runs can be compared only where these agree."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.bench.common import show

_STEPS = 2_000_000
_COPIED = 64 << 20
_SWITCHES = 2000


@dataclass(frozen=True)
class Calibration:
    """The speed of the machine, and how much of it others leave.

    steps: millions of iterations of an empty Python loop in a second of processor time: the speed of a core.
    copy: GiB that are copied in memory in a second of processor time.
    share: of the time that the loop was ready to run, the share in which it ran; 1 on a machine that is idle.
    switch: microseconds to wake another process and be woken by it, by two pipes.
    load: processes that were ready to run, on average over the last minute (proc(5)).
    """

    steps: float
    copy: float
    share: float
    switch: float
    load: float

    @classmethod
    def now(cls) -> Self:
        """Measure, for a second or less on an idle machine."""
        began, used = time.perf_counter(), time.process_time()
        for _ in range(_STEPS):
            pass
        used, took = time.process_time() - used, time.perf_counter() - began
        load = float(Path("/proc/loadavg").read_text().split()[0])
        return cls(_STEPS / used / 1e6, _copies(), min(1.0, used / took), _switch(), load)


def _copies() -> float:
    source, sink = bytes(_COPIED), bytearray(_COPIED)
    sink[:] = source  # its memory is there now
    used = time.process_time()
    for _ in range(4):
        sink[:] = source
    return 4 * _COPIED / (1 << 30) / (time.process_time() - used)


def _switch() -> float:
    there, back = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        for _ in range(_SWITCHES):
            os.write(back[1], os.read(there[0], 1))
        os._exit(0)
    began = time.perf_counter()
    for _ in range(_SWITCHES):
        os.write(there[1], b"x")
        os.read(back[0], 1)
    took = time.perf_counter() - began
    os.waitpid(child, 0)
    for descriptor in (*there, *back):
        os.close(descriptor)
    return took / _SWITCHES * 1e6


def show_machine(before: Calibration, after: Calibration) -> None:
    """Print what the machine gave before and after a run."""
    names = {
        "Python, million steps per CPU second": "steps",
        "memory, GiB copied per CPU second": "copy",
        "share of a core that one process gets": "share",
        "two processes wake each other, µs": "switch",
        "load": "load",
    }
    rows = [(what, *(f"{getattr(each, name):.2f}" for each in (before, after))) for what, name in names.items()]
    show(f"This machine ({os.cpu_count()} cores): rates are as good as these figures", ["", "before", "after"], rows)
