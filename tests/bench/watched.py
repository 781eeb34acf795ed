"""What watchers cost calls: lists through `dockerserver | docker`, with `web` and `metrics` or without.

The engine is HAProxy with fixed answers. Watched, the chain has both stages, a viewer reads the events of the page, and
the figures are scraped every second. Shown are the lists that four clients get in a second, and the microseconds of
swarmd's own processor time for each, which other programs disturb less.

    python -m tests.bench.watched [--seconds 2] [--rounds 5]

Needs Debian's wrk, haproxy and curl.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.common import need, process, show
from tests.bench.cost import fixed_engine
from tests.bench.gateway import compared, cost
from tests.support.engines import free_port

_LIST = "/v1.41/containers/json"
_CLIENTS = 4
_SCRAPE = "while sleep 1; do curl -s -o /dev/null http://127.0.0.1:{port}/metrics; done"


@contextmanager
def gateway(engine: Path, *stages: str) -> Generator[tuple[int, int]]:
    """A swarmd with these stages before the engine; gives its process and its port."""
    port = free_port()
    chain = [f"dockerserver tcp://127.0.0.1:{port}", *stages, f"docker unix://{engine}"]
    command = [sys.executable, "-m", "swarmd", "run", "--control", f"{engine.parent}/{port}.control", *chain]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=engine.parent) as started:
        assert started.stderr is not None
        try:
            assert b"serving" in started.stderr.readline()
            yield started.pid, port
        finally:
            started.terminate()


@contextmanager
def watched(engine: Path) -> Generator[tuple[int, int]]:
    """A swarmd that is watched; gives its process and its port."""
    page, figures = free_port(), free_port()
    stages = (f"web tcp://127.0.0.1:{page}", f"metrics tcp://127.0.0.1:{figures}")
    viewer = ["curl", "-sN", "-o", "/dev/null", f"http://127.0.0.1:{page}/events"]
    with gateway(engine, *stages) as found, process(viewer), process(["sh", "-c", _SCRAPE.format(port=figures)]):
        yield found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    need("wrk", "haproxy", "curl")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        engine = stack.enter_context(fixed_engine(Path(folder)))
        subjects = [stack.enter_context(gateway(engine)), stack.enter_context(watched(engine))]
        found = compared([partial(cost, *each, _LIST, _CLIENTS, given.seconds) for each in subjects], given.rounds)
    show("Lists a second, CPU of each (shares of those unwatched)", ["unwatched", "watched"], [found])


if __name__ == "__main__":
    main()
