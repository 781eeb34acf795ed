"""How balance grows: processor time and memory of swarmd, by the number of engines, lists, followers and runs.

    python -m tests.bench.scale [--write docs/]

- It comes up over engines of 100 containers each.
- 100 clients at once list all containers.
- Clients follow logs (`docker logs -f`) on 20 engines.
- Clients run containers at the same time (`docker run --rm`) on 20 simulated engines.

The engines are in processes of their own, and so are the clients, which only send and receive. With --write, the table
and a plot go into performance.md and scale.svg of that folder.
"""

from __future__ import annotations

import argparse
import importlib
import re
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import log10
from pathlib import Path
from typing import Any, Final

import trio

from tests.bench.common import cpu_seconds, peak_memory, show
from tests.bench.fixed import LOG_BYTES, fixed_engines
from tests.bench.quick import Rendezvous, answer_of, answer_to, ask, head_of, take
from tests.bench.simulated import simulated_engines
from tests.support.engines import Swarmd, is_served, swarmd, wait_until

_CONTAINERS: Final = 100
"""Of an engine."""
_LISTS: Final = 100
"""Clients that list at once."""
_SETTLING: Final = 20
"""Lists after which balance has inspected what it lists."""
_ENGINES: Final = 20
"""For followers and runs."""
_MARKS: Final = ("<!-- tests.bench.scale writes from here -->", "<!-- to here -->")
_PLOT: Final = "scale.svg"
_UPGRADE: Final = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
_RUN: Final[dict[str, Any]] = {
    "Image": "busybox",
    "Cmd": ["echo", "done"],
    "AttachStdout": True,
    "HostConfig": {"AutoRemove": True},
}


@dataclass
class Figure:
    """What one size took."""

    what: str
    size: int
    cpu: float
    """Seconds of swarmd's processor time."""
    wall: float
    memory: float
    """MiB that swarmd has had resident at most."""

    @property
    def each(self) -> float:
        """Milliseconds of processor time for each of what there are `size`."""
        return 1000 * self.cpu / self.size


@contextmanager
def balanced(engines: Sequence[Path]) -> Generator[tuple[Swarmd, str]]:
    """A swarmd that balances the engines; gives it, and its socket."""
    with tempfile.TemporaryDirectory() as folder:
        members, path = Path(folder) / "members", f"{folder}/docker.sock"
        members.write_text("".join(f"e{number}=docker unix://{each}\n" for number, each in enumerate(engines)))
        with swarmd(f"balance --watch-file {members}", listen=f"unix://{path}") as started:
            wait_until(lambda: is_served(Path(path)), "swarmd", started.process)
            yield started, path


def taken(what: str, size: int, started: Swarmd, act: Callable[[], object]) -> Figure:
    """What an action takes of swarmd."""
    pid = started.process.pid
    cpu, began = cpu_seconds(pid), time.perf_counter()
    act()
    wall = time.perf_counter() - began
    return Figure(what, size, cpu_seconds(pid) - cpu, wall, peak_memory(pid))


def coming_up(engines: int) -> Figure:
    """From the start of the process until all engines are known."""
    with tempfile.TemporaryDirectory() as folder, fixed_engines(Path(folder), engines, _CONTAINERS) as sockets:
        began = time.perf_counter()
        with balanced(sockets) as (started, path):
            trio.run(_ping, path)
            wall, pid = time.perf_counter() - began, started.process.pid
            figure = Figure("engines of 100 containers come up", engines, cpu_seconds(pid), wall, peak_memory(pid))
            up = trio.run(answer_to, path, "GET /info")["Containers"]
    if up != engines * _CONTAINERS:
        raise RuntimeError(f"the engines that are up have {up} containers, of {engines * _CONTAINERS}")
    return figure


async def _ping(path: str) -> None:
    """Wait until all engines are known."""
    async with await ask(path, "GET /_ping") as stream:
        await answer_of(stream)


