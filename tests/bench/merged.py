"""Requests a second of `GET /containers/json`, merged from two engines of 100 containers each; beside one, and HAProxy.

    python -m tests.bench.merged [--seconds 2] [--rounds 3]

Needs Debian's wrk and haproxy, and dockerd.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.bench.common import in_turns, reachable_engine, show
from tests.bench.gateway import arguments, haproxy, wrk
from tests.support.engines import docker, engine, swarmd

_PATHS = ("/containers/json?all=1", "/containers/json?all=0")


def _fill(host: str) -> None:
    def create(number: int) -> None:
        docker(host, "create", "--network", "none", "--name", f"{host[-20:-12]}{number}", "busybox", "true", check=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(100)))


def _rate(port: int, path: str, connections: int, seconds: int) -> float:
    return wrk(port, path, connections, seconds).rate


def measure(ports: dict[str, int], seconds: int, rounds: int) -> list[tuple[object, ...]]:
    """A row for each path and number of connections; the ways take turns."""
    rows: list[tuple[object, ...]] = []
    for path in _PATHS:
        for connections in (1, 16):
            ways = {way: partial(_rate, port, path, connections, seconds) for way, port in ports.items()}
            rows.append((f"{path} by {connections}", *(f"{rate:,.0f}" for rate in in_turns(ways, rounds).values())))
    return rows


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__)
    with reachable_engine() as (first, direct), engine() as second, haproxy(first) as proxied:
        for each in (first, second):
            _fill(each.host)
        with swarmd(f"balance (a=docker {first.host}) (b=docker {second.host})") as ours:
            listed = docker(ours.host, "ps", "-aq").stdout.count(b"\n")
            if listed != 200:
                raise RuntimeError(f"{listed} containers are listed, of 200")
            ways = {"one engine, direct": direct, "HAProxy before one": proxied, "balance of two": ours.port}
            rows = measure(ways, given.seconds, given.rounds)
    columns = ["request by connections", "one engine, direct", "HAProxy before one", "balance of two"]
    show("Requests a second; one engine lists its own 100 containers, balance those of both", columns, rows)


if __name__ == "__main__":
    main()
