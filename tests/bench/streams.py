"""Bytes through each kind of stream, direct and through `dockerserver | docker`, and the memory that it takes.
Both ways begin at a unix socket.

    python -m tests.bench.streams [--mib 1024] [--rounds 3]

Needs dockerd.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.bench.common import in_turns, need, peak_memory, show
from tests.support.engines import docker, engine, swarmd


def rate(mib: int, host: str, args: list[str], source: Path | None) -> float:
    """MiB a second of a docker command that reads `source`, or writes as much."""
    began = time.perf_counter()
    with (source or Path(os.devnull)).open("rb") as given:
        nowhere = subprocess.DEVNULL
        subprocess.run(["docker", "-H", host, *args], stdin=given, stdout=nowhere, stderr=nowhere, check=True)
    return mib / (time.perf_counter() - began)


def commands(mib: int, folder: Path) -> dict[str, tuple[list[str], Path | None]]:
    """The docker commands by what they are called, and what each reads."""
    zeros = ["dd", "if=/dev/zero", "bs=1M", f"count={mib}"]
    unlogged = ["run", "--rm", "--network", "none", "--log-driver", "none", "busybox"]
    return {
        "attach, out": ([*unlogged, *zeros], None),
        "exec, out": (["exec", "box", *zeros], None),
        "exec, in": (["exec", "-i", "box", "dd", "of=/dev/null", "bs=1M"], folder / "plain"),
        "cp, out": (["cp", "box:/big", "-"], None),
        "cp, in": (["cp", "-", "box:/tmp"], folder / "tar"),
        "save": (["save", "big"], None),
        "load": (["load", "-q"], folder / "image"),
    }


def prepare(host: str, mib: int, folder: Path) -> None:
    """A container and an image that hold a file of that size, and what is read from here."""
    make = ["sh", "-c", f"dd if=/dev/urandom of=/big bs=1M count={mib}"]
    docker(host, "run", "--name", "made", "--network", "none", "busybox", *make, check=True, timeout=300)
    docker(host, "commit", "made", "big", check=True, timeout=300)
    docker(host, "run", "-d", "--name", "box", "--network", "none", "big", "sleep", "3600", check=True)
    for name, command in (("image", ["save", "big"]), ("tar", ["cp", "box:/big", "-"])):
        with (folder / name).open("wb") as file:
            subprocess.run(["docker", "-H", host, *command], stdout=file, check=True)
    with (folder / "plain").open("wb") as file:
        file.truncate(mib << 20)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    need("dockerd", "docker")
    rows: list[tuple[object, ...]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = stack.enter_context(engine())
        through = f"unix://{folder}/docker.sock"
        ours = stack.enter_context(swarmd(f"docker {started.host}", listen=through))
        prepare(started.host, given.mib, folder)
        for what, (args, source) in commands(given.mib, folder).items():
            ways: dict[str, Callable[[], float]] = {
                way: partial(rate, given.mib, host, args, source)
                for way, host in (("direct", started.host), ("through", through))
            }
            found = in_turns(ways, given.rounds)
            ratio = found["through"] / found["direct"]
            memory = f"{peak_memory(ours.process.pid):.0f}"
            rows.append((what, f"{found['direct']:.0f}", f"{found['through']:.0f}", f"{ratio:.2f}", memory))
    columns = ["stream", "direct, MiB/s", "through", "ratio (goal 0.9)", "peak RSS so far, MiB (goal 80)"]
    show(f"{given.mib} MiB each", columns, rows)


if __name__ == "__main__":
    main()
