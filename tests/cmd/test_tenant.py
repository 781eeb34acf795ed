"""`swarmd tenant`: leases of a running swarmd, and what tenants use."""

import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from swarmlib import Denied, connect
from swarmlib_backends import Docker
from tests.support.command import invoke
from tests.support.engines import free_port
from tests.support.processes import Swarmd

FILE = """
[tenant.alice]
images = ["busybox"]
socket = "FOLDER/alice.sock"
[tenant.alice.quota]
memory = "1GiB"
cpus = 1.5
[tenant.alice.defaults]
memory = "64MiB"
cpus = 0.5
[lease]
images = ["busybox"]
socket = "FOLDER"
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The folder of a swarmd with tenants, whose control socket is `control` there."""
    with tempfile.TemporaryDirectory(prefix="tenants-", dir="/tmp") as name:
        path = Path(name)
        (path / "tenants.toml").write_text(FILE.replace("FOLDER", name))
        chain = [f"dockerserver unix://{name}/all.sock", f"tenant {name}/tenants.toml", "simulator"]
        with Swarmd("run", "--control", f"{name}/control", *chain, errors=path / "log"):
            yield path


def run(folder: Path, *words: str, code: int = 0) -> str:
    """What a command of `swarmd tenant` prints, or says of its failure."""
    written = invoke("tenant", *words, code=code, env={"SWARMD_CONTROL": f"{folder}/control"})
    return written.stderr if code else written.stdout


def start(host: str, name: str) -> None:
    """Create and start a container."""

    async def fill() -> None:
        async with connect(Docker(host)) as tenant:
            await tenant.spawn({"Image": "busybox", "Cmd": ["sleep", "1000"]}, name=name)
            await tenant.start("containers", name)

    trio.run(fill)


def test_a_lease_is_printed_for_a_shell_and_ended(folder: Path) -> None:
    comment, export = run(folder, "lease", "--ttl", "1h", "--quota", "containers=1", "ci").splitlines()
    tenant = comment.removeprefix("# ").partition(":")[0]
    host = shlex.split(export)[1].removeprefix("DOCKER_HOST=")
    assert host == f"unix://{folder}/{tenant}.sock"
    start(host, "web")
    with pytest.raises(Denied, match="containers: 1 in use"):
        start(host, "more")
    assert [line.split()[:3] for line in run(folder, "usage", tenant).splitlines()[:1]] == [[tenant, "containers", "1"]]
    assert f"s left of its lease at {host}" in run(folder, "ls")
    run(folder, "end", tenant)
    assert tenant not in run(folder, "ls")
    assert "error: tenant: no such lease" in run(folder, "end", tenant, code=1)


def test_an_address_comes_with_a_token_for_the_docker_cli(folder: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    _, host, config = run(folder, "lease", "--ttl", "1h", "--tcp", address).splitlines()
    assert host == f"export DOCKER_HOST=tcp://{address}"
    file = Path(shlex.split(config)[1].removeprefix("DOCKER_CONFIG=")) / "config.json"
    assert file.stat().st_mode & 0o777 == 0o600
    header = json.loads(file.read_text())["HttpHeaders"]["Authorization"]
    assert header.startswith("Bearer ")
    assert header.removeprefix("Bearer ") not in run(folder, "ls", "--json") + (folder / "log").read_text()
    file.unlink()
    file.parent.rmdir()


def test_usage_is_told_for_people_and_programs(folder: Path) -> None:
    start(f"unix://{folder}/alice.sock", "web")
    lines = [line.split(maxsplit=2) for line in run(folder, "usage", "alice").splitlines()]
    assert ["alice", "memory", "64MiB of 1GiB"] in lines
    assert ["alice", "cpus", "0.5 of 1.5"] in lines
    (row,) = json.loads(run(folder, "usage", "--json", "alice"))
    assert (row["Used"]["memory"], row["Limits"]) == (2**26, {"memory": 2**30, "cpus": 15 * 10**8})


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--quota", "memry=1"), "unknown resource 'memry'; did you mean 'memory'?"),
        (("--quota", "memory"), "invalid amount '' of memory"),
        (("--quota", "cpus=inf"), "invalid amount 'inf' of cpus"),
        (("--quota", "pids=1.5"), "invalid amount '1.5' of pids"),
    ],
)
def test_a_wrong_limit_is_told(folder: Path, words: tuple[str, ...], error: str) -> None:
    assert error in run(folder, "lease", "--ttl", "1h", *words, code=2)
