"""Requests a second of `GET /containers/json`, merged from two engines of 100 containers each; beside one, and HAProxy.
Also ten of them, asked for by their label; and through policies: one of 200 rules, and one that confines the client to
its own ten containers.

    python -m tests.bench.merged [--seconds 2] [--rounds 3]

Needs Debian's wrk and haproxy, and dockerd.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import quote

from tests.bench.common import in_turns, reachable_engine, show
from tests.bench.gateway import arguments, haproxy, wrk
from tests.bench.policy import rules
from tests.support.engines import docker, engine, swarmd

_PATHS = ("/containers/json?all=1", "/containers/json?all=0")
_COLUMN = "request by connections"
_CONFINING = '[[rule]]\nallow = ["ContainerList"]\nown = "team=1"\n'
_BY_LABEL = "&filters=" + quote('{"label":["team=1"]}')


def _policies(folder: Path) -> tuple[Path, Path]:
    long, confining = folder / "long.toml", folder / "confining.toml"
    long.write_text(rules(200, each_own_client=False))
    confining.write_text(_CONFINING)
    return long, confining


def _fill(host: str) -> None:
    def create(number: int) -> None:
        name = ("--name", f"c{host[-20:-12]}{number}", "--label", f"team={number // 5}")
        docker(host, "create", "--network", "none", *name, "busybox", "true", check=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(100)))


def _rate(way: tuple[int, str], path: str, connections: int, seconds: int) -> float:
    port, filters = way
    return wrk(port, path + filters, connections, seconds).rate


def measure(asked: dict[str, tuple[int, str]], seconds: int, rounds: int) -> list[tuple[object, ...]]:
    """A row for each path and number of connections; the ways, of a port and filters each, take turns."""
    rows: list[tuple[object, ...]] = []
    for path in _PATHS:
        for connections in (1, 16):
            ways = {name: partial(_rate, way, path, connections, seconds) for name, way in asked.items()}
            rows.append((f"{path} by {connections}", *(f"{rate:,.0f}" for rate in in_turns(ways, rounds).values())))
    return rows


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__)
    with (
        tempfile.TemporaryDirectory() as folder,
        reachable_engine() as (first, direct),
        engine() as second,
        haproxy(first) as proxied,
    ):
        for each in (first, second):
            _fill(each.host)
        merged = f"balance (a=docker {first.host}) (b=docker {second.host})"
        long, confining = _policies(Path(folder))
        with (
            swarmd(merged) as ours,
            swarmd(f"policy {long}", merged) as judged,
            swarmd(f"policy {confining}", merged) as confined,
        ):
            listed = docker(ours.host, "ps", "-aq").stdout.count(b"\n")
            if listed != 200:
                raise RuntimeError(f"{listed} containers are listed, of 200")
            ways = {"one engine, direct": (direct, ""), "HAProxy before one": (proxied, "")}
            ways |= {"balance of two": (ours.port, ""), "10 by label": (ours.port, _BY_LABEL)}
            ways |= {"200 rules before it": (judged.port, ""), "10 of its own": (confined.port, "")}
            rows = measure(ways, given.seconds, given.rounds)
    show("Requests a second; one engine lists its own 100 containers, balance those of both", [_COLUMN, *ways], rows)


if __name__ == "__main__":
    main()
