"""A container that binds the gateway's socket is known by its id, its labels and its image, and not as root."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Engine, docker
from tests.support.processes import Swarmd

pytestmark = pytest.mark.engine

RULES = """
[clients.root]
users = [0]

[clients.runners]
container_labels = ["role=ci"]

[[rule]]
allow = ["SystemPing*"]

[[rule]]
clients = ["root"]
allow = ["SystemInfo"]

[[rule]]
clients = ["runners"]
allow = ["ContainerList"]
"""
ASKS = """
import socket
with socket.socket(socket.AF_UNIX) as client:
    client.connect("{0}/docker.sock")
    client.sendall(b"GET {1} HTTP/1.0\\r\\n\\r\\n")
    print(client.recv(12).decode())
"""


@pytest.fixture(scope="module")
def folder(engines: tuple[Engine, Engine]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="calling-", dir="/tmp") as path:
        folder = Path(path)
        (folder / "rules.toml").write_text(RULES)
        words = (
            f"dockerserver unix://{folder}/docker.sock",
            f"policy {folder}/rules.toml",
            f"docker {engines[0].host}",
        )
        with Swarmd(*words, errors=folder / "errors"):
            yield folder


def status(folder: Path, engine: Engine, target: str, *options: str) -> int:
    """The status that a process in a container gets. It runs this machine's Python, in this machine's files."""
    program = ASKS.format(folder, target)
    command = (
        "run",
        "--rm",
        "--network=none",
        "-v",
        "/:/host",
        *options,
        "busybox",
        "chroot",
        "/host",
        "python3",
        "-c",
    )
    return int(docker(engine.host, *command, program, check=True).stdout.split()[1])


def test_a_container_is_known_by_its_labels_and_its_root_is_not_this_machines(
    folder: Path, engines: tuple[Engine, Engine]
) -> None:
    engine = engines[0]
    assert status(folder, engine, "/containers/json") == 403
    assert status(folder, engine, "/containers/json", "--label", "role=ci") == 200
    assert status(folder, engine, "/info", "--label", "role=ci") == 403
    assert docker(f"unix://{folder}/docker.sock", "info").returncode == 0


def test_a_command_in_a_container_is_the_containers(folder: Path, engines: tuple[Engine, Engine]) -> None:
    host = engines[0].host
    options = ("--network=none", "-v", "/:/host", "--label", "role=ci", "--name", "runner")
    docker(host, "run", "-d", *options, "busybox", "sleep", "600", check=True)
    command = ("exec", "runner", "chroot", "/host", "python3", "-c", ASKS.format(folder, "/containers/json"))
    try:
        assert docker(host, *command, check=True).stdout.split()[1] == b"200"
    finally:
        docker(host, "rm", "-f", "runner")
