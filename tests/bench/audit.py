"""What an audit costs: requests by wrk through `dockerserver | docker` alone, with `audit` and with `audit --sync`.

Shown are requests a second, and the microseconds of swarmd's own processor time for each, which other programs disturb
less.

    python -m tests.bench.audit [--seconds 2] [--rounds 3]

Needs Debian's wrk and haproxy, and dockerd.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench.common import cpu_seconds, reachable_engine, show
from tests.bench.gateway import arguments, wrk
from tests.support.engines import Swarmd, docker, swarmd

_PATHS = ("/_ping", "/containers/json", "/containers/c0/json")
_AUDITS = {"off": (), "on": ("audit {}/log",), "--sync": ("audit {}/synced --sync",)}


def measure(subject: Swarmd, path: str, connections: int, seconds: int) -> tuple[float, float]:
    """Requests a second, and microseconds of processor time for each."""
    began = cpu_seconds(subject.process.pid)
    rate = wrk(subject.port, path, connections, seconds).rate
    return rate, (cpu_seconds(subject.process.pid) - began) / (rate * seconds) * 1e6


def compared(subjects: Mapping[str, Swarmd], path: str, connections: int, given: Namespace) -> list[str]:
    """The medians of each subject, which take turns, with their shares of those without an audit."""
    found = [
        [measure(subject, path, connections, given.seconds) for subject in subjects.values()]
        for _ in range(given.rounds)
    ]
    middles = [tuple(median(figures) for figures in zip(*turns, strict=True)) for turns in zip(*found, strict=True)]
    rate_off, cpu_off = middles[0]
    return [f"{rate:,.0f} ({rate / rate_off:.2f}), {cpu:,.0f} µs ({cpu_off / cpu:.2f})" for rate, cpu in middles]


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__)
    rows: list[list[object]] = []
    with reachable_engine() as (started, _), tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        docker(started.host, "run", "-d", "--network", "none", "--name", "c0", "busybox", "sleep", "600", check=True)
        subjects = {
            name: stack.enter_context(swarmd(*(each.format(Path(folder)) for each in audit), f"docker {started.host}"))
            for name, audit in _AUDITS.items()
        }
        for path in _PATHS:
            for connections in (1, 16):
                rows.append([f"{path} by {connections}", *compared(subjects, path, connections, given)])
        docker(started.host, "rm", "-f", "c0")
    show("Requests a second, CPU of each (shares of those without an audit)", ["by connections", *_AUDITS], rows)


if __name__ == "__main__":
    main()
