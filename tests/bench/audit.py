"""What an audit costs: requests a second by wrk through `dockerserver | docker` alone, with `audit` and `audit --sync`.

    python -m tests.bench.audit [--seconds 2] [--rounds 3]

Needs Debian's wrk and haproxy, and dockerd.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.bench.common import in_turns, reachable_engine, show
from tests.bench.gateway import arguments, wrk
from tests.support.engines import docker, swarmd

_PATHS = ("/_ping", "/containers/json", "/containers/c0/json")
_AUDITS = {"off": (), "on": ("audit {}/log",), "--sync": ("audit {}/synced --sync",)}


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__)
    rows: list[list[object]] = []
    with reachable_engine() as (started, _), tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        docker(started.host, "run", "-d", "--network", "none", "--name", "c0", "busybox", "sleep", "600", check=True)
        ports = {
            name: stack.enter_context(swarmd(*(each.format(Path(folder)) for each in audit), f"docker {started.host}"))
            for name, audit in _AUDITS.items()
        }
        for path in _PATHS:
            for connections in (1, 16):
                found = in_turns(
                    {
                        name: partial(lambda *args: wrk(*args).rate, running.port, path, connections, given.seconds)
                        for name, running in ports.items()
                    },
                    given.rounds,
                )
                shares = [f"{rate:,.0f} ({rate / found['off']:.2f})" for rate in found.values()]
                rows.append([f"{path} by {connections}", *shares])
        docker(started.host, "rm", "-f", "c0")
    show("Requests a second (of those without an audit)", ["request by connections", *_AUDITS], rows)


if __name__ == "__main__":
    main()
