"""What a container uses, as an engine's `stats` shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmlib import Invalid, Request

from ..dockerapi.operations import ContainerStats
from ..dockerapi.values import NEVER, stamp
from .stdio import stream_headers

NANO: Final = 10**9
_BLOCK: Final = (
    *("io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive"),
    *("io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive"),
)
NO_TRAFFIC: Final[Mapping[str, int]] = {
    f"{way}_{what}": 0 for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "dropped")
}
"""What an interface has sent and received that nobody has used."""


@dataclass(frozen=True)
class Sample:
    """What a container has used up to a moment.

    Attributes:
        at: that moment, in seconds since the epoch; 0 for a container that doesn't run, and uses nothing.
        total, user, kernel: nanoseconds of CPU time. each_cpu: the same for each CPU; None if it is not known.
        machine: nanoseconds of CPU time that all of the machine has had. cpus: how many it has.
        throttled: how often the container was held back, as an engine names it.
        memory: as an engine shows it. pids: how many processes and threads there are, and may be.
        networks: the traffic of each interface. blocks: the entries of disks, by the names of their lists.
    """

    at: float = 0.0
    total: int = 0
    user: int = 0
    kernel: int = 0
    each_cpu: Sequence[int] | None = None
    machine: int = 0
    cpus: int = 0
    throttled: Mapping[str, int] = field(default_factory=dict[str, int])
    memory: Mapping[str, Any] = field(default_factory=dict[str, Any])
    pids: Mapping[str, int] = field(default_factory=dict[str, int])
    networks: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    blocks: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]])


@dataclass(eq=False)
class Asked:
    """What a request for stats wants: again and again (`streams`), or once, without the sample before (`at_once`)."""

    request: Request
    streams: bool
    at_once: bool
    _acknowledged: bool = False

    @classmethod
    def of(cls, request: Request) -> Asked:
        """Return what a request wants. Raises `Invalid` if it can't have it."""
        asked = ContainerStats.of(request)
        if asked.stream and asked.one_shot:
            raise Invalid("cannot have stream=true and one-shot=true")
        return cls(request, asked.stream, asked.one_shot)

    async def ack(self) -> None:
        """Acknowledge it, unless that was done."""
        if self._acknowledged:
            return
        self._acknowledged = True
        headers = stream_headers(None if self.streams else b"application/json")
        await self.request.reply.ack(details={"headers": headers})


def shown(id: str, name: str, before: Sample, now: Sample) -> dict[str, Any]:
    """Return one message of `stats`, of a container's id and name, and its last two samples."""
    alive = bool(now.at)
    return {
        "read": stamp(now.at) if alive else NEVER,
        "preread": stamp(before.at) if before.at else NEVER,
        "pids_stats": dict(now.pids),
        "blkio_stats": {each: now.blocks.get(each, []) if alive else None for each in _BLOCK},
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(now),
        "precpu_stats": _cpu(before),
        "memory_stats": dict(now.memory),
        "name": f"/{name}",
        "id": id,
        **({"networks": {each: dict(traffic) for each, traffic in now.networks.items()}} if alive else {}),
    }


def _cpu(used: Sample) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "total_usage": used.total,
        "usage_in_kernelmode": used.kernel,
        "usage_in_usermode": used.user,
    }
    machine: dict[str, Any] = {}
    if used.at:
        usage |= {} if used.each_cpu is None else {"percpu_usage": list(used.each_cpu)}
        machine = {"system_cpu_usage": used.machine, "online_cpus": used.cpus}
    throttling = {"periods": 0, "throttled_periods": 0, "throttled_time": 0, **used.throttled}
    return {"cpu_usage": usage, **machine, "throttling_data": throttling}
