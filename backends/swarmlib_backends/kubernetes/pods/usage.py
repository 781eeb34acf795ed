"""What a container uses: the command that tells it second by second, out of the files of the kernel that a container
sees, and what is read of them. The files of control groups are those of their first or of their second version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarmlib import BadAnswer

from ...dockerapi.numbers import integer
from ...enginekit.stats import NANO, NO_TRAFFIC, Sample
from .shim import BUSYBOX

_GROUPS: Final = "/sys/fs/cgroup"
_MEMORY, _CPU = f"{_GROUPS}/memory/memory", f"{_GROUPS}/cpu/cpu.stat"
_CPUS: Final = f"{_GROUPS}/cpuacct/cpuacct"
_DISKS: Final = f"{_GROUPS}/blkio/blkio.throttle.io_service"
_FIRST: Final = (
    *(f"{_MEMORY}.{name}" for name in ("usage_in_bytes", "max_usage_in_bytes", "limit_in_bytes", "stat")),
    *(f"{_CPUS}.{name}" for name in ("usage", "usage_percpu", "stat")),
    _CPU,
    *(f"{_GROUPS}/pids/pids.{name}" for name in ("current", "max")),
    *(f"{_DISKS}{name}" for name in ("_bytes_recursive", "d_recursive")),
)
_SECOND: Final = tuple(
    f"{_GROUPS}/{name}"
    for name in ("memory.current", "memory.max", "memory.stat", "cpu.stat", "pids.current", "pids.max", "io.stat")
)
_TRAFFIC: Final = "/proc/net/dev"
_END: Final = "."
SCRIPT: Final = f"""
tell() {{
  while :; do
    {BUSYBOX} grep -sH "" {" ".join((*_FIRST, *_SECOND, _TRAFFIC))}
    {BUSYBOX} grep -H "^cpu" /proc/stat
    {BUSYBOX} grep -H "^MemTotal" /proc/meminfo
    echo {_END}
    {BUSYBOX} sleep 1
  done
}}
tell </dev/null &
teller=$!
{BUSYBOX} cat >/dev/null
kill "$teller"
"""
"""Each line is of a file, after its name and a colon; a line that is a dot ends a sample. It ends with its input."""
COMMAND: Final = (BUSYBOX, "sh", "-c", SCRIPT)
END: Final = f"\n{_END}\n".encode()
_TICK: Final = NANO // 100
"""Nanoseconds in the unit of the kernel's times of processors."""
_BUSY: Final = 7
"""The times of a processor that an engine adds up."""
_DISK: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,9}) (\w+) ([0-9]{1,20})")
_DISK_OF_SECOND: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,9}) (.*)")
_RECEIVED: Final = ("bytes", "packets", "errors", "dropped")
_SENT_AT: Final = 8
_LOOPBACK: Final = "lo"


def read(block: bytes, at: float) -> Sample:
    """Return what a sample of the command says. What a container can't see of itself is left out.

    at: when it was taken, in seconds since the epoch.

    Raises:
        BadAnswer: a file does not hold what the kernel writes into it.
    """
    lines: dict[str, list[str]] = {}
    for line in block.decode("utf-8", "replace").splitlines():
        name, _, text = line.partition(":")
        lines.setdefault(name, []).append(text)
    files = _Files(lines)
    return _second(files, at) if _SECOND[0] in lines else _first(files, at)


@dataclass(frozen=True)
class _Files:
    """The lines of files, by their names."""

    lines: Mapping[str, Sequence[str]]

    def of(self, name: str) -> Sequence[str]:
        """Return the lines of a file; none if there is no such file."""
        return self.lines.get(name, ())

    def number(self, name: str) -> int | None:
        """Return the number that a file holds; None for none, or for `max`."""
        text = next(iter(self.of(name)), "max").strip()
        return None if text == "max" else _number(text)

    def table(self, name: str) -> dict[str, int]:
        """Return the numbers of a file with a name before each."""
        rows = [line.split() for line in self.of(name)]
        return {row[0]: _number(row[1]) for row in rows if len(row) == 2}

    def machine(self) -> dict[str, Any]:
        """Return what is the same for both versions: the machine's processors, and the traffic."""
        rows = [line.split() for line in self.of("/proc/stat")]
        whole = [_number(each) for row in rows if row and row[0] == "cpu" for each in row[1 : _BUSY + 1]]
        return {
            "machine": sum(whole) * _TICK,
            "cpus": len([row for row in rows if row and row[0] != "cpu"]),
            "networks": dict(_interface(line) for line in self.of(_TRAFFIC) if ":" in line and not _is_own(line)),
        }

    def memory(self, limit: int | None) -> dict[str, int]:
        """Return the limit of the memory: that of the container, or what the machine has."""
        has = next(iter(self.of("/proc/meminfo")), "").split()
        known = [each for each in (limit, _number(has[1]) * 1024 if len(has) == 3 else None) if each is not None]
        return {"limit": min(known)} if known else {}

    def pids(self, name: str) -> dict[str, int]:
        """Return how many processes there are, and may be."""
        found = {"current": self.number(f"{name}.current"), "limit": self.number(f"{name}.max")}
        return {name: each for name, each in found.items() if each is not None}


