"""What a container may use: the limits and requests of its Pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from swarmlib import Invalid

from ...dockerapi.nullable import dict_of, list_of
from .fields import refused
from .options import PodOptions

_MILLI: Final = 1_000_000
"""Billionths of a CPU in a thousandth, the smallest part that Kubernetes knows."""
_PERIOD: Final = 100_000
"""Microseconds: the kernel's period, if a quota is given without one."""
_SHARES: Final = 1024
"""The shares that stand for a CPU, by Kubernetes."""
_GPU: Final = "nvidia.com/gpu"
_GPU_WORDS: Final = frozenset({"gpu", "nvidia", "compute", "compat32", "graphics", "utility", "video", "display"})
_PLACE: Final = "HostConfig.DeviceRequests"


def resources(host: Mapping[str, Any], options: PodOptions) -> dict[str, Any]:
    """Return the resources of a container; empty if it asks for none.

    Raises:
        Unsupported: it asks for devices that a Pod can't have. Invalid: an amount is negative.
    """
    memory, cpu = _amount(host, "Memory"), _cpu(host)
    limits: dict[str, Any] = {}
    requests: dict[str, Any] = {}
    if memory:
        limits["memory"] = str(memory)
        requests["memory"] = str(round(memory * options.requests))
    if cpu:
        limits["cpu"] = f"{cpu}m"
        requests["cpu"] = f"{round(cpu * options.requests)}m"
    if reserved := _amount(host, "MemoryReservation"):
        requests["memory"] = str(min(reserved, memory or reserved))
    if shares := _amount(host, "CpuShares"):
        wanted = -(-shares * 1000 // _SHARES)
        requests["cpu"] = f"{min(wanted, cpu or wanted)}m"
    if gpus := sum(_gpus(list_of(host.get("DeviceRequests")))):
        limits[_GPU] = str(gpus)
    return {name: each for name, each in (("limits", limits), ("requests", requests)) if each}


def _amount(host: Mapping[str, Any], name: str) -> int:
    amount = int(host.get(name) or 0)
    if amount < 0:
        raise Invalid(f"HostConfig.{name} must be 0 or more, not {amount}")
    return amount


def _cpu(host: Mapping[str, Any]) -> int:
    """Return the thousandths of a CPU that a container may use, rounded up; 0 for no limit."""
    if nano := _amount(host, "NanoCpus"):
        return -(-nano // _MILLI)
    quota, period = int(host.get("CpuQuota") or 0), int(host.get("CpuPeriod") or 0)
    if period and quota <= 0:
        raise refused(("HostConfig.CpuPeriod", "it has a meaning only together with CpuQuota"))
    return -(-quota * 1000 // (period or _PERIOD)) if quota > 0 else 0


def _gpus(requests: list[Any]) -> Iterator[int]:
    for request in map(dict_of, requests):
        words = {word for words in list_of(request.get("Capabilities")) for word in words}
        if request.get("Driver") not in (None, "", "nvidia") or "gpu" not in words or not words <= _GPU_WORDS:
            raise refused((_PLACE, "GPUs of NVIDIA are the devices that it can ask for"))
        if list_of(request.get("DeviceIDs")) or dict_of(request.get("Options")):
            raise refused((_PLACE, "the node chooses the GPUs; ask for a number of them, without options"))
        if (count := int(request.get("Count") or 0)) < 1:
            raise refused((_PLACE, "a Pod asks for a number of GPUs, such as --gpus 1"))
        yield count
