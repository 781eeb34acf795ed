"""Two tenants with the same Compose project at once, on one real engine and on two behind balance."""

import grp
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmlib_backends.dockerapi.rows import ROWS
from swarmlib_backends.tenant.operations import OPERATIONS
from tests.support.engines import Engine, docker, swarmd

pytestmark = pytest.mark.engine

GROUP = "nogroup"
USERS = {"alice": 61001, "bob": 61002}
TENANTS = "".join(
    f"""
[clients.{name}]
users = [{user}]
[tenant.{name}]
clients = ["{name}"]
images = ["busybox"]
ports = "{user}"
"""
    for name, user in USERS.items()
)
PROJECT = """
version: "3.5"
services:
  web:
    image: busybox
    container_name: web
    labels: {from: CANARY}
    environment: {CANARY: "1"}
    command: sh -c "echo CANARY > /data/page; exec httpd -f -h /data"
    volumes: ["data:/data"]
    networks: [app]
    ports: ["8080:80"]
    restart: unless-stopped
  client:
    image: busybox
    container_name: client
    command: sh -c "until wget -q -O - http://web/page; do usleep 100000; done; echo CANARY; exec sleep 1000"
    networks: [app]
    depends_on: [web]
volumes: {data: {name: data}}
networks: {app: {name: app}}
"""


@dataclass
class Tenant:
    """A tenant's user of the machine, with a Compose project."""

    name: str
    host: str
    folder: Path

    @property
    def canary(self) -> str:
        """What is all over this tenant's objects."""
        return f"canary-of-{self.name}"

    def run(self, *command: str) -> bytes:
        """Run a program as the tenant's user, and return what it writes."""
        environment = {**os.environ, "DOCKER_HOST": self.host, "HOME": str(self.folder), "COMPOSE_PROJECT_NAME": "same"}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            user=USERS[self.name],
            group=grp.getgrnam(GROUP).gr_gid,
            extra_groups=[],
            capture_output=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def compose(self, *args: str) -> str:
        return self.run("docker-compose", "--no-ansi", *args).decode()

    def get(self, *targets: str) -> str:
        """Return the whole responses to GETs, one after another."""
        urls = [f"http://d{target}" for target in targets]
        curl = ("curl", "-sS", "-i", "--max-time", "20", "--output", "-", "--unix-socket", self.host[7:])
        return self.run(*curl, *urls).decode(errors="replace")


@pytest.fixture(params=["one engine", "two engines"])
def pair(request: pytest.FixtureRequest, engines: tuple[Engine, Engine]) -> Iterator[list[Tenant]]:
    """alice and bob, users of this machine who reach the same socket."""
    folder = Path(tempfile.mkdtemp(prefix="tenants-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "tenants.toml").write_text(TENANTS)
    one, two = (f"docker {each.host}" for each in engines)
    stage = one if request.param == "one engine" else f'balance "{one}" "{two}"'
    socket = f"unix://{folder}/d.sock"
    try:
        with swarmd(f"tenant {folder}/tenants.toml", stage, listen=f"{socket} --group {GROUP}"):
            tenants = [Tenant(name, socket, folder / name) for name in USERS]
            for each in tenants:
                each.folder.mkdir()
                (each.folder / "docker-compose.yml").write_text(PROJECT.replace("CANARY", each.canary))
                os.chown(each.folder, USERS[each.name], -1)
            yield tenants
    finally:
        shutil.rmtree(folder)


def test_the_same_project_twice(pair: list[Tenant], engines: tuple[Engine, Engine]) -> None:
    try:
        for each in pair:
            each.compose("up", "-d")
        for each in pair:
            ask = "until wget -q -O - http://web/page; do usleep 10000; done"
            assert each.compose("exec", "-T", "client", "sh", "-c", ask) == f"{each.canary}\n"
            assert each.run("docker", "ps", "--format", "{{.Names}}").split() == [b"client", b"web"]
            assert each.run("docker", "volume", "ls", "-q") == b"data\n"
            assert b"0.0.0.0:8080" in each.run("docker", "port", "web", "80")
            assert each.run("docker", "network", "ls", "--format", "{{.Name}}").split() == [b"app"]
            assert each.canary in each.compose("logs", "--no-color", "client")
        for each, other in (pair, pair[::-1]):
            _nothing_of(other, each)
    finally:
        for each in pair:
            each.compose("down", "-v", "-t", "0")
    for engine in engines:
        assert b"alice." not in docker(engine.host, "ps", "-a", "--format", "{{.Names}}").stdout
        assert b"bob." not in docker(engine.host, "volume", "ls", "-q").stdout


def _nothing_of(other: Tenant, each: Tenant) -> None:
    """Every GET of the table, with whatever the other's objects are called."""
    ids = [other.run("docker", "inspect", "--format", "{{.Id}}", name).decode().strip() for name in ("web", "app")]
    refs = [*ids, *(id[:12] for id in ids), f"{other.name}.web", f"{other.name}.app", f"{other.name}.data"]
    secrets = [other.canary, f"{other.name}.", *ids]
    queries = {"SystemEvents": f"?since=1&until={int(time.time())}"}
    for row in ROWS:
        if row.method == "GET" and row.name in OPERATIONS.keys() - {"ContainerAttachWebsocket"}:
            names = refs if None in row.shape else [""]
            query = queries.get(row.name, "?stdout=1&stream=0&path=/&all=1")
            answer = each.get(*(row.target(row.path(ref)) + query for ref in names))
            for ref in filter(None, names):
                answer = answer.replace(ref, "")  # it was in the question
            assert [secret for secret in secrets if secret in answer] == [], (row.name, answer[:500])
    mine = json.loads(each.run("docker", "inspect", "web"))[0]
    assert mine["Config"]["Labels"]["from"] == each.canary
