"""Many streams at once, direct and through `dockerserver | docker`: followers of a log, and execs; and the memory.

    python -m tests.bench.many [--logs 500] [--execs 200] [--rounds 3]

Needs dockerd. Both ways begin at a unix socket.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import trio

from tests.bench.common import in_turns, need, peak_memory, show
from tests.bench.quick import Rendezvous, ask, take
from tests.support.engines import docker, engine, swarmd

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


def rate(one: Callable[[str], Any], count: int, size: int, path: str) -> float:
    """MiB a second of `count` streams at once, each of `size` bytes."""
    began = time.perf_counter()
    trio.run(_all, one, count, path)
    return count * size / (1 << 20) / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=500)
    parser.add_argument("--execs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    need("dockerd", "docker")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    rows: list[tuple[object, ...]] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        started = stack.enter_context(engine())
        ours = stack.enter_context(swarmd(f"docker {started.host}", listen=f"unix://{folder}/docker.sock"))
        docker(started.host, "run", "-d", "--name", "box", "--network", "none", "busybox", *_SAY, check=True)
        ways = {"direct": str(started.socket), "through": f"{folder}/docker.sock"}
        kinds = {"logs -f": (_follow, given.logs, _LOG_BYTES), "exec": (_exec, given.execs, _EXEC_BYTES)}
        for what, (one, count, size) in kinds.items():
            subjects = {way: partial(rate, one, count, size, path) for way, path in ways.items()}
            found = in_turns(subjects, given.rounds)
            ratio = f"{found['through'] / found['direct']:.2f}"
            memory = f"{peak_memory(ours.process.pid):.0f}"
            rows.append((f"{count} of {what}", f"{found['direct']:.1f}", f"{found['through']:.1f}", ratio, memory))
    show(
        "Streams at once",
        ["streams", "direct, MiB/s", "through", "ratio (goal 0.9)", "peak RSS so far, MiB (goal 80)"],
        rows,
    )


if __name__ == "__main__":
    main()
