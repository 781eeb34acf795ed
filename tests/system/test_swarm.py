"""Three real engines in one swarm: as members that are named one by one, and as those of `balance (swarm …)`."""

import json
import re
import select
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.engines import Swarmd, docker, docker_process, events_from_now, read_until, swarmd, wait_until
from tests.support.paths import ROOT
from tests.support.swarm_engines import Machines, swarm

pytestmark = pytest.mark.engine

PROJECT = """
version: "2.4"
services:
  web: {image: busybox, command: sh -c "until ping -c 1 db; do :; done; echo found; sleep 1000", stop_grace_period: 0s}
  db: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
  job: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
"""

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


@contextmanager
def gateway(machines: Machines, options: str = "--overlay") -> Iterator[Swarmd]:
    """A swarmd that is told of the first manager alone."""
    template = f"unix://{machines.sockets}/{{addr}}.sock"
    with swarmd(f"balance (swarm {machines.manager.host} --engines {template} {options})") as started:
        yield started


@pytest.fixture(scope="module")
def spread(machines: Machines) -> Iterator[Swarmd]:
    with gateway(machines) as started:
        yield started


@pytest.fixture(scope="module")
def worker_first(machines: Machines) -> Iterator[Swarmd]:
    chains = [f"({each.name}=docker {each.host})" for each in reversed(machines.all)]
    with swarmd(f"balance {' '.join(chains)}") as started:
        yield started


def out(host: str, *args: str, input: bytes = b"") -> str:
    done = docker(host, *args, input=input)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def nodes_of(host: str, **filters: str) -> dict[str, str]:
    """The node of each container, by its name."""
    asked = [text for name, value in filters.items() for text in ("--filter", f"{name}={value}")]
    lines = out(host, "ps", *asked, "--format", '{{.Names}} {{.Label "swarmlib.node"}}').splitlines()
    return dict(line.split() for line in lines)  # type: ignore[arg-type]


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
    with events_from_now(host, "--format", "{{json .}}", "--filter", "type=network") as events:
        out(host, "network", "create", "-d", "overlay", "--attachable", "net1")
        read_until(events.fileno(), b"net1")
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


def test_containers_run_on_each_node_and_their_names_are_resolved(
    spread: Swarmd, machines: Machines, tmp_path: Path
) -> None:
    host = spread.host
    out(host, "network", "create", "net1")
    for each in machines.all:
        rules = ("-e", f"constraint:node.hostname=={each.name}", "-e", f"constraint:engine.labels.name=={each.name}")
        out(host, "run", "-d", "--name", f"on-{each.name}", "--network", "net1", *rules, "busybox", "sleep", "1000")
    assert nodes_of(host) == {f"on-{each.name}": each.name for each in machines.all}
    for each, other in zip(machines.all, [*machines.all[1:], machines.manager], strict=True):
        out(host, "exec", f"on-{each.name}", "ping", "-c", "1", f"on-{other.name}")
    (tmp_path / "file").write_text("text")
    out(host, "cp", str(tmp_path / "file"), "on-w1:/copied")
    assert out(host, "exec", "-i", "on-w1", "sh", "-c", "cat - /copied", input=b"more ") == "more text"
    run = docker(host, "run", "--rm", "-i", "--network", "net1", "busybox", "sh", "-c", "cat; exit 6", input=b"in")
    assert (run.stdout, run.returncode) == (b"in", 6)
    out(host, "rm", "-f", *(f"on-{each.name}" for each in machines.all))
    out(host, "network", "rm", "net1")


