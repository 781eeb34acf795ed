"""Containers in a real cluster, by the real docker CLI: from create to remove, over more than one gateway."""

import base64
import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.engines import Swarmd, docker, free_port, swarmd, use_a_terminal, wait_until
from tests.support.registries import PASSWORD, USER

pytestmark = pytest.mark.cluster


def output(gateway: Swarmd, *command: str) -> str:
    return docker(gateway.host, *command, check=True).stdout.decode().strip()


def state(gateway: Swarmd, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(output(gateway, "inspect", "--format", "{{json .State}}", name))
    return found


def test_the_streams_and_the_exit_code_of_a_run_are_exact(gateway: Swarmd, image: str) -> None:
    for _ in range(3):
        ran = docker(gateway.host, "run", "--rm", image, "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (ran.stdout, ran.stderr, ran.returncode) == (b"out\n", b"err\n", 3)
    assert output(gateway, "ps", "-aq") == ""


def test_all_of_stdin_arrives_and_its_end_too(gateway: Swarmd, image: str) -> None:
    data = os.urandom(5_000_000)
    ran = docker(gateway.host, "run", "--rm", "-i", image, "sha256sum", input=data)
    assert ran.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_stopped_container_keeps_its_own_exit_code_and_its_logs(gateway: Swarmd, image: str) -> None:
    program = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done"
    output(gateway, "run", "-d", "--name", "My_App.1", image, "sh", "-c", program)
    wait_until(lambda: "up" in output(gateway, "logs", "My_App.1"), "the first line")
    output(gateway, "stop", "My_App.1")
    found = state(gateway, "My_App.1")
    assert (found["Status"], found["ExitCode"], found["Running"]) == ("exited", 5, False)
    assert output(gateway, "logs", "My_App.1") == "up\nbye"
    assert output(gateway, "wait", "My_App.1") == "5"
    again = docker(gateway.host, "start", "My_App.1")
    assert again.returncode == 1
    assert b"has run: a Pod can't run again" in again.stderr
    output(gateway, "rm", "My_App.1")


def test_signals_pauses_and_names(gateway: Swarmd, image: str) -> None:
    program = "trap 'echo usr1' USR1; echo up; while :; do sleep 0.1; done"
    output(gateway, "run", "-d", "--name", "signals", image, "sh", "-c", program)
    wait_until(lambda: "up" in output(gateway, "logs", "signals"), "the first line")
    output(gateway, "kill", "-s", "USR1", "signals")
    wait_until(lambda: "usr1" in output(gateway, "logs", "signals"), "the signal's line")
    output(gateway, "pause", "signals")
    assert state(gateway, "signals")["Status"] == "paused"
    output(gateway, "unpause", "signals")
    output(gateway, "rename", "signals", "renamed")
    taken = docker(gateway.host, "create", "--name", "renamed", image)
    assert b'The container name "/renamed" is already in use' in taken.stderr
    output(gateway, "create", "--name", "signals", image)
    output(gateway, "kill", "renamed")
    assert state(gateway, "renamed")["ExitCode"] == 137
    output(gateway, "rm", "-f", "renamed", "signals")
    assert output(gateway, "ps", "-aq") == ""


def test_what_kubernetes_would_expand_stays_as_it_is(gateway: Swarmd, image: str) -> None:
    words = ("--rm", "-e", "A=$(B)$$", "-e", "B=b", image, "sh", "-c", 'echo "$A" "$0"', "$(B)$$")
    assert output(gateway, "run", *words) == "$(B)$$ $(B)$$"


def test_an_image_that_no_registry_has_is_no_image(gateway: Swarmd, cluster: Cluster) -> None:
    ran = docker(gateway.host, "run", "--rm", f"{cluster.registry()}/nothing:1")
    assert ran.returncode == 125
    assert b"manifest unknown" in ran.stderr


def test_a_gateway_that_was_killed_leaves_nothing_behind_that_another_one_does_not_know(
    stage: str, gateway: Swarmd, image: str
) -> None:
    with tempfile.NamedTemporaryFile() as log:
        other = Swarmd((stage,), log, free_port(), "")
        wait_until(other.accepts, "swarmd", other.process)
        output(other, "run", "-d", "--name", "survivor", image, "sh", "-c", "echo alive; sleep 2; exit 6")
        waiting = subprocess.Popen(["docker", "-H", gateway.host, "wait", "survivor"], stdout=subprocess.PIPE)
        other.process.kill()
        other.process.wait()
    assert waiting.communicate(timeout=60)[0] == b"6\n"
    assert output(gateway, "logs", "survivor") == "alive"
    assert state(gateway, "survivor")["ExitCode"] == 6
    with swarmd(stage) as third:
        assert output(third, "ps", "-a", "--format", "{{.Names}} {{.State}}") == "survivor exited"
        output(third, "rm", "survivor")
    wait_until(lambda: output(gateway, "ps", "-aq") == "", "the removal by another gateway")


def test_a_terminal_has_its_size_and_its_keys(gateway: Swarmd, image: str) -> None:
    use_a_terminal(gateway.host, image, prompt=b"/ # ")


def test_a_container_whose_pod_somebody_deletes_has_been_killed(cluster: Cluster, gateway: Swarmd, image: str) -> None:
    output(gateway, "run", "-d", "--name", "lost", image, "sleep", "1000")
    path = f"/api/v1/namespaces/{cluster.namespace}/pods"
    for pod in cluster.api.value("GET", path)["items"]:
        cluster.api.value("DELETE", f"{path}/{pod['metadata']['name']}?gracePeriodSeconds=0")
    assert output(gateway, "wait", "lost") == "137"
    assert state(gateway, "lost")["Error"] == "its Pod was deleted"
    output(gateway, "rm", "lost")


def test_an_image_that_wants_a_password_is_pulled_with_that_of_the_client(
    cluster: Cluster, gateway: Swarmd, tmp_path: Path
) -> None:
    registry = cluster.registry(private=True)
    run = ("run", "--rm", f"{registry}/busybox:1", "echo", "inside")
    refused = docker(gateway.host, *run)
    assert (refused.returncode, b"pull access denied" in refused.stderr) == (125, True)
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    words = ["docker", "--config", tmp_path, "-H", gateway.host, *run]
    ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120)
    assert ran.stdout == b"inside\n"


def test_pods_are_made_by_a_template_and_request_a_part_of_their_limits(
    stage: str, cluster: Cluster, image: str, tmp_path: Path
) -> None:
    (tmp_path / "pod.yaml").write_text("metadata: {annotations: {team: blue}}\nspec: {priority: 0}\n")
    with swarmd(f"{stage} --pod-template {tmp_path}/pod.yaml --requests 0.5") as own:
        output(own, "run", "-d", "--name", "limited", "--memory", "64m", image, "sleep", "1000")
        pods = cluster.api.value("GET", f"/api/v1/namespaces/{cluster.namespace}/pods")["items"]
        (found,) = [each for each in pods if each["metadata"]["name"].startswith("limited-")]
        resources = found["spec"]["containers"][0]["resources"]
        assert found["metadata"]["annotations"]["team"] == "blue"
        assert (resources["limits"]["memory"], resources["requests"]["memory"]) == ("67108864", "33554432")
        output(own, "rm", "-f", "limited")


def test_a_command_that_is_not_there_is_told_by_the_start(gateway: Swarmd, image: str) -> None:
    output(gateway, "create", "--name", "lost", image, "nosuch")
    ran = docker(gateway.host, "start", "lost")
    assert ran.returncode == 1
    assert b'exec: "nosuch": executable file not found in $PATH' in ran.stderr
    found = state(gateway, "lost")
    assert (found["Status"], found["ExitCode"]) == ("created", 127)
    output(gateway, "rm", "lost")


def test_what_a_pod_cannot_have_is_refused_by_name(gateway: Swarmd, image: str) -> None:
    ran = docker(gateway.host, "create", "--cpuset-cpus", "0", "--device", "/dev/null", image)
    assert ran.returncode == 1
    assert b"HostConfig.CpusetCpus" in ran.stderr
    assert b"HostConfig.Devices" in ran.stderr
