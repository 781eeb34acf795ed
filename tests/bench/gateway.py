"""Requests a second and latency by wrk: direct to an engine, through `dockerserver | docker`, and through HAProxy.

    python -m tests.bench.gateway [--seconds 2] [--rounds 3]

Needs Debian's wrk and haproxy, and dockerd.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.common import cpu_seconds, need, process, reachable_engine, show
from tests.support.engines import Engine, docker, free_port, swarmd, wait_until

_PATHS = ("/_ping", "/version", "/containers/json")
_HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    option http-no-delay
    timeout connect 5s
    timeout client 10m
    timeout server 10m
frontend docker
    bind 127.0.0.1:{port}
    default_backend engine
backend engine
    server engine unix@{socket}
"""
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass
class Figures:
    """What wrk found: requests a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def wrk(port: int, path: str, connections: int, seconds: int, *options: str) -> Figures:
    """One measurement."""
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}",
        "--latency",
        *options,
        f"http://127.0.0.1:{port}{path}",
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if errors := re.search(r"Non-2xx.*|Socket errors.*", told):
        raise RuntimeError(f"{path} on {port}: {errors.group()}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    shares = re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", told)
    times = {share: float(value) * _UNITS[unit] for share, value, unit in shares}
    assert rate is not None
    return Figures(float(rate[1]), times["50"], times["99"])


@dataclass
class Cost:
    """What requests cost a process: how many it answers in a second, and microseconds of processor time for each."""

    rate: float
    cpu: float


def cost(pid: int, port: int, path: str, connections: int, seconds: int) -> Cost:
    """One measurement of the process that listens on a port."""
    began = cpu_seconds(pid)
    rate = wrk(port, path, connections, seconds).rate
    return Cost(rate, (cpu_seconds(pid) - began) / (rate * seconds) * 1e6)


def compared(subjects: Sequence[Callable[[], Cost]], rounds: int) -> list[str]:
    """The medians of subjects, which take turns: with their shares of the first one's, of which 1 is as good."""
    turns = [[measure() for measure in subjects] for _ in range(rounds)]
    middles = [Cost(median(c.rate for c in each), median(c.cpu for c in each)) for each in zip(*turns, strict=True)]
    first = middles[0]
    return [f"{c.rate:,.0f} ({c.rate / first.rate:.3f}), {c.cpu:,.0f} µs ({first.cpu / c.cpu:.3f})" for c in middles]


@contextmanager
def haproxy(started: Engine) -> Generator[int]:
    """HAProxy as a proxy of the engine's socket; gives its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "haproxy.cfg"
        config.write_text(_HAPROXY.format(port=port, socket=started.socket))
        with process(["haproxy", "-db", "-q", "-f", str(config)]):
            wait_until(lambda: docker(f"tcp://127.0.0.1:{port}", "version").returncode == 0, "haproxy")
            yield port


def measure(ports: dict[str, int], seconds: int, rounds: int) -> list[tuple[object, ...]]:
    """A row for each path and number of connections; the ways take turns."""
    rows: list[tuple[object, ...]] = []
    for path in _PATHS:
        for connections in (1, 16):
            found: dict[str, list[Figures]] = {way: [] for way in ports}
            for _ in range(rounds):
                for way, port in ports.items():
                    found[way].append(wrk(port, path, connections, seconds))
            middle = {way: median(each.rate for each in figures) for way, figures in found.items()}
            shown = [
                f"{middle[way]:,.0f} ({median(f.p50 for f in figures):.2f}, {median(f.p99 for f in figures):.1f})"
                for way, figures in found.items()
            ]
            rows.append((f"{path} by {connections}", *shown, f"{middle['swarmd'] / middle['HAProxy']:.2f}"))
    return rows


def arguments(description: str | None) -> argparse.Namespace:
    """What is given to a benchmark by wrk, whose programs must be there."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    need("wrk", "haproxy", "dockerd")
    return given


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__)
    with reachable_engine() as (started, direct), haproxy(started) as proxied, swarmd(f"docker {started.host}") as ours:
        for number in range(5):
            docker(started.host, "run", "-d", "--network", "none", "--name", f"c{number}", "busybox", "sleep", "600")
        rows = measure({"direct": direct, "HAProxy": proxied, "swarmd": ours.port}, given.seconds, given.rounds)
        docker(started.host, "rm", "-f", *(f"c{number}" for number in range(5)))
    columns = ["request by connections", "direct: /s (p50, p99 ms)", "HAProxy", "swarmd", "swarmd of HAProxy"]
    show("Requests a second (milliseconds at the 50th and 99th percentile)", columns, rows)


if __name__ == "__main__":
    main()