def listing(containers: int) -> Figure:
    """100 clients list all containers at once, when balance has inspected them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        fixed_engines(Path(folder), max(1, containers // _CONTAINERS), _CONTAINERS) as sockets,
        balanced(sockets) as (started, path),
    ):
        for _ in range(_SETTLING):
            trio.run(_list, path, containers)
        return taken(
            "containers, listed by 100 clients", containers, started, partial(_at_once, _list, _LISTS, path, containers)
        )


async def _list(path: str, containers: int) -> None:
    async with await ask(path, "GET /containers/json") as stream:
        found = (await answer_of(stream)).count(b'"Names"')
    if found != containers:
        raise RuntimeError(f"{found} containers are listed, of {containers}")


def following(followers: int) -> Figure:
    """Clients follow logs at once: each gets what there is of one, and all stay until all have it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        fixed_engines(Path(folder), _ENGINES, _CONTAINERS) as sockets,
        balanced(sockets) as (started, path),
    ):
        ids = [each["Id"] for each in trio.run(answer_to, path, "GET /containers/json")]
        here = Rendezvous()

        async def all_follow() -> None:
            here.expect(followers)
            async with trio.open_nursery() as nursery:
                for number in range(followers):
                    nursery.start_soon(_follow, path, ids[number % len(ids)], here)

        return taken("followers of logs", followers, started, lambda: trio.run(all_follow))


async def _follow(path: str, id: str, here: Rendezvous) -> None:
    async with await ask(path, f"GET /containers/{id}/logs?follow=1&stdout=1") as stream:
        await take(stream, LOG_BYTES)
        await here.wait()


def running(runs: int) -> Figure:
    """Clients run containers at once."""
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated_engines(Path(folder), _ENGINES) as sockets,
        balanced(sockets) as (started, path),
    ):
        trio.run(_ping, path)
        return taken("runs at once", runs, started, partial(_at_once, _run, runs, path))


async def _run(path: str) -> None:
    """What `docker run --rm` asks."""
    made = await answer_to(path, "POST /containers/create", _RUN)
    at = f"/containers/{made['Id']}"
    async with (
        await ask(path, f"POST {at}/attach?stream=1&stdout=1", more=_UPGRADE) as attached,
        await ask(path, f"POST {at}/wait?condition=removed") as waiting,
    ):
        _, output = await head_of(attached)
        await head_of(waiting)
        await answer_to(path, f"POST {at}/start")
        while part := await attached.receive_some():
            output += part
        if not output.endswith(b"done\n"):
            raise RuntimeError(f"a container printed {output!r}")
        await take(waiting, 1)


def _at_once(one: Callable[..., Any], count: int, *args: object) -> None:
    async def all_of_them() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one, *args)

    trio.run(all_of_them)


def _number(power: float) -> str:
    return f"{10**power:,.0f}"


def plot(figures: Sequence[Figure]) -> bytes:
    """Draw the processor time of each as it grows, as SVG."""
    chart: Any = importlib.import_module("pygal").XY(  # it has no types
        title="Processor time of one, as a multiple of that at the smallest size",
        x_title="how many",
        x_value_formatter=_number,
        x_labels=[1, 2, 3, 4],
        range=(0, 2),
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        style=importlib.import_module("pygal.style").CleanStyle(background="white"),
        js=[],
        width=720,
        height=420,
    )
    for what in dict.fromkeys(each.what for each in figures):
        of_it = [each for each in figures if each.what == what]
        chart.add(what, [(log10(each.size), each.each / of_it[0].each) for each in of_it])
    drawn: bytes = chart.render()
    return drawn


_COLUMNS: Final = ("", "how many", "CPU, s", "CPU of one, ms", "seconds", "peak memory, MiB")


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """The rows of the table."""
    return [
        (f.what, f"{f.size:,}", f"{f.cpu:.2f}", f"{f.each:.2f}", f"{f.wall:.1f}", f"{f.memory:.0f}") for f in figures
    ]


def write(folder: Path, figures: Sequence[Figure]) -> None:
    """Put the table and the plot into the docs, in place of those of an earlier run."""
    (folder / _PLOT).write_bytes(plot(figures))
    lines = [_COLUMNS, ("---", *["---:"] * (len(_COLUMNS) - 1)), *rows(figures)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    page = folder / "performance.md"
    begin, end = _MARKS
    alt = "Processor time of one engine, list, follower and run, by how many there are"
    written = f"{begin}\n\n{table}\n\n![{alt}]({_PLOT})\n\n{end}"
    text, found = re.subn(f"{begin}.*{end}", lambda _: written, page.read_text(), flags=re.DOTALL)
    if found != 1:
        raise RuntimeError(f"{page} must have the lines {begin!r} and {end!r} once")
    page.write_text(text)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--containers", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--followers", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--runs", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="of the docs")
    given = parser.parse_args()
    measured: dict[Callable[[int], Figure], list[int]] = {
        coming_up: given.engines,
        listing: given.containers,
        following: given.followers,
        running: given.runs,
    }
    figures = [measure(size) for measure, sizes in measured.items() for size in sizes]
    show("How swarmd grows", _COLUMNS, rows(figures))
    if given.write:
        write(given.write, figures)


if __name__ == "__main__":
    main()