def test_a_compose_project_spreads_and_finds_its_services(spread: Swarmd, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(PROJECT)

    def compose(*args: str) -> str:
        command = ["docker-compose", "-H", spread.host, "--project-name", "spread", *args]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    compose("up", "-d")
    assert len(set(nodes_of(spread.host).values())) == 3
    wait_until(lambda: "found" in compose("logs", "web"), "web finds db")
    assert "1 packets received" in compose("exec", "-T", "db", "ping", "-c", "1", "job")
    compose("down")
    assert nodes_of(spread.host) == {}


def test_a_service_s_container_is_reached_on_its_node(spread: Swarmd, machines: Machines) -> None:
    host = spread.host
    command = ("sh", "-c", "read x; echo got $x; echo up; sleep 1000")
    out(
        host,
        "service",
        "create",
        "-d",
        "--name",
        "serving",
        "--no-resolve-image",
        "--constraint",
        "node.hostname==w2",
        "--stop-grace-period",
        "0s",
        "busybox",
        *command,
    )
    wait_until(lambda: nodes_of(host, name="serving"), "the service runs")
    (task, node), *_ = nodes_of(host, name="serving").items()
    assert node == "w2"
    assert out(host, "exec", task, "echo", "hello") == "hello"
    assert "sleep" in out(host, "top", task) or "read" in out(host, "top", task)
    assert out(host, "inspect", "-f", "{{.Node.Name}}", task) == "w2"
    assert task in out(host, "stats", "--no-stream", task)
    wait_until(lambda: "up" in out(host, "logs", task), "its container has written")
    with docker_process(host, "attach", task) as attached:
        assert attached.stdout is not None
        output = attached.stdout.fileno()

        def is_seen() -> bool:
            """Write, and tell whether it was seen: an attach takes effect some time after the client was started."""
            out(host, "exec", task, "sh", "-c", "echo seen >/proc/1/fd/1")
            return bool(select.select([output], [], [], 0.5)[0])

        wait_until(is_seen, "the attach is in effect")
        read_until(output, b"seen")
    out(host, "service", "rm", "serving")
    wait_until(lambda: nodes_of(host) == {}, "the service is gone")


def test_a_drained_node_keeps_its_containers_and_takes_no_new_ones(spread: Swarmd) -> None:
    host = spread.host
    rule = ("-e", "constraint:node==w1")
    out(host, "run", "-d", "--name", "kept", *rule, "busybox", "sleep", "1000")
    out(host, "node", "update", "--availability", "drain", "--label-add", "zone=eu", "w1")

    def refused() -> bool:
        run = docker(host, "run", "--rm", *rule, "busybox", "true")
        return b"w1: it is drained" in run.stderr

    wait_until(refused, "the gateway knows")
    assert nodes_of(host) == {"kept": "w1"}
    assert out(host, "exec", "kept", "echo", "hello") == "hello"
    out(host, "node", "update", "--availability", "active", "w1")
    wait_until(lambda: not refused(), "the gateway knows")
    assert out(host, "run", "--rm", "-e", "constraint:node.labels.zone==eu", "busybox", "echo", "here") == "here"
    out(host, "rm", "-f", "kept")


AS_SERVICE = ("--label", "swarmlib.swarm=service")


def state_of(host: str, name: str) -> str:
    return out(host, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name)


def test_a_container_that_is_a_service_runs_as_any_other(spread: Swarmd, machines: Machines, tmp_path: Path) -> None:
    host = spread.host
    run = docker(host, "run", "--rm", *AS_SERVICE, "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (run.stdout, run.stderr, run.returncode) == (b"out\n", b"err\n", 3)
    command = ("sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done")
    out(host, "create", "--name", "web", *AS_SERVICE, "-e", "constraint:node==w1", "-e", "A=$b", "busybox", *command)
    assert state_of(host, "web") == "created 0"
    out(host, "start", "web")
    assert out(host, "ps", "--filter", "name=^web$", "--format", "{{.Status}}").startswith("Up")
    assert out(host, "service", "ps", "web", "--format", "{{.Node}}") == "w1"
    assert out(host, "exec", "-i", "web", "sh", "-c", "cat; echo $A", input=b"in ") == "in $b"
    (tmp_path / "file").write_text("text")
    out(host, "cp", str(tmp_path / "file"), "web:/copied")
    assert out(host, "exec", "web", "cat", "/copied") == "text"
    with gateway(machines) as other:  # which knows what the swarm knows
        assert state_of(other.host, "web") == "running 0"
        assert out(other.host, "exec", "web", "cat", "/copied") == "text"
    assert "sleep 0.1" in out(host, "top", "web") or "trap" in out(host, "top", "web")
    with docker_process(host, "wait", "web") as waiting:
        out(host, "stop", "web")
        assert waiting.communicate(timeout=20)[0] == b"5\n"
    assert (state_of(host, "web"), out(host, "logs", "web")) == ("exited 5", "up")
    out(host, "start", "web")
    out(host, "kill", "web")
    assert state_of(host, "web") == "exited 137"
    out(host, "rm", "web")
    assert out(host, "service", "ls", "-q") == ""


def test_the_commands_of_the_guide(spread: Swarmd) -> None:
    guide = (ROOT / "docs" / "swarm.md").read_text("utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if not line.startswith("swarmd ")]
    assert len(lines) == 10
    for line in lines:
        out(spread.host, *shlex.split(line.removeprefix("docker ")))


@pytest.mark.parametrize(
    ("args", "refusal"),
    [
        (["-i"], "a container that is a swarm service can't have AttachStdin, OpenStdin, StdinOnce"),
        (["--privileged"], "can't have HostConfig.Privileged"),
        (["--device", "/dev/null"], "can't have HostConfig.Devices"),
        (["-p", "127.0.0.1:8080:80"], "publishes single ports of all addresses of its node, not 80/tcp so"),
        (["-e", "constraint:node!=~w1"], "the rule node!=~w1 can't be one of a swarm service"),
        (["-e", "constraint:node==nosuch"], "the swarm can't place this container: no suitable node"),
        (["--name", "my.app"], "invalid name 'my.app' of a swarm service"),
    ],
)
def test_what_a_service_cannot_do_is_refused_by_name(spread: Swarmd, args: list[str], refusal: str) -> None:
    run = docker(spread.host, "run", "--rm", *AS_SERVICE, *args, "busybox", "true")
    assert refusal in run.stderr.decode()
    wait_until(lambda: out(spread.host, "service", "ls", "-q") == "", "nothing is left")


def test_a_service_that_runs_is_not_paused_and_not_renamed_and_an_image_that_is_missing_is_told(spread: Swarmd) -> None:
    host = spread.host
    out(host, "run", "-d", "--name", "still", "--stop-timeout", "0", *AS_SERVICE, "busybox", "sleep", "1000")
    for args in (["pause", "still"], ["rename", "still", "other"], ["update", "--memory", "64m", "still"]):
        assert b"still is a swarm service" in docker(host, *args).stderr
    out(host, "rm", "-f", "still")
    assert b"No such image: nosuch:latest" in docker(host, "run", "--rm", *AS_SERVICE, "nosuch", "true").stderr


def test_a_service_is_run_elsewhere_when_its_node_dies(spread: Swarmd, machines: Machines) -> None:
    host = spread.host
    out(host, "swarm", "update", "--dispatcher-heartbeat", "1s")
    out(host, "node", "update", "--availability", "drain", "m1")
    for name, policy in (("once", "no"), ("ever", "always")):
        rule = ("-e", "constraint:node!=m1", "-e", "constraint:node.hostname!=w1")
        out(host, "run", "-d", "--name", name, "--restart", policy, *AS_SERVICE, *rule[:2], "busybox", "sleep", "1000")
    places = {name: out(host, "service", "ps", name, "--format", "{{.Node}}") for name in ("once", "ever")}
    dead = next(each for each in machines.all if each.name == places["once"])
    dead.engine.kill()

    def alive(name: str) -> bool:
        return docker(host, "exec", name, "true").returncode == 0

    for name in places:
        wait_until(lambda name=name: alive(name), f"{name} runs again")  # type: ignore[misc]
        assert state_of(host, name) == "running 0"
    out(host, "node", "update", "--availability", "active", "m1")
    out(host, "rm", "-f", *places)


def test_a_node_joins_and_another_dies_which_was_the_manager(machines: Machines) -> None:
    for name in ("m2", "m3"):
        machines.join(machines.add(name, f"name={name}"), "manager")
    with gateway(machines) as started:
        host = started.host
        for name in ("m1", "m2", "m3"):
            out(host, "run", "-d", "--name", f"on-{name}", "-e", f"constraint:node=={name}", "busybox", "sleep", "1000")
        machines.join(machines.add("late", "name=late"))
        rule = ("-e", "constraint:node==late")
        wait_until(lambda: docker(host, "run", "--rm", *rule, "busybox", "true").returncode == 0, "the node has joined")
        machines.manager.engine.kill()
        wait_until(lambda: "on-m1" not in nodes_of(host), "the gateway sees that the manager is lost")
        pause = ("node", "update", "--availability", "pause", "late")
        wait_until(lambda: docker(host, *pause).returncode == 0, "the managers have a new leader")

        def refusal() -> bytes:
            return docker(host, "run", "--rm", *rule, "busybox", "true").stderr

        wait_until(lambda: b"late: it is paused" in refusal(), "another manager is followed")
        assert b"m1 is down" in docker(host, "exec", "on-m1", "true").stderr
        assert out(host, "exec", "on-m2", "echo", "hello") == "hello"
        assert out(host, "info", "-f", "{{.Swarm.ControlAvailable}} {{.Swarm.Managers}}") == "true 3"
        assert "m1 is missing" in out(host, "info", "-f", "{{.Warnings}}")
