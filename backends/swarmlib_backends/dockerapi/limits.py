"""The limits that a container's HostConfig sets on what it uses; None where it sets none, as the engine reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PERIOD: Final = 100_000
"""The period of the CPU quota in microseconds that an engine uses if none is given."""


def memory(host: Mapping[str, Any]) -> int | None:
    """Return the bytes of memory that it may use: half of memory and swap, if that is more, as swap is used like it."""
    limit, swap = host.get("Memory") or 0, host.get("MemorySwap") or 0
    if limit <= 0 or swap < 0:
        return None
    return max(int(limit), (int(swap) + 1) // 2)


def cpus(host: Mapping[str, Any]) -> int | None:
    """Return the billionths of a CPU that it may use."""
    nano, quota = host.get("NanoCpus") or 0, host.get("CpuQuota") or 0
    if nano > 0:
        return int(nano)
    return int(quota) * 10**9 // (host.get("CpuPeriod") or _PERIOD) if quota > 0 else None


def pids(host: Mapping[str, Any]) -> int | None:
    """Return the number of processes and threads that it may have."""
    limit = host.get("PidsLimit") or 0
    return int(limit) if limit > 0 else None
