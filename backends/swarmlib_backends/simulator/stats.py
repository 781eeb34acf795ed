"""What a container uses, as `stats` shows it: made of what its programs say that they use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ..dockerapi.values import NEVER, stamp
from .container import Container
from .engine import Engine
from .processes import processes_in

_LEAST_MEMORY: Final = 600_000
"""Bytes that a process has if it says nothing."""
_NANO: Final = 10**9
_NO_BLOCKS: Final[dict[str, Any]] = dict.fromkeys(
    (
        *("io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive"),
        *("io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive"),
    )
)


@dataclass(frozen=True)
class Sample:
    """What a container used up to a moment: CPU seconds of its own and of the machine, bytes, processes."""

    at: float = 0
    """0 for one that doesn't run, and uses nothing."""
    busy: float = 0
    machine: float = 0
    memory: int = 0
    pids: int = 0


def sample(engine: Engine, container: Container) -> Sample:
    """Return what a container uses now."""
    if not container.running or container.restarting:
        return Sample()
    now, found = engine.clock.now(), processes_in(container)
    memory = sum(max(process.memory, _LEAST_MEMORY) for process in found) or _LEAST_MEMORY
    return Sample(now, sum(process.busy for process in found), now * engine.cpus, memory, len(found) or 1)


def shown(engine: Engine, container: Container, before: Sample, now: Sample) -> dict[str, Any]:
    """Return one message of `stats`."""
    alive = bool(now.at)
    limit = container.host["Memory"] or engine.memory
    memory = {"usage": now.memory, "max_usage": now.memory, "stats": {"cache": 0}, "limit": limit}
    block: dict[str, Any] = {name: [] for name in _NO_BLOCKS} if alive else _NO_BLOCKS
    networks = {"networks": {f"eth{n}": _IDLE for n in range(len(container.networks))}} if alive else {}
    return {
        "read": stamp(now.at) if alive else NEVER,
        "preread": stamp(before.at) if before.at else NEVER,
        "pids_stats": {"current": now.pids} if alive else {},
        "blkio_stats": block,
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(now, engine.cpus),
        "precpu_stats": _cpu(before, engine.cpus),
        "memory_stats": memory if alive else {},
        "name": f"/{container.name}",
        "id": container.id,
        **networks,
    }


_IDLE: Final = {f"{way}_{what}": 0 for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "dropped")}


def _cpu(used: Sample, cpus: int) -> dict[str, Any]:
    total = int(used.busy * _NANO)
    usage: dict[str, Any] = {"total_usage": total, "usage_in_kernelmode": 0, "usage_in_usermode": total}
    machine: dict[str, Any] = {}
    if used.at:
        usage["percpu_usage"] = [total // cpus] * cpus
        machine = {"system_cpu_usage": int(used.machine * _NANO), "online_cpus": cpus}
    throttling = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
    return {"cpu_usage": usage, **machine, "throttling_data": throttling}


def clock_time(at: float) -> str:
    """Return a time of the day, as `top` shows when a process was started."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")
