"""Bytes through each kind of stream: direct, through `dockerserver | docker`, and through two plain relays, which are
HAProxy in TCP mode and a bare loop of splice(2). It prints the rate, the processor time that what lies between takes
for 512 MiB, and the gateway's memory. All ways begin at a unix socket.

    python -m tests.bench.streams [--thin] [--mib 512] [--rounds 3] [--beside OTHER/.venv/bin/python]

The docker CLI and dockerd take several times as much processor time as the gateway, so that on a machine with few cores
their rates say little about it. With --thin, a client and an engine that only move bytes take their places.
The relays tell what can be reached on this machine: they parse nothing, and each takes processor time from the others.
With --beside it measures the swarmd of another checkout in the same run, all ways taking turns: before and after.
Needs Debian's haproxy, and without --thin dockerd.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeAlias

from tests.bench.common import add_beside, cpu_seconds, need, peak_memory, process, pythons, show
from tests.bench.relays import haproxy, splice_loop
from tests.bench.thin import Way
from tests.support.engines import docker, engine, is_served, wait_until

Move: TypeAlias = Callable[[Path], None]
"""Moves the bytes of one stream by the engine, or gateway, on this socket."""
REFERENCE_MIB = 512


class Gateway(NamedTuple):
    """One way to the engine; without a process, the direct one."""

    socket: Path
    pid: int | None = None


class Figure(NamedTuple):
    """One move: MiB a second, and the gateway's processor time in seconds for REFERENCE_MIB."""

    rate: float
    cpu: float


@contextmanager
def gateway(python: str, engine: Path, socket: Path) -> Generator[Gateway]:
    """A swarmd of the environment that has this Python."""
    chain = [f"dockerserver unix://{socket}", f"docker unix://{engine}"]
    started = subprocess.Popen([python, "-m", "swarmd", *chain], stderr=subprocess.DEVNULL, cwd=socket.parent)
    try:
        wait_until(partial(is_served, socket), "swarmd", started)
        yield Gateway(socket, started.pid)
    finally:
        started.terminate()
        started.wait(20)


def measure(move: Move, mib: int, way: Gateway) -> Figure:
    """Move the bytes once."""
    before, began = cpu_seconds(way.pid) if way.pid else 0.0, time.perf_counter()
    move(way.socket)
    seconds = time.perf_counter() - began
    cpu = cpu_seconds(way.pid) - before if way.pid else 0.0
    return Figure(mib / seconds, cpu * REFERENCE_MIB / mib)


def in_turns(move: Move, mib: int, ways: Mapping[str, Gateway], rounds: int) -> dict[str, Figure]:
    """The medians of each way, after one round that does not count."""
    found: dict[str, list[Figure]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            found[name].append(measure(move, mib, way))
    return {name: Figure(*map(median, zip(*figures[1:], strict=True))) for name, figures in found.items()}


# The docker CLI and dockerd.


def run(args: list[str], source: Path | None, socket: Path) -> None:
    """A docker command that reads `source`, if it reads anything."""
    with (source or Path(os.devnull)).open("rb") as given:
        nowhere = subprocess.DEVNULL
        command = ["docker", "-H", f"unix://{socket}", *args]
        subprocess.run(command, stdin=given, stdout=nowhere, stderr=nowhere, check=True)


def commands(mib: int, folder: Path) -> dict[str, Move]:
    """The docker commands by what they are called."""
    zeros = ["dd", "if=/dev/zero", "bs=1M", f"count={mib}"]
    unlogged = ["run", "--rm", "--network", "none", "--log-driver", "none", "busybox"]
    return {
        "attach, out": partial(run, [*unlogged, *zeros], None),
        "exec, out": partial(run, ["exec", "box", *zeros], None),
        "exec, in": partial(run, ["exec", "-i", "box", "dd", "of=/dev/null", "bs=1M"], folder / "plain"),
        "cp, out": partial(run, ["cp", "box:/big", "-"], None),
        "cp, in": partial(run, ["cp", "-", "box:/tmp"], folder / "tar"),
        "save": partial(run, ["save", "big"], None),
        "load": partial(run, ["load", "-q"], folder / "image"),
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


@contextmanager
def real(mib: int, folder: Path) -> Generator[tuple[Path, dict[str, Move]]]:
    """A real engine, and what the docker CLI moves."""
    need("dockerd", "docker")
    with engine() as started:
        prepare(started.host, mib, folder)
        yield started.socket, commands(mib, folder)


# The thin ones.


@contextmanager
def thin(mib: int, folder: Path) -> Generator[tuple[Path, dict[str, Move]]]:
    """A thin engine, and what the thin client moves."""
    socket = folder / "engine.sock"

    def moving(move: Callable[[Way, int], None]) -> Move:
        return lambda path: move(Way(str(path)), mib)

    with process([sys.executable, "-m", "tests.bench.thin", str(socket)]) as started:
        wait_until(partial(is_served, socket), "the thin engine", started)
        yield (
            socket,
            {
                "conversation, out": moving(Way.attach_out),
                "conversation, in": moving(Way.attach_in),
                "chunks, out": moving(Way.archive_out),
                "chunks, in": moving(Way.archive_in),
                "of a known length, out": moving(Way.sized_out),
                "of a known length, in": moving(Way.sized_in),
            },
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thin", action="store_true")
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    add_beside(parser)
    given = parser.parse_args()
    need("haproxy")
    swarmds = pythons(given, "swarmd")
    rows: list[list[object]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        socket, moves = stack.enter_context((thin if given.thin else real)(given.mib, folder))
        ways = {"direct": Gateway(socket)}
        for name, relay in {"HAProxy": haproxy, "splice loop": splice_loop}.items():
            way = folder / f"{name.replace(' ', '-')}.sock"
            ways[name] = Gateway(way, stack.enter_context(relay(socket, way)))
        for name, python in swarmds.items():
            ways[name] = stack.enter_context(gateway(python, socket, folder / f"{name}.sock"))
        for what, move in moves.items():
            figures = in_turns(move, given.mib, ways, given.rounds)
            rows.append([what, *row(figures), *(f"{peak_memory(ways[name].pid or 0):.0f}" for name in swarmds)])
    title = f"{given.mib} MiB each: of the direct rate (processor seconds for {REFERENCE_MIB} MiB)"
    show(title, ["stream", "direct, MiB/s", *list(ways)[1:], *(f"{name}, peak MiB" for name in swarmds)], rows)


def row(found: Mapping[str, Figure]) -> list[str]:
    """The figures of one stream."""
    direct, *between = found.values()
    return [f"{direct.rate:.0f}", *(f"{each.rate / direct.rate:.2f} ({each.cpu:.2f})" for each in between)]


if __name__ == "__main__":
    main()