def _number(text: str) -> int:
    found = integer(text)
    if found is None or found < 0:
        raise BadAnswer(f"the Pod gave a malformed number among what it uses: {text!r:.40}")
    return found


def _is_own(line: str) -> bool:
    return line.partition(":")[0].strip() == _LOOPBACK


def _interface(line: str) -> tuple[str, Mapping[str, int]]:
    name, _, text = line.partition(":")
    numbers = [_number(each) for each in text.split()]
    if len(numbers) < _SENT_AT + len(_RECEIVED):
        raise BadAnswer(f"the Pod gave a malformed line of an interface: {line!r:.200}")
    received = {f"rx_{what}": number for what, number in zip(_RECEIVED, numbers, strict=False)}
    sent = {f"tx_{what}": number for what, number in zip(_RECEIVED, numbers[_SENT_AT:], strict=False)}
    return name.strip(), {**NO_TRAFFIC, **received, **sent}


def _first(files: _Files, at: float) -> Sample:
    times, held = files.table(f"{_CPUS}.stat"), files.table(_CPU)
    named = {"usage": "usage_in_bytes", "max_usage": "max_usage_in_bytes"}
    memory = {name: files.number(f"{_MEMORY}.{file}") for name, file in named.items()}
    each_cpu = next(iter(files.of(f"{_CPUS}.usage_percpu")), None)
    return Sample(
        at,
        files.number(f"{_CPUS}.usage") or 0,
        times.get("user", 0) * _TICK,
        times.get("system", 0) * _TICK,
        each_cpu=None if each_cpu is None else [_number(each) for each in each_cpu.split()],
        throttled=_throttled(held, held.get("throttled_time", 0)),
        memory={
            **{name: value for name, value in memory.items() if value is not None},
            "stats": files.table(f"{_MEMORY}.stat"),
            **files.memory(files.number(f"{_MEMORY}.limit_in_bytes")),
        },
        pids=files.pids(f"{_GROUPS}/pids/pids"),
        blocks={
            "io_service_bytes_recursive": _disks(files.of(f"{_DISKS}_bytes_recursive")),
            "io_serviced_recursive": _disks(files.of(f"{_DISKS}d_recursive")),
        },
        **files.machine(),
    )


def _throttled(held: Mapping[str, int], time: int) -> dict[str, int]:
    periods = {"periods": held.get("nr_periods", 0), "throttled_periods": held.get("nr_throttled", 0)}
    return {**periods, "throttled_time": time}


def _disks(lines: Sequence[str]) -> list[dict[str, Any]]:
    found = [_DISK.fullmatch(line) for line in lines]  # a line `Total` is of all disks
    return [_entry(each[1], each[2], each[3], int(each[4])) for each in found if each]


def _entry(major: str, minor: str, op: str, value: int) -> dict[str, Any]:
    return {"major": int(major), "minor": int(minor), "op": op, "value": value}


def _second(files: _Files, at: float) -> Sample:
    times = files.table(f"{_GROUPS}/cpu.stat")
    return Sample(
        at,
        times.get("usage_usec", 0) * 1000,
        times.get("user_usec", 0) * 1000,
        times.get("system_usec", 0) * 1000,
        throttled=_throttled(times, times.get("throttled_usec", 0) * 1000),
        memory={
            "usage": files.number(f"{_GROUPS}/memory.current") or 0,
            "stats": files.table(f"{_GROUPS}/memory.stat"),
            **files.memory(files.number(f"{_GROUPS}/memory.max")),
        },
        pids=files.pids(f"{_GROUPS}/pids"),
        blocks={
            "io_service_bytes_recursive": _disks_of_second(files, "rbytes", "wbytes"),
            "io_serviced_recursive": _disks_of_second(files, "rios", "wios"),
        },
        **files.machine(),
    )


def _disks_of_second(files: _Files, read: str, write: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for each in map(_DISK_OF_SECOND.fullmatch, files.of(f"{_GROUPS}/io.stat")):
        values = dict(word.split("=", 1) for word in each[3].split() if "=" in word) if each else {}
        for op, name in (("read", read), ("write", write)):
            if each and name in values:
                found.append(_entry(each[1], each[2], op, _number(values[name])))
    return found
