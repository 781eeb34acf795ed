"""Many streams at once, direct and through `dockerserver | docker`: followers of a log, and execs. It prints the rates,
and what swarmd takes for them: its processor time, and its memory.

    python -m tests.bench.many [--logs 500] [--execs 200] [--rounds 3] [--beside OTHER/.venv/bin/python]

Needs dockerd, which takes several times as much processor time as swarmd. All ways begin at a unix socket. With
--beside it measures the swarmd of another checkout in the same run, all ways taking turns: before and after.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tests.bench.common import add_beside, need, peak_memory, pythons, show
from tests.bench.quick import Rendezvous, ask, take
from tests.bench.streams import REFERENCE_MIB, Gateway, gateway, in_turns
from tests.support.engines import docker, engine

_LOG_BYTES = 200_000
_EXEC_BYTES = 5 << 20
_LINE = "2026-11-24T12:00:00Z INFO request served method=GET path=/containers/json status=200 took=1.3ms client=::1"
_SAY = ["sh", "-c", f"yes '{_LINE}' | head -c {_LOG_BYTES}; exec sleep 3600"]
_EXEC = ["dd", "if=/dev/zero", "bs=64k", f"count={_EXEC_BYTES >> 16}"]


_all_are_here = Rendezvous()


async def _follow(path: str) -> None:
    async with await ask(path, "GET /containers/box/logs?follow=1&stdout=1") as stream:
        await take(stream, _LOG_BYTES)
        await _all_are_here.wait()


async def _exec(path: str) -> None:
    body = {"AttachStdout": True, "Cmd": _EXEC}
    async with await ask(path, "POST /containers/box/exec", body) as stream:
        answer = b""
        while not answer.endswith(b"}\n"):
            answer += await stream.receive_some()
    made = json.loads(answer.partition(b"\r\n\r\n")[2])
    async with await ask(path, f"POST /exec/{made['Id']}/start", {"Detach": False, "Tty": False}) as stream:
        await take(stream, _EXEC_BYTES)
        await _all_are_here.wait()


async def _all(one: Callable[[str], Any], count: int, path: str) -> None:
    _all_are_here.expect(count)
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one, path)


def move(one: Callable[[str], Any], count: int, path: Path) -> None:
    """Run `count` streams at once by the engine, or gateway, on this socket."""
    trio.run(_all, one, count, str(path))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=500)
    parser.add_argument("--execs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    add_beside(parser)
    given = parser.parse_args()
    need("dockerd", "docker")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    rows: list[tuple[object, ...]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = stack.enter_context(engine())
        docker(started.host, "run", "-d", "--name", "box", "--network", "none", "busybox", *_SAY, check=True)
        ways = {"direct": Gateway(started.socket)}
        for name, python in pythons(given, "swarmd").items():
            ways[name] = stack.enter_context(gateway(python, started.socket, folder / f"{name}.sock"))
        kinds = {"logs -f": (_follow, given.logs, _LOG_BYTES), "exec": (_exec, given.execs, _EXEC_BYTES)}
        for what, (one, count, size) in kinds.items():
            found = in_turns(partial(move, one, count), count * size / (1 << 20), ways, given.rounds)
            direct = found["direct"].rate
            rows.append((f"{count} of {what}", "direct", f"{direct:.1f}"))
            for name in list(ways)[1:]:
                rate, cpu = found[name]
                memory = f"{peak_memory(ways[name].pid or 0):.0f}"
                rows.append(("", name, f"{rate:.1f}", f"{rate / direct:.2f}", f"{cpu:.2f}", memory))
    columns = ["streams", "by", "MiB/s", "ratio (goal 0.9)", f"CPU s for {REFERENCE_MIB} MiB"]
    show("Streams at once", [*columns, "peak RSS so far, MiB (goal 80)"], rows)


if __name__ == "__main__":
    main()
