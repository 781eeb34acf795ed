"""What an audit costs: requests by wrk through `dockerserver | docker` alone, with `audit` and with `audit --sync`.

Shown are requests a second, and the microseconds of swarmd's own processor time for each, which other programs disturb
less.

    python -m tests.bench.audit [--seconds 2] [--rounds 3]

Needs Debian's wrk and haproxy, and dockerd.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.bench.common import reachable_engine, show
from tests.bench.gateway import arguments, compared, cost
from tests.support.engines import docker, swarmd

_PATHS = ("/_ping", "/containers/json", "/containers/c0/json")
_AUDITS = {"off": (), "on": ("audit {}/log",), "--sync": ("audit {}/synced --sync",)}


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
                ways = [
                    partial(cost, each.process.pid, each.port, path, connections, given.seconds)
                    for each in subjects.values()
                ]
                rows.append([f"{path} by {connections}", *compared(ways, given.rounds)])
        docker(started.host, "rm", "-f", "c0")
    show("Requests a second, CPU of each (shares of those without an audit)", ["by connections", *_AUDITS], rows)


if __name__ == "__main__":
    main()
