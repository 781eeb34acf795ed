"""What a user waits for: `docker run --rm busybox true`, and a gigabyte of a container's output: direct, and through
`docker` and `balance`.

    python -m tests.bench.run [--runs 15] [--mib 1024]

Needs dockerd.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from functools import partial

from tests.bench.common import in_turns, need, show
from tests.support.engines import docker, engine, swarmd

_RUN = ("run", "--rm", "--network", "none", "busybox")


def run_once(host: str) -> float:
    """Seconds of one `docker run --rm busybox true`."""
    began = time.perf_counter()
    docker(host, *_RUN, "true", check=True)
    return time.perf_counter() - began


def output_rate(host: str, mib: int) -> float:
    """MiB a second of output, from the first byte to the last."""
    command = ["docker", "-H", host, *_RUN, "dd", "if=/dev/zero", "bs=1M", f"count={mib}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout is not None
        received, began = len(running.stdout.read(1)), time.perf_counter()
        while data := running.stdout.read(1 << 20):
            received += len(data)
        took = time.perf_counter() - began
    if received != mib << 20:
        raise RuntimeError(f"{received} bytes came instead of {mib << 20}")
    return mib / took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--mib", type=int, default=1024)
    given = parser.parse_args()
    need("dockerd", "docker")
    with (
        engine() as started,
        engine() as second,
        swarmd(f"docker {started.host}") as ours,
        swarmd(f"balance (a=docker {started.host}) (b=docker {second.host})") as balanced,
    ):
        hosts = {"direct": started.host, "docker": ours.host, "balance": balanced.host}
        for host in hosts.values():
            run_once(host)
        times = in_turns({way: partial(run_once, host) for way, host in hosts.items()}, given.runs)
        rates = in_turns({way: partial(output_rate, host, given.mib) for way, host in hosts.items()}, 3)
    rows = [
        _row("docker run --rm busybox true, ms", {way: 1000 * each for way, each in times.items()}, "<= 1.05"),
        _row(f"{given.mib} MiB of output, MiB/s", rates, ">= 0.9"),
    ]
    show("The docker CLI (and the ratio to direct)", ["", "direct", "through docker", "through balance", "goal"], rows)


def _row(name: str, figures: dict[str, float], goal: str) -> tuple[str, ...]:
    shown = [f"{each:.0f} ({each / figures['direct']:.3f})" for each in figures.values()]
    return (name, *shown, goal)


if __name__ == "__main__":
    main()
