"""What the benchmarks share: rounds that take turns, medians, and the table."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.support.engines import Engine, engine, free_port


def in_turns(subjects: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median figure of each subject; they take turns, so that a noisy moment hits all of them alike."""
    figures: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, measure in subjects.items():
            figures[name].append(measure())
    return {name: median(found) for name, found in figures.items()}


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


def add_beside(parser: argparse.ArgumentParser) -> None:
    """Take the option of a benchmark that measures two checkouts side by side."""
    parser.add_argument("--beside", metavar="PYTHON", help="of the environment of another checkout")


def pythons(given: argparse.Namespace, this: str) -> dict[str, str]:
    """The interpreters of the checkouts to measure: `this` names this one's, "beside" the other one's."""
    return {this: sys.executable} | ({"beside": given.beside} if given.beside else {})


def peak_memory(pid: int) -> float:
    """MiB that a process has had resident at most."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time that a process has taken, its threads included, in steps of 10 ms (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def need(*programs: str) -> None:
    """End with the names of the programs that are missing."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        sys.exit(f"this benchmark needs {', '.join(missing)}: install Debian's packages of those names")


@contextmanager
def reachable_engine() -> Generator[tuple[Engine, int]]:
    """An engine that listens on a port of the loopback too: it has this machine's network, and makes none."""
    port = free_port()
    options = ["-H", f"tcp://127.0.0.1:{port}", "--bridge=none", "--iptables=false", "--ip6tables=false"]
    with engine(options, namespaces="-m") as started:
        yield started, port


@contextmanager
def process(command: Sequence[str]) -> Generator[subprocess.Popen[bytes]]:
    """A process that runs as long as the context."""
    started = subprocess.Popen(command)
    try:
        yield started
    finally:
        started.terminate()
        started.wait()
