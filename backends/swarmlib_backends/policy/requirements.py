"""What a rule requires of a container: limits on its memory, CPUs and processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swarmlib.quantities import shown_bytes

_PERIOD = 100_000
"""The period of the CPU quota in microseconds that an engine uses if none is given."""


@dataclass(frozen=True)
class Requirements:
    """The limits that a container must have: each at most as high as here. None requires no limit.

    Attributes:
        memory: bytes.
        cpus: cores.
        pids: processes and threads.
    """

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None

    def missed_by(self, body: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is missing in the body of a container's creation, in words."""
        host: Mapping[str, Any] = body.get("HostConfig") or {}
        if self.memory is not None:
            yield from _memory(host, self.memory)
        if self.cpus is not None and not 0 < _cpus(host) <= self.cpus:
            yield f"a limit of at most {self.cpus:g} CPUs (NanoCpus, or CpuQuota)"
        if self.pids is not None and not 0 < host.get("PidsLimit", 0) <= self.pids:
            yield f"a limit of at most {self.pids} processes (PidsLimit)"


def _memory(host: Mapping[str, Any], most: int) -> Iterator[str]:
    memory, swap = host.get("Memory", 0), host.get("MemorySwap", 0)
    if not 0 < memory <= most:
        yield f"a limit of at most {shown_bytes(most)} of memory (Memory)"
    if swap and not 0 < swap <= 2 * most:  # 0 is twice the memory, which is what an engine uses
        yield f"a limit of at most {shown_bytes(2 * most)} of memory and swap (MemorySwap)"


def _cpus(host: Mapping[str, Any]) -> float:
    if host.get("NanoCpus"):
        return float(host["NanoCpus"]) / 1e9
    return float(host.get("CpuQuota", 0)) / (host.get("CpuPeriod") or _PERIOD)
