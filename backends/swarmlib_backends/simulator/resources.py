"""The bounds of what a container may have of the machine, which an engine checks at a create and at an update."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ..dockerapi import capabilities
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal
from ..enginekit.mounts import check_temporary
from .engine import Engine

_LEAST_MEMORY: Final = 6 * 1024 * 1024
_CFS_PERIODS: Final = range(1000, 1_000_001)
"""In microseconds."""
_OOM_SCORES: Final = range(-1000, 1001)
RUNTIMES: Final = ("io.containerd.runc.v2", "io.containerd.runtime.v1.linux", "runc")


def check_resources(host: Mapping[str, Any], engine: Engine) -> None:
    """Raise `Invalid` unless the machine has what is asked for."""
    _check_memory(host)
    _check_cpu(host, engine.cpus)
    for name, what, count in (("CpusetCpus", "cpus", engine.cpus), ("CpusetMems", "mems", 1)):
        if named := str(host.get(name) or ""):
            _check_set(named, what, count)


def _check_memory(host: Mapping[str, Any]) -> None:
    memory, swap, reserved, kernel = (
        int(host.get(name) or 0) for name in ("Memory", "MemorySwap", "MemoryReservation", "KernelMemory")
    )
    swappiness = host.get("MemorySwappiness")
    if memory and memory < _LEAST_MEMORY:
        raise refusal(400, "Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise refusal(400, "Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0:
        raise refusal(400, "You should always set the Memory limit when using Memoryswap limit, see usage")
    if swappiness is not None and swappiness not in range(-1, 101):
        raise refusal(400, f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if 0 < reserved < _LEAST_MEMORY:
        raise refusal(400, "Minimum memory reservation allowed is 6MB")
    if 0 < memory < reserved:
        raise refusal(400, "Minimum memory limit can not be less than memory reservation limit, see usage")
    if 0 < kernel < _LEAST_MEMORY:
        raise refusal(400, "Minimum kernel memory limit allowed is 6MB")


def _check_cpu(host: Mapping[str, Any], there: int) -> None:
    cpus, period, quota = (int(host.get(name) or 0) for name in ("NanoCpus", "CpuPeriod", "CpuQuota"))
    for name, value in (("Period", period), ("Quota", quota)):
        if cpus > 0 and value > 0:
            raise refusal(400, f"Conflicting options: Nano CPUs and CPU {name} cannot both be set")
    if cpus < 0 or cpus > there * 10**9:
        text = f"Range of CPUs is from 0.01 to {there}.00, as there are only {there} CPUs available"
        raise refusal(400, text)
    if period and period not in _CFS_PERIODS:
        text = "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        raise refusal(400, text)
    if 0 < quota < _CFS_PERIODS.start:
        raise refusal(400, "CPU cfs quota can not be less than 1ms (i.e. 1000)")


def _check_set(named: str, what: str, count: int) -> None:
    highest = 0
    for part in named.split(","):
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part)
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise refusal(400, f"Invalid value {named} for cpuset {what}: invalid format: {part}")
        highest = max(highest, int(found[2] or found[1]))
    if highest >= count:
        kind, available = "CPUs" if what == "cpus" else "memory nodes", f"0-{count - 1}" if count > 1 else "0"
        raise refusal(400, f"Requested {kind} are not available - requested {named}, available: {available}")


def check_privileges(host: Mapping[str, Any]) -> None:
    """Raise what is said of rights, scores, runtimes and places that there are none of."""
    for name in ("CapAdd", "CapDrop"):
        for given in list_of(host.get(name)):
            capability = capabilities.plain(given)
            if capability not in capabilities.KNOWN:
                raise refusal(400, f'invalid {name}: unknown capability: "CAP_{capability}"')
    score, mode, runtime = host.get("OomScoreAdj") or 0, host.get("CgroupnsMode") or "", host.get("Runtime") or "runc"
    if score not in _OOM_SCORES:
        raise refusal(400, f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    if runtime not in RUNTIMES:
        raise refusal(400, f"Unknown runtime specified {runtime}")
    check_temporary(host)
    if mode not in ("", "host", "private"):
        raise refusal(400, f"invalid cgroup namespace mode: {mode}")


def check_security(host: Mapping[str, Any]) -> None:
    """Refuse security options that there are none of. Raises `SwarmError`."""
    for option in list_of(host.get("SecurityOpt")):
        _check_security_option(option)


def _check_security_option(option: str) -> None:
    if option in ("no-new-privileges", "disable"):
        return
    name, separator, value = option.partition("=" if "=" in option else ":")
    if not separator:
        raise refusal(500, f'invalid --security-opt 1: "{option}"')
    is_switch = name == "no-new-privileges" and value in ("true", "false")
    if name not in ("label", "apparmor", "seccomp") and not is_switch:
        raise refusal(500, f'invalid --security-opt 2: "{option}"')


def check_storage(host: Mapping[str, Any]) -> None:
    """Refuse options of a container's storage, of which the file system below has none. Raises `SwarmError`."""
    options = dict_of(host.get("StorageOpt"))
    if any(name.lower() == "size" for name in options):
        raise refusal(500, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
    for name in options:
        raise refusal(500, f"Unknown option {name}")


def check_of_other_systems(host: Mapping[str, Any]) -> None:
    """Raise what is said of options that only other operating systems than Linux have."""
    isolation = str(host.get("Isolation") or "")
    if isolation.lower() not in ("", "default"):
        raise refusal(500, f"Invalid isolation: \"{isolation}\" - linux only supports 'default'")
    for name, what in (("IOMaximumIOps", "IOPs"), ("IOMaximumBandwidth", "bandwidth")):
        if host.get(name):
            raise refusal(500, f"Invalid QoS settings: linux does not support configuration of maximum {what}")
