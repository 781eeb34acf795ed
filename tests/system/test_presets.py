"""Real clients through their presets: Debian's Prometheus, and Testcontainers of PyPI with a Ryuk of its own."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import Swarmd, docker, engine, free_port, swarmd, wait_until

pytestmark = pytest.mark.engine
IMAGE = "testcontainers/ryuk:0.8.1"
PROMETHEUS = """
scrape_configs:
  - job_name: containers
    docker_sd_configs: [{host: "%s"}]
    relabel_configs: [{source_labels: [__meta_docker_container_name], target_label: found}]
"""
TESTS = """
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

with Network() as network, DockerContainer("busybox") as box:
    pass
with DockerContainer("busybox").with_command("sleep 1000").with_exposed_ports(80) as box:
    assert box.exec("echo hello").output == b"hello\\n"
    box.get_logs()
    assert [each.name for each in box.get_docker_client().client.containers.list()].count("other") == 0
    print(box.get_exposed_port(80))
"""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """An engine with a container of somebody else."""
    with engine() as running:
        docker(running.host, "run", "-d", "--name", "other", "--expose", "80", "busybox", "sleep", "1000", check=True)
        yield running.host
        running.kill()


@contextmanager
def served(preset: str, *end: str, guard: Path | None = None) -> Iterator[Swarmd]:
    """The preset in front of the rest of a chain, also at the guard's socket if there is one."""
    with swarmd(f"policy --preset {preset}", *end, listen=f"unix://{guard}" if guard else "") as running:
        yield running


def test_prometheus_discovers_containers_through_its_preset(host: str, tmp_path: Path) -> None:
    port = free_port()
    with served("prometheus", f"docker {host}") as guard:
        (tmp_path / "prometheus.yml").write_text(PROMETHEUS % guard.host)
        options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        command = ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: "/other" in _found(port), "prometheus", process)
        finally:
            process.kill()
            process.wait()
        assert "denied" not in guard.log.read_text()


def _found(port: int) -> set[str]:
    """The containers that Prometheus has discovered."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=5) as answer:
            targets: Any = json.load(answer)["data"]
    except OSError:
        return set()
    return {each["discoveredLabels"].get("__meta_docker_container_name", "") for each in targets["activeTargets"]}


@pytest.fixture(scope="module")
def testcontainers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules, with Testcontainers and what it needs."""
    folder = tmp_path_factory.mktemp("testcontainers")
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "-q", "--target", folder, "testcontainers"], check=True
    )
    return folder


@pytest.mark.parametrize("ryuk", [False, True])
def test_testcontainers_runs_through_its_preset(
    ryuk: bool, host: str, testcontainers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = tmp_path / "guard.sock"
    monkeypatch.setenv("GUARD_SOCKET", str(guard))
    end = f"simulator --image {IMAGE}" if ryuk else f"docker {host}"
    with served("testcontainers", end, guard=guard) as running:
        environment = {**os.environ, "DOCKER_HOST": running.host, "PYTHONPATH": str(testcontainers)}
        environment["TESTCONTAINERS_CONNECTION_MODE"] = "docker_host"  # also if these tests run in a container
        environment |= {"RYUK_CONTAINER_IMAGE": IMAGE} if ryuk else {"TESTCONTAINERS_RYUK_DISABLED": "true"}
        command = [sys.executable, "-c", TESTS]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr.decode() + running.log.read_text()
        assert done.stdout.strip().isdigit()
        denied = docker(running.host, "run", "--rm", "--privileged", "busybox", "true").stderr.decode()
        assert "HostConfig.Privileged asks for 'true'" in denied
