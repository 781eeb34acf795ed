"""What a container uses, made of what its programs say that they use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from ..enginekit.stats import NANO, NO_TRAFFIC, Sample
from .container import Container
from .engine import Engine
from .processes import processes_in

_LEAST_MEMORY: Final = 600_000
"""Bytes that a process has if it says nothing."""


def sample(engine: Engine, container: Container) -> Sample:
    """Return what a container uses now."""
    if not container.running or container.restarting:
        return Sample()
    now, found = engine.clock.now(), processes_in(container)
    memory = sum(max(process.memory, _LEAST_MEMORY) for process in found) or _LEAST_MEMORY
    total = int(sum(process.busy for process in found) * NANO)
    return Sample(
        now,
        total,
        user=total,
        each_cpu=[total // engine.cpus] * engine.cpus,
        machine=int(now * engine.cpus * NANO),
        cpus=engine.cpus,
        memory={
            "usage": memory,
            "max_usage": memory,
            "stats": {"cache": 0},
            "limit": container.host["Memory"] or engine.memory,
        },
        pids={"current": len(found) or 1},
        networks={f"eth{n}": NO_TRAFFIC for n in range(len(container.networks))},
    )


def clock_time(at: float) -> str:
    """Return a time of the day, as `top` shows when a process was started."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")
