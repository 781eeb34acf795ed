"""Health checks and stats in a real cluster, by the real docker CLI and Compose, over two gateways."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import Swarmd, docker, swarmd, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def other(stage: str) -> Iterator[Swarmd]:
    """A second gateway."""
    with swarmd(stage) as running:
        yield running


def output(gateway: Swarmd, *command: str) -> str:
    return docker(gateway.host, *command, check=True).stdout.decode().strip()


def compose(gateway: Swarmd, file: Path, *command: str) -> None:
    words = ["docker-compose", "--file", file, *command]
    subprocess.run(words, env={**os.environ, "DOCKER_HOST": gateway.host}, check=True, timeout=120)


def health(gateway: Swarmd, name: str) -> Any:
    return json.loads(output(gateway, "inspect", "--format", "{{json .State.Health}}", name))


def test_all_gateways_agree_and_each_check_is_made_once(gateway: Swarmd, other: Swarmd, image: str) -> None:
    program = "echo run >>/tmp/runs; echo looked; [ ! -e /tmp/sick ] || exit 3"
    checked = ("--health-cmd", program, "--health-interval", "1s", "--health-retries", "2")
    output(gateway, "run", "-d", "--name", "web", *checked, image, "sleep", "1000")
    for each in (gateway, other):
        wait_until(lambda each=each: health(each, "web")["Status"] == "healthy", "the health")  # type: ignore[misc]
    assert "(healthy)" in output(other, "ps", "--filter", "health=healthy", "--format", "{{.Status}}")
    (last, *_) = health(other, "web")["Log"][-1:]
    assert (last["ExitCode"], last["Output"]) == (0, "looked\n")
    output(gateway, "exec", "web", "touch", "/tmp/sick")
    wait_until(lambda: health(other, "web")["Status"] == "unhealthy", "the sickness")
    found = health(gateway, "web")
    assert (found["FailingStreak"] >= 2, found["Log"][-1]["ExitCode"]) == (True, 3)
    starts = {each["Start"] for gateway in (gateway, other) for each in health(gateway, "web")["Log"]}
    assert len(starts) <= len(output(gateway, "exec", "web", "cat", "/tmp/runs").split()) < 60
    assert "health.sh" not in output(gateway, "top", "web")
    assert len(output(gateway, "top", "web").splitlines()) <= 3
    output(gateway, "kill", "web")
    assert health(other, "web")["Status"] == "unhealthy"
    output(gateway, "rm", "web")


def test_compose_waits_for_the_health_of_what_a_service_depends_on(gateway: Swarmd, image: str, tmp_path: Path) -> None:
    check = {"test": ["CMD-SHELL", "[ -e /tmp/ready ]"], "interval": "1s", "retries": 30}
    services = {
        "db": {"image": image, "command": ["sh", "-c", "sleep 3; touch /tmp/ready; sleep 1000"], "healthcheck": check},
        "web": {
            "image": image,
            "command": ["sleep", "1000"],
            "depends_on": {"db": {"condition": "service_healthy"}},
            "stop_grace_period": "0s",
        },
    }
    (tmp_path / "compose.json").write_text(json.dumps({"version": "2.4", "services": services}))
    compose(gateway, tmp_path / "compose.json", "up", "-d")
    label = "label=com.docker.compose.service="
    db, web = (output(gateway, "ps", "-q", "--filter", f"{label}{each}") for each in ("db", "web"))
    first = health(gateway, db)["Log"]
    assert health(gateway, db)["Status"] == "healthy"
    started = output(gateway, "inspect", "--format", "{{.State.StartedAt}}", web)
    healthy_at = next((each["End"] for each in first if each["ExitCode"] == 0), "")
    assert healthy_at[:19] <= started[:19]
    compose(gateway, tmp_path / "compose.json", "down")
    assert output(gateway, "ps", "-aq") == ""


def test_stats_tell_what_a_container_uses(gateway: Swarmd, image: str) -> None:
    burn = "while :; do :; done & dd if=/dev/zero of=/dev/shm/x bs=1M count=30 2>/dev/null; wait"
    output(gateway, "run", "-d", "--name", "busy", "--memory", "100m", image, "sh", "-c", burn)
    shown = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}"

    def used() -> tuple[float, float]:
        name, cpu, memory, _, limit, pids = output(gateway, "stats", "--no-stream", "--format", shown, "busy").split()
        assert (name, limit) == ("busy", "100MiB")
        assert int(pids) >= 2
        return float(cpu.rstrip("%")), float(memory.removesuffix("MiB"))

    wait_until(lambda: used()[0] > 10 and used()[1] > 30, "the use")
    output(gateway, "rm", "-f", "busy")
