"""What watchers cost calls: lists through `dockerserver | docker`, with `web` and `metrics` or without.

The engine is HAProxy with fixed answers. Watched, the chain has both stages, a viewer reads the events of the page, and
the figures are scraped every second. The figure is processor time: that of the wall depends on what else runs.

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

from tests.bench.common import cpu_seconds, in_turns, need, process, show
from tests.bench.cost import fixed_engine
from tests.bench.gateway import wrk
from tests.support.engines import free_port

_LIST = "/v1.41/containers/json"
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


def cost(pid: int, port: int, seconds: int) -> float:
    """Microseconds of processor time that the gateway takes for a call, while four clients call."""
    before = cpu_seconds(pid)
    rate = wrk(port, _LIST, 4, seconds).rate
    return (cpu_seconds(pid) - before) / (rate * seconds) * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    need("wrk", "haproxy", "curl")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        engine = stack.enter_context(fixed_engine(Path(folder)))
        subjects = {
            "unwatched": stack.enter_context(gateway(engine)),
            "watched": stack.enter_context(watched(engine)),
        }
        measures = {name: partial(cost, *found, given.seconds) for name, found in subjects.items()}
        found = in_turns(measures, given.rounds)
    rows = [[name, f"{figure:,.0f}", f"{found['unwatched'] / figure:.3f}"] for name, figure in found.items()]
    show("What a list costs", ["", "µs of processor time", "calls in the same time"], rows)


if __name__ == "__main__":
    main()
