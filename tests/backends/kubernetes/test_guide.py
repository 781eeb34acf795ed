"""The commands of the guide to Kubernetes, on a real cluster, alone and as a member of `balance`."""

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.engines import Engine, docker, engine, wait_until
from tests.support.guides import blocks, guide
from tests.support.paths import ROOT

pytestmark = pytest.mark.cluster

COMMANDS = [
    line
    for block in blocks(guide("docs/kubernetes.md"), "sh")
    for line in block.text.splitlines()
    if "kubernetes" in line or "docker -H unix:///run/swarm.sock" in line
]


@contextmanager
def running(command: str, cluster: Cluster, engine: Engine, socket: Path) -> Iterator[str]:
    """A swarmd of the guide, with the tests' cluster, engine and socket in place of the reader's."""
    changed = {
        "unix:///var/run/docker.sock": engine.host,
        "unix:///run/swarm.sock": f"unix://{socket}",
        "registry.example.com/ci": f"{cluster.registry()}/{cluster.namespace}",
        "--namespace ci": f"--namespace {cluster.namespace} --kubeconfig {cluster.kubeconfig} --tools-image busybox:1",
    }
    for theirs, ours in changed.items():
        command = command.replace(theirs, ours)
    _, *words = shlex.split(command)
    process = subprocess.Popen([ROOT / ".venv" / "bin" / "swarmd", *words], stdin=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, "swarmd", process)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        assert process.wait(20) == 143


def test_all_commands_are_among_these() -> None:
    assert [line.split()[0].rpartition("/")[2] for line in COMMANDS] == [
        *("pip", "swarmd", "docker", "swarmd"),
        *("swarmd", "docker", "docker"),
    ]


@pytest.mark.engine
@pytest.mark.parametrize("command", [line for line in COMMANDS if line.endswith("'kubernetes --namespace ci'")])
def test_a_cluster_is_an_engine(command: str, cluster: Cluster, engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    with running(command, cluster, engines[0], tmp_path / "s") as host:
        run = shlex.split(next(line for line in COMMANDS if " run " in line))
        assert run[3:] == ["run", "--rm", "busybox", "echo", "hello"]
        ran = docker(host, "run", "--rm", f"{cluster.registry()}/busybox:1", "echo", "hello", check=True)
        assert ran.stdout == b"hello\n"


@pytest.mark.engine
@pytest.mark.parametrize("command", [line for line in COMMANDS if "balance" in line])
def test_a_cluster_is_a_member_beside_an_engine(
    command: str, cluster: Cluster, engines: tuple[Engine, Engine], tmp_path: Path
) -> None:
    with running(command, cluster, engines[0], tmp_path / "s") as host:
        image = f"{cluster.registry()}/busybox:1"
        made = docker(host, "run", "--rm", "-e", "constraint:node==k", image, "hostname")
        assert (made.stderr, made.returncode) == (b"", 0)
        assert made.stdout.strip()
        names = docker(host, "info", "--format", "{{range .DriverStatus}}{{.}}{{end}}", check=True).stdout.decode()
        assert "Node k" in names


@pytest.mark.engine
def test_what_an_engine_builds_runs_in_the_cluster(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_text('FROM busybox\nCMD ["echo", "built"]\n')
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    monkeypatch.chdir(tmp_path)
    (command,) = [line for line in COMMANDS if "--builder" in line]
    build, run = (shlex.split(line) for line in COMMANDS[COMMANDS.index(command) + 1 :][:2])
    with (
        engine(["--bridge=none", "--iptables=false"], namespaces="-m") as builder,
        running(command, cluster, builder, tmp_path / "s") as host,
    ):
        docker(host, *build[3:], check=True)
        assert docker(host, *run[3:], check=True).stdout == b"built\n"
