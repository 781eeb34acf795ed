"""Quotas, ports and leases over a real engine, with the docker CLI."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.engines import Engine, docker, engine, free_port, is_served, wait_until
from tests.support.processes import SWARMD, Swarmd

pytestmark = pytest.mark.engine

FILE = """
[tenant.alice]
images = ["busybox"]
socket = "FOLDER/alice.sock"
ports = "20000-20001"
[tenant.alice.quota]
containers = 5
memory = "200MiB"
[tenant.alice.defaults]
memory = "64MiB"
[lease]
images = ["busybox"]
socket = "FOLDER"
"""


@pytest.fixture(scope="module")
def real() -> Iterator[Engine]:
    with engine() as started:
        yield started


def serving(real: Engine, folder: Path) -> Swarmd:
    """A swarmd with tenants over the engine."""
    (folder / "tenants.toml").write_text(FILE.replace("FOLDER", str(folder)))
    chain = [f"dockerserver unix://{folder}/all.sock", f"tenant {folder}/tenants.toml", f"docker {real.host}"]
    return Swarmd("run", "--control", f"{folder}/control", *chain, errors=folder / "log")


@pytest.fixture(scope="module")
def folder(real: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a swarmd with tenants."""
    path = tmp_path_factory.mktemp("tenants")
    with serving(real, path):
        yield path


def alice(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return docker(f"unix://{folder}/alice.sock", *words)


def command(folder: Path, *words: str) -> str:
    """Run `swarmd tenant`, and return what it prints."""
    words = (words[0], "--control", f"{folder}/control", *words[1:])
    return subprocess.run([*SWARMD, "tenant", *words], capture_output=True, check=True).stdout.decode()


def lease(folder: Path, *words: str) -> dict[str, str]:
    """Lease a host for an hour."""
    made: dict[str, str] = json.loads(command(folder, "lease", "--ttl", "1h", "--json", *words))
    return made


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stdout + done.stderr).decode()


def names(real: Engine, *words: str) -> list[str]:
    """What the engine lists, by name."""
    form = "{{.Names}}" if words[0] == "ps" else "{{.Name}}"
    return docker(real.host, *words, "--format", form, check=True).stdout.decode().split()


def left(real: Engine) -> list[str]:
    """What leases have on the engine, by name."""
    found = [name for what in (("ps", "-a"), ("network", "ls"), ("volume", "ls")) for name in names(real, *what)]
    found += docker(real.host, "images", "--format", "{{.Repository}}").stdout.decode().split()
    return [name for name in found if "lease-" in name or len(name) == 64]


def test_of_many_at_once_the_quota_admits_as_many_as_it_says(real: Engine, folder: Path) -> None:
    with ThreadPoolExecutor(10) as pool:
        done = list(pool.map(lambda n: alice(folder, "create", "--name", f"c{n}", "busybox"), range(20)))
        assert sorted(each.returncode for each in done) == [0] * 5 + [1] * 15
        assert "the quota of tenant alice is exceeded: containers: 5 in use" in "".join(map(said, done))
        assert len(names(real, "ps", "-a")) == 5
        assert names(real, "network", "ls").count("alice.bridge") == 1
        assert alice(folder, "rm", *alice(folder, "ps", "-aq").stdout.decode().split()).returncode == 0
        wait_until(lambda: alice(folder, "create", "--name", "again", "busybox").returncode == 0, "room in the quota")
        alice(folder, "rm", "again")


def test_what_runs_counts_with_its_limits(real: Engine, folder: Path) -> None:
    for number in range(3):
        assert alice(folder, "run", "-d", "--name", f"r{number}", "busybox", "sleep", "100").returncode == 0
    refused = alice(folder, "run", "-d", "--name", "r3", "busybox", "sleep", "100")
    assert "memory: 192MiB in use, 64MiB more requested, at most 200MiB allowed" in said(refused)
    changed = alice(folder, "update", "--memory", "100m", "--memory-swap", "100m", "r0")
    assert "36MiB more requested" in said(changed)
    alice(folder, "kill", "r1")
    wait_until(lambda: alice(folder, "start", "r3").returncode == 0, "room in the quota")
    assert alice(folder, "rm", "-f", "r0", "r1", "r2", "r3").returncode == 0
    (info,) = alice(folder, "info", "--format", "{{.MemTotal}}").stdout.split()
    assert int(info) == 200 * 2**20


def test_ports_are_shown_as_they_were_asked_for(real: Engine, folder: Path) -> None:
    assert alice(folder, "run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sleep", "100").returncode == 0
    assert b"0.0.0.0:8080" in alice(folder, "port", "web", "80").stdout
    assert b"0.0.0.0:8080->80/tcp" in alice(folder, "ps").stdout
    assert b"0.0.0.0:20000->80/tcp" in docker(real.host, "ps").stdout
    again = alice(folder, "run", "-d", "--name", "again", "-p", "8080:80", "busybox", "sleep", "100")
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in said(again)
    assert "20000" not in said(again)
    assert alice(folder, "rm", "-f", "web", "again").returncode == 0


def test_a_token_in_the_cli_s_configuration_opens_an_address(real: Engine, folder: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    made = lease(folder, "--tcp", address)
    (tmp_path / "config.json").write_text(json.dumps({"HttpHeaders": {"Authorization": f"Bearer {made['Token']}"}}))
    opened = subprocess.run(
        ["docker", "--config", str(tmp_path), "-H", f"tcp://{address}", "run", "--rm", "-i", "busybox", "cat"],
        input=b"through",
        capture_output=True,
        check=False,
    )
    assert (opened.stdout, opened.stderr) == (b"through", b"")
    assert "requires the token of its lease" in said(docker(f"tcp://{address}", "ps"))
    assert len(left(real)) == 1  # its network
    command(folder, "end", made["Tenant"])
    assert left(real) == []


def test_nothing_is_left_of_a_lease_after_a_crash(real: Engine, tmp_path: Path) -> None:
    with serving(real, tmp_path) as swarmd:
        made = lease(tmp_path)
        run = ("run", "-d", "--restart", "always", "-v", "data:/d", "-v", "/anonymous", "busybox", "sleep", "100")
        assert docker(made["Host"], *run).returncode == 0
        assert docker(made["Host"], "network", "create", "app").returncode == 0
        assert docker(made["Host"], "tag", "busybox", "mine").returncode == 0
        assert len(left(real)) == 6
        swarmd.process.kill()
        swarmd.process.wait()
    assert not is_served(Path(made["Host"].removeprefix("unix://")))
    with serving(real, tmp_path):
        wait_until(lambda: not left(real), "the sweep")
