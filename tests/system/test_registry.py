"""login, push and pull against a real registry, through the gateway; and passwords that never show in a log."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Engine, Swarmd, engine, swarmd
from tests.support.registries import PASSWORD, USER, registry

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def near() -> Iterator[tuple[Engine, Swarmd]]:
    """An engine that shares this machine's loopback, and so reaches the registry; behind debug and balance."""
    options = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    with engine(options, namespaces="-m") as near, swarmd("debug --values", f'balance "docker {near.host}"') as ours:
        yield near, ours


class Cli:
    """The docker CLI with a configuration of its own, which holds what `login` stores."""

    def __init__(self, host: str, config: Path) -> None:
        self._command = ["docker", "--config", str(config), "-H", host]

    def __call__(self, *args: str, code: int = 0, given: str = "") -> str:
        done = subprocess.run([*self._command, *args], input=given, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr


def test_push_and_pull(near: tuple[Engine, Swarmd], tmp_path: Path) -> None:
    cli = Cli(near[1].host, tmp_path)
    with registry(tmp_path, password=False) as address:
        image = f"{address}/team/box:1.0"
        cli("tag", "busybox", image)
        assert "digest: sha256:" in cli("push", image)
        cli("rmi", image)
        assert f"Status: Downloaded newer image for {image}" in cli("pull", image)
        assert cli("run", "--rm", "--network", "none", image, "echo", "pulled") == "pulled\n"
        assert "not found" in cli("pull", f"{address}/team/nosuch", code=1)


def test_login_and_what_needs_it(near: tuple[Engine, Swarmd], tmp_path: Path) -> None:
    cli = Cli(near[1].host, tmp_path)
    with registry(tmp_path, password=True) as address:
        image = f"{address}/box"
        cli("tag", "busybox", image)
        assert "no basic auth credentials" in cli("push", image, code=1)
        wrong = cli("login", "-u", USER, "--password-stdin", address, code=1, given="wrong")
        assert "401 Unauthorized" in wrong
        assert "Login Succeeded" in cli("login", "-u", USER, "--password-stdin", address, given=PASSWORD)
        assert "digest: sha256:" in cli("push", image)
        assert "Status: " in cli("pull", image)
        cli("logout", address)
        assert "no basic auth credentials" in cli("pull", image, code=1)
    log = near[1].log.read_text()
    stored = ("auth", "X-Registry-Auth", "x-registry-auth")
    assert any(name in log for name in stored)
    assert PASSWORD not in log
    assert "eyJ" not in log  # the beginning of any JSON object in base64, which is how credentials travel
