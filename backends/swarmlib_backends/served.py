"""A chain behind a Docker API server of its own, in this process, for tests of programs that use Docker."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from swarmlib import Chain, Client, connect
from swarmlib.chain import Stages
from swarmlib.client import sync

from .dockerserver import DockerServer


class Served(sync.Client):
    """The verbs over a chain, blocking; `host` is the address at which any Docker client reaches the same chain."""

    host: str


@contextmanager
def served(*stages: Stages) -> Generator[Served]:
    """Serve a chain until the context ends, on a unix socket in a private folder, which only this user can reach.

    Raises: as `swarmlib.connect`.
    """
    with tempfile.TemporaryDirectory(prefix="swarmlib-") as folder:
        host = f"unix://{Path(folder, 'docker.sock')}"
        with Served.over(_serving(host, stages)) as swarm:
            swarm.host = host
            yield swarm


@asynccontextmanager
async def _serving(host: str, stages: tuple[Stages, ...]) -> AsyncGenerator[Client]:
    async with connect(*stages) as swarm, Chain(DockerServer([host])).open(swarm.sender):
        yield swarm
