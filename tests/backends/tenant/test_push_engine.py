"""Pushes of tenants to a real registry: only what is granted, and nothing of it is left on the engine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.support.engines import Engine, docker, engine, swarmd
from tests.support.registries import PASSWORD, USER
from tests.support.registries import registry as a_registry

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry that asks for a password."""
    with a_registry(tmp_path_factory.mktemp("registry"), password=True) as address:
        yield address


@pytest.fixture(scope="module")
def config(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the configuration of docker, in which the password is."""
    folder = tmp_path_factory.mktemp("config")
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    return folder


def tags(address: str, name: str) -> list[str]:
    asked = Request(f"http://{address}/v2/{name}/tags/list")
    asked.add_header("Authorization", "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
    with urlopen(asked, timeout=5) as answer:
        return sorted(json.load(answer)["tags"])


@pytest.fixture(scope="module")
def real() -> Iterator[Engine]:
    with engine(["--bridge=none", "--iptables=false"], namespaces="-m") as started:
        yield started


@pytest.fixture(scope="module")
def folder(real: Engine, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a swarmd with two tenants, of whom alice may push."""
    path = tmp_path_factory.mktemp("tenants")
    tenants = "".join(
        f'[tenant.{name}]\nimages = ["busybox", "{registry}/**"]\nsocket = "{path}/{name}.sock"\n'
        for name in ("bob", "alice")
    )
    (path / "tenants.toml").write_text(f'{tenants}[tenant.alice.container]\ntags = ["{registry}/alice/*"]\n')
    with swarmd(f"tenant {path}/tenants.toml", f"docker {real.host}", listen=f"unix://{path}/all.sock"):
        yield path


def run(folder: Path, config: Path, who: str, *words: str) -> str:
    """Run docker as a tenant with the password; return all that it says."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": str(config)}
    command = ["docker", "-H", f"unix://{folder}/{who}.sock", *words]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    return f"{done.returncode} {(done.stdout + done.stderr).decode()}"


def test_a_push_publishes_what_is_granted(real: Engine, registry: str, folder: Path, config: Path) -> None:
    for number in (1, 2):
        run(folder, config, "alice", "tag", "busybox", f"{registry}/alice/app:{number}")
    assert run(folder, config, "alice", "push", f"{registry}/alice/app:1").startswith("0 ")
    assert tags(registry, "alice/app") == ["1"]
    said = run(folder, config, "alice", "push", "-a", f"{registry}/alice/app")
    assert said.startswith("0 ")
    assert "tenant.invalid" not in said
    assert tags(registry, "alice/app") == ["1", "2"]
    kept = docker(real.host, "images", "--format", "{{.Repository}}", check=True).stdout.decode().split()
    assert [name for name in kept if name.startswith(registry)] == []


def test_a_build_pulls_with_the_clients_password(real: Engine, registry: str, folder: Path, config: Path) -> None:
    (folder / "Dockerfile").write_text(f"FROM {registry}/alice/app:1\nENV a=b\n")
    nobody = folder / "nobody"
    nobody.mkdir(exist_ok=True)
    assert "no basic auth credentials" in run(folder, nobody, "bob", "build", str(folder))
    said = run(folder, config, "bob", "build", "-t", "app", str(folder))
    assert said.startswith("0 ")
    assert "Status: Downloaded newer image" in said
    assert "Step 2/2 : ENV a=b" in said


def test_a_push_of_anything_else_is_refused(real: Engine, registry: str, folder: Path, config: Path) -> None:
    run(folder, config, "alice", "tag", "busybox", f"{registry}/other/app:1")
    run(folder, config, "bob", "tag", "busybox", f"{registry}/alice/app:3")
    for who, name in (("alice", f"{registry}/other/app:1"), ("bob", f"{registry}/alice/app:3")):
        assert "is not granted" in run(folder, config, who, "push", name)
    for name in (f"{registry}/alice/app:3", f"{registry}/alice/none"):
        said = run(folder, config, "alice", "push", name)
        assert "An image does not exist locally with the tag" in said
    docker(real.host, "import", "-", f"{registry}/alice/app:4", input=b"\0" * 1024, check=True)
    run(folder, config, "alice", "tag", "busybox", f"{registry}/alice/app:4")
    assert "the engine has another image of the name" in run(folder, config, "alice", "push", f"{registry}/alice/app:4")
