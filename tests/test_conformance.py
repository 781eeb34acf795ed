"""Every built-in backend keeps the whole contract: one line each."""

import io
from pathlib import Path

import pytest

from swarmlib import Chain
from swarmlib.testing import Reference, check_backend
from swarmlib_backends.aggregate import Aggregate
from swarmlib_backends.balance import Balance
from swarmlib_backends.debug import Debug
from swarmlib_backends.docker import Docker
from swarmlib_backends.dockerserver import DockerServer
from swarmlib_backends.exec import Exec
from tests.engines import Engine
from tests.leaves import containers, processes

LOCAL = processes(Env=["constraint:node==local"])
"""Processes behind balance, which places them only where a rule asks for it."""
KEPT = 1 << 20
"""Bytes of output that exec keeps of each workload: less than what counts as flat memory."""


async def test_debug() -> None:
    await check_backend(lambda: Debug(values=True, out=io.StringIO()))


async def test_aggregate() -> None:
    leaf = Reference()
    await check_backend(lambda: Aggregate([Chain(leaf)]), over=leaf)


async def test_exec() -> None:
    await check_backend(lambda: Exec(log_bytes=KEPT), leaf=processes())


async def test_balance() -> None:
    await check_backend(lambda: Balance([Chain(Exec(log_bytes=KEPT), label="local")]), leaf=LOCAL)


async def test_dockerserver(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/docker.sock"
    await check_backend(lambda: DockerServer([address]), client=lambda: Docker(address))


@pytest.mark.engine
async def test_docker(engines: tuple[Engine, Engine]) -> None:
    await check_backend(lambda: Docker(engines[0].host), leaf=containers())
