"""Protected objects and held calls, as the docker CLI meets them on a real engine."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import invoke
from tests.support.engines import Engine, docker, docker_process, wait_until
from tests.support.processes import Swarmd

pytestmark = pytest.mark.engine

RULES = """
protect = "swarmlib.protect"

[[rule]]
name = "all"
allow = ["*"]
hold = ["VolumeDelete"]
[rule.container]
images = ["**"]
names = ["**"]
networks = ["**"]
volumes = ["**"]
fields = ["**"]
"""


@pytest.fixture(scope="module")
def gateway(engines: tuple[Engine, Engine]) -> Iterator[Path]:
    """The folder of a gateway's sockets, over an engine with a protected container in a network, with a volume."""
    with tempfile.TemporaryDirectory(prefix="held-", dir="/tmp") as path:
        folder = Path(path)
        (folder / "rules.toml").write_text(RULES)
        host = engines[0].host
        docker(host, "network", "create", "kept", check=True)
        run = ("run", "-d", "--name", "kept", "--network", "kept", "-v", "kept:/data", "--label", "swarmlib.protect")
        docker(host, *run, "busybox", "sleep", "600", check=True)
        words = ("run", "--control", f"{folder}/control.sock", f"dockerserver unix://{folder}/docker.sock")
        with Swarmd(*words, f"policy {folder}/rules.toml", f"docker {host}", errors=folder / "errors"):
            yield folder
        docker(host, "rm", "-f", "kept", check=True)
        docker(host, "network", "rm", "kept")
        docker(host, "volume", "rm", "-f", "kept")


@pytest.mark.parametrize("stopped", [False, True])
def test_no_command_of_the_cli_harms_what_is_protected(
    gateway: Path, engines: tuple[Engine, Engine], stopped: bool
) -> None:
    host = f"unix://{gateway}/docker.sock"
    if stopped:
        docker(engines[0].host, "kill", "kept", check=True)
    for command in (
        ("rm", "-f", "kept"),
        ("rm", "-fv", "kept"),
        ("stop", "kept"),
        ("kill", "kept"),
        ("restart", "kept"),
        ("update", "--memory", "64m", "--memory-swap", "64m", "kept"),
        ("rename", "kept", "gone"),
        ("network", "rm", "kept"),
        ("network", "disconnect", "-f", "kept", "kept"),
        ("volume", "rm", "-f", "kept"),
    ):
        done = docker(host, *command)
        assert done.returncode != 0, command
        assert b"is protected by the label swarmlib.protect" in done.stderr, (command, done.stderr)
    docker(host, "container", "prune", "-f", check=True)
    docker(host, "volume", "prune", "-f", check=True)
    pruned = docker(host, "network", "prune", "-f")
    assert (b"it would remove networks of containers/kept" in pruned.stderr) is stopped
    assert docker(engines[0].host, "inspect", "kept", check=True)
    assert docker(engines[0].host, "network", "inspect", "kept", check=True)
    docker(engines[0].host, "start", "kept", check=True)


def test_a_command_waits_until_it_is_approved(gateway: Path, engines: tuple[Engine, Engine]) -> None:
    docker(engines[0].host, "volume", "create", "precious", check=True)
    control = ("--control", str(gateway / "control.sock"))
    with docker_process(f"unix://{gateway}/docker.sock", "volume", "rm", "precious") as command:
        wait_until(lambda: invoke("policy", "pending", *control).stdout, "a held call", command)
        held = json.loads(invoke("policy", "pending", "--json", *control).stdout)
        assert (held["operation"], held["object"]["name"]) == ("VolumeDelete", "precious")
        assert held["lost"]["bytes"] == 0
        assert command.poll() is None
        invoke("policy", "approve", held["id"], *control)
        assert command.wait(20) == 0
    assert docker(engines[0].host, "volume", "inspect", "precious").returncode != 0
