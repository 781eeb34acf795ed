"""A real Compose project through the gateway: three services, a network and a volume, from up to down."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engines import Engine, docker, swarmd

pytestmark = pytest.mark.engine

PROJECT = """
version: "3"
services:
  web:
    image: busybox
    command: sh -c "echo from web > /data/page; exec httpd -f -h /data"
    volumes: ["data:/data"]
  worker:
    image: busybox
    command: sh -c "echo worker is up; exec sleep 1000"
    depends_on: [web]
  client:
    image: busybox
    command: sh -c "until wget -q -O - http://web/page; do usleep 100000; done; exec sleep 1000"
    depends_on: [web]
volumes: {data: {}}
"""


def composer(host: str, folder: Path, project: str = "project", file: str = PROJECT) -> Callable[..., str]:
    """docker-compose in a project's folder, in which it finds this file."""
    if shutil.which("docker-compose") is None:
        raise RuntimeError("this test needs docker-compose, as .ci/setup installs it")
    folder.mkdir(exist_ok=True)
    (folder / "docker-compose.yml").write_text(file)
    environment = {**os.environ, "DOCKER_HOST": host, "COMPOSE_PROJECT_NAME": project}

    def compose(*args: str) -> str:
        command = ["docker-compose", "--no-ansi", *args]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return compose


def test_a_project_comes_up_answers_and_goes_down(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    with swarmd("debug", f"docker {engines[0].host}") as gateway:
        compose = composer(gateway.host, tmp_path)
        compose("up", "-d")
        try:
            assert compose("ps", "-q").count("\n") == 3
            assert compose("exec", "-T", "web", "cat", "/data/page") == "from web\n"
            ask = "until wget -q -O - http://web/page; do usleep 10000; done"
            assert compose("exec", "-T", "client", "sh", "-c", ask) == "from web\n"
            assert "worker is up" in compose("logs", "--no-color", "worker")
            compose("restart", "-t", "0", "worker")
        finally:
            compose("down", "-v", "-t", "0")
        assert docker(gateway.host, "ps", "-aq").stdout == b""
        left = [docker(gateway.host, kind, "ls").stdout for kind in ("network", "volume")]
        assert b"project" not in b"".join(left)
