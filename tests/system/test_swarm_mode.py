"""Real engines in swarm mode behind balance, the members being written one by one, with a worker as the first."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.engines import Swarmd, docker, docker_process, read_until, swarmd, wait_until
from tests.support.swarm_engines import Machines, swarm

pytestmark = pytest.mark.engine


STACK = """
version: "3.8"
services:
  one:
    image: busybox
    command: sh -c "echo up; sleep 1000"
    stop_grace_period: 0s
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with swarm("m1", "w1", "w2") as found:
        yield found


@pytest.fixture(scope="module")
def worker_first(machines: Machines) -> Iterator[Swarmd]:
    chains = [f"({each.name}=docker {each.host})" for each in reversed(machines.all)]
    with swarmd(f"balance {' '.join(chains)}") as started:
        yield started


def out(host: str, *args: str) -> str:
    done = docker(host, *args)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_a_stack_is_deployed_with_a_worker_first(worker_first: Swarmd, machines: Machines, tmp_path: Path) -> None:
    host = worker_first.host
    (tmp_path / "stack.yml").write_text(STACK)
    assert out(host, "info", "-f", "{{.Swarm.NodeID}}") == machines.manager.run("info", "-f", "{{.Swarm.NodeID}}")
    out(host, "stack", "deploy", "-d", "--resolve-image", "never", "-c", str(tmp_path / "stack.yml"), "pile")
    wait_until(lambda: "up" in docker(host, "service", "logs", "pile_one").stdout.decode(), "the service runs")
    task = out(host, "ps", "--format", "{{.Names}}", "--filter", "name=pile_one")
    assert out(host, "exec", task, "echo", "hello") == "hello"
    out(host, "stack", "rm", "pile")
    wait_until(lambda: "pile" not in out(host, "network", "ls"), "the engines have let go of the network")


def test_containers_on_all_nodes_share_a_network_of_the_swarm(worker_first: Swarmd, machines: Machines) -> None:
    host = worker_first.host
    with docker_process(host, "events", "--format", "{{json .}}", "--filter", "type=network") as events:
        assert events.stdout is not None
        with closing(events.stdout):
            out(host, "network", "create", "-d", "overlay", "--attachable", "net1")
            read_until(events.stdout.fileno(), b"net1")
    for each in machines.all:
        rule = f"constraint:node=={each.name}"
        out(host, "run", "-d", "--name", f"on-{each.name}", "--network", "net1", "-e", rule, "busybox", "sleep", "1000")
    for each in machines.all:
        for other in machines.all:
            out(host, "exec", f"on-{each.name}", "ping", "-c", "1", f"on-{other.name}")
    inspected = json.loads(out(host, "network", "inspect", "net1"))[0]
    assert (inspected["Name"], inspected["Node"]["Name"]) == ("net1", "m1")
    out(host, "rm", "-f", *(f"on-{each.name}" for each in machines.all))
    out(host, "network", "rm", "net1")
    wait_until(lambda: "net1" not in out(host, "network", "ls"), "the engines have let go of the network")
