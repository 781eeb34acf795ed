"""What polling costs: requests a second, latency, and the engines' processor time, of 20 clients that ask as Traefik,
Prometheus and Portainer do. One engine of 100 containers, direct and through HAProxy; and two of them as one, which
tell pollers twice as much.

    python -m tests.bench.pollers [--seconds 2] [--rounds 3]

Needs Debian's wrk and haproxy, and dockerd.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.common import cpu_seconds, peak_memory, reachable_engine, show
from tests.bench.gateway import arguments, haproxy, wrk
from tests.support.engines import Engine, docker, engine, swarmd

_CLIENTS = 20
_CONTAINERS = 100
_RUNNING = 10
_INSPECT = "/v1.24/containers/{}/json"
_ASKED: Mapping[str, Sequence[str]] = {
    "Traefik": ("/v1.24/version", "/v1.24/containers/json", _INSPECT),
    "Prometheus": ("/v1.41/networks", "/v1.41/containers/json"),
    "Portainer": (
        *("/_ping", "/v1.41/version", "/v1.41/info", "/v1.41/containers/json?all=1"),
        *("/v1.41/images/json", "/v1.41/networks", "/v1.41/volumes"),
    ),
}
"""What each client asks for in turn; an inspection is of each container that runs. None asks for the disk usage: an
engine refuses to compute it for two at a time."""
_SINGLE = ("/_ping", "/version", "/networks", "/images/json", "/volumes", "/info", "/containers/json?all=1")
_SCRIPT = """
local targets = %s
local at = 0
request = function()
    at = at %% #targets + 1
    return wrk.format("GET", targets[at])
end
"""


@dataclass
class Way:
    """A way to the engines, and the containers that run there."""

    port: int
    engines: Sequence[Engine]
    running: Sequence[str]

    def targets(self, asked: Sequence[str]) -> list[str]:
        """What is asked for, with the ids of the containers."""
        return [each.format(id) for each in asked for id in (self.running if each == _INSPECT else [""])]


@dataclass
class Cost:
    """What wrk found, and the engines' processor time for each request, in microseconds."""

    rate: float
    p99: float
    engine: float


def _fill(host: str) -> list[str]:
    """Make containers, and return the ids of those that run."""

    def make(number: int) -> str:
        how = ("run", "-d") if number < _RUNNING else ("create",)
        labels = ("--label", f"traefik.enable={number % 2}", "--name", f"c{host[-20:-12]}{number}")
        made = docker(host, *how, "--network", "none", *labels, "busybox", "sleep", "3600", check=True)
        return made.stdout.decode().strip()

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(make, range(_CONTAINERS)))[:_RUNNING]


def _measured(way: Way, script: Path, asked: Sequence[str], seconds: int) -> Cost:
    listed = ", ".join(json.dumps(target) for target in way.targets(asked))
    script.write_text(_SCRIPT % f"{{{listed}}}")
    before = sum(cpu_seconds(each.pid) for each in way.engines)
    found = wrk(way.port, "/", _CLIENTS, seconds, "--timeout", "30s", "-s", str(script))
    taken = sum(cpu_seconds(each.pid) for each in way.engines) - before
    return Cost(found.rate, found.p99, taken / (found.rate * seconds) * 1e6)


def measure(ways: Mapping[str, Way], script: Path, seconds: int, rounds: int) -> list[tuple[object, ...]]:
    """A row for each client, and for single requests; the ways take turns."""
    rows: list[tuple[object, ...]] = []
    for name, asked in {**_ASKED, **{each: (each,) for each in _SINGLE}, "inspection": (_INSPECT,)}.items():
        found: dict[str, list[Cost]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, each in ways.items():
                found[way].append(_measured(each, script, asked, seconds))
        rows.append((name, *map(_shown, found.values())))
    return rows


def _shown(costs: Sequence[Cost]) -> str:
    def middle(of: Callable[[Cost], float]) -> float:
        return median(map(of, costs))

    return f"{middle(lambda c: c.rate):,.0f} ({middle(lambda c: c.p99):,.0f}, {middle(lambda c: c.engine):,.0f})"


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__)
    with (
        tempfile.TemporaryDirectory() as folder,
        reachable_engine() as (first, direct),
        engine() as second,
        haproxy(first) as proxied,
    ):
        running = [_fill(each.host) for each in (first, second)]
        merged = f"(a=docker {first.host}) (b=docker {second.host})"
        with swarmd(f"balance {merged}") as exact, swarmd(f"balance --max-age 5s {merged}") as aged:
            both = ((first, second), [*running[0], *running[1]])
            ways = {
                "one engine, direct": Way(direct, (first,), running[0]),
                "HAProxy before one": Way(proxied, (first,), running[0]),
                "balance of two": Way(exact.port, *both),
                "--max-age 5s": Way(aged.port, *both),
            }
            for each in (exact, aged):
                docker(each.host, "ps", "-aq", check=True)
            rows = measure(ways, Path(folder) / "targets.lua", given.seconds, given.rounds)
            memory = peak_memory(exact.process.pid)
        for each, ids in zip((first, second), running, strict=True):
            docker(each.host, "rm", "-f", *ids, check=True)
    title = (
        f"Requests a second of {_CLIENTS} clients (ms at the 99th percentile, µs of the engines' processors for each)"
    )
    show(f"{title}; balance took {memory:.0f} MiB at most", ["asked for", *ways], rows)


if __name__ == "__main__":
    main()
