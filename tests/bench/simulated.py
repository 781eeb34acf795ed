"""Simulated engines, all in one process of their own: `dockerserver | simulator` on `FOLDER/NUMBER.sock`.

python -m tests.bench.simulated FOLDER ENGINES
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import trio

from swarmlib import Chain
from tests.bench.common import process
from tests.support.engines import is_served, wait_until


async def _serve(folder: Path, engines: int) -> None:
    async with AsyncExitStack() as stack:
        for number in reversed(range(engines)):  # the first is there when all are
            chain = Chain(f"dockerserver unix://{folder}/{number}.sock", "simulator")
            await stack.enter_async_context(chain.open())
        await trio.sleep_forever()


@contextmanager
def simulated_engines(folder: Path, engines: int) -> Generator[list[Path]]:
    """Run them as long as the context; give their sockets."""
    with process([sys.executable, "-m", "tests.bench.simulated", str(folder), str(engines)]) as started:
        wait_until(lambda: is_served(folder / "0.sock"), "the engines", started)
        yield [folder / f"{number}.sock" for number in range(engines)]


if __name__ == "__main__":
    trio.run(_serve, Path(sys.argv[1]), int(sys.argv[2]))
