"""What one request costs swarmd: its own processor time, and what it does for it, counted.

Requests go to HAProxy as an engine with fixed answers, to the index of `balance` over two simulated engines of 20
containers each, and through `audit`. The engines' and clients' time is not counted. `tests.bench.counted` explains what
is counted.

    python -m tests.bench.hops [--seconds 2] [--rounds 5] [--beside OTHER/.venv/bin/python]

With --beside it measures the swarmd of another checkout in the same run, the two taking turns: before and after.
Needs Debian's wrk and haproxy.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.common import add_beside, in_turns, need, pythons, show
from tests.bench.cost import fixed_engine
from tests.bench.gateway import cost
from tests.support.engines import docker, free_port, is_served, swarmd, wait_until

_CONTAINERS = 20
_COUNTED = Path(__file__).parent / "counted.py"
_PATHS = {
    "/_ping": "/_ping",
    "audited": "/_ping",
    "list, forwarded": "/containers/json",
    "list, from the index": "/containers/json?all=1",
}


@contextmanager
def simulated(folder: Path, name: str) -> Generator[str]:
    """A simulated engine with containers; gives the stage that reaches it."""
    socket = folder / f"{name}.sock"
    with swarmd("simulator", listen=f"unix://{socket}") as started:
        wait_until(lambda: is_served(socket), "the simulated engine", started.process)
        docker(started.host, "pull", "-q", "busybox", check=True)
        for number in range(_CONTAINERS):
            docker(started.host, "create", "--name", f"{name}{number}", "busybox", "true", check=True)
        yield f"({name}=docker unix://{socket})"


@contextmanager
def serving(python: str, stages: str, port: int, folder: Path) -> Generator[int]:
    """A swarmd of the environment that has this Python; gives its process id."""
    command = [python, "-m", "swarmd", f"dockerserver tcp://127.0.0.1:{port}", stages]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=folder)
    assert started.stderr is not None
    try:
        assert b"serving" in started.stderr.readline()
        yield started.pid
    finally:
        started.terminate()
        started.communicate(timeout=20)


def counts(python: str, stages: str, path: str, folder: Path) -> dict[str, float]:
    """What the swarmlib of this Python does for a request, one at a time."""
    command = [python, str(_COUNTED), stages, path]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout
    found: dict[str, float] = json.loads(told)
    return found


def _counted_rows(chains: Mapping[str, str], turns: Sequence[tuple[str, str]], folder: Path) -> list[Sequence[object]]:
    """A row for each count, a column for each call."""
    found = {
        call: [counts(each, stages.replace("LOG", f"counted-{name}"), _PATHS[call], folder) for name, each in turns]
        for call, stages in chains.items()
    }
    names = next(iter(found.values()))[0]
    return [[name, *(" → ".join(f"{each[name]:g}" for each in told) for told in found.values())] for name in names]


def _measured_rows(
    chains: Mapping[str, str], pythons: Mapping[str, str], given: argparse.Namespace, folder: Path
) -> list[list[object]]:
    rows: list[list[object]] = []
    for call, stages in chains.items():
        with ExitStack() as stack:
            ports = {name: free_port() for name in pythons}
            pids = {
                name: stack.enter_context(serving(python, stages.replace("LOG", f"log-{name}"), ports[name], folder))
                for name, python in pythons.items()
            }
            for connections in (1, 16):
                ways = {
                    name: partial(cost, pid, ports[name], _PATHS[call], connections, given.seconds)
                    for name, pid in pids.items()
                }
                found = in_turns({name: (lambda way=way: way().cpu) for name, way in ways.items()}, given.rounds)
                share = [f"{found['this'] / found['beside']:.2f}"] if "beside" in found else []
                rows.append([f"{call} by {connections}", *(f"{each:.0f}" for each in found.values()), *share])
    return rows


def main() -> None:
    """Count, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    add_beside(parser)
    given = parser.parse_args()
    need("wrk", "haproxy", "docker")
    measured = pythons(given, "this")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        engine = f"docker unix://{stack.enter_context(fixed_engine(folder))}"
        members = " ".join(stack.enter_context(simulated(folder, each)) for each in ("a", "b"))
        chains = {
            "/_ping": engine,
            "audited": f"audit {folder}/LOG | {engine}",
            "list, forwarded": engine,
            "list, from the index": f"balance {members}",
        }
        counted = _counted_rows(chains, list(reversed(measured.items())), folder)
        show("What is done for one request, on average (of the other checkout → of this one)", ["", *chains], counted)
        rows = _measured_rows(chains, measured, given, folder)
    share = ["this of beside"] if given.beside else []
    show("Processor time of swarmd for one request", ["by connections", *(f"{n}: µs" for n in measured), *share], rows)


if __name__ == "__main__":
    main()
