"""What the options of a gateway change in a real cluster: logs, ports, walls and builds, by the real docker CLI."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker as sdk
import pytest

from swarmlib_backends.kubernetes.pods import names
from tests.support.cluster import Cluster
from tests.support.engines import Engine, Swarmd, docker, engine, swarmd, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.engine]


@pytest.fixture(scope="module")
def builder() -> Iterator[Engine]:
    """An engine that reaches the cluster's registry, which is on this machine's loopback."""
    with engine(["--bridge=none", "--iptables=false"], namespaces="-m") as running:
        yield running


@pytest.fixture(scope="module")
def special(cluster: Cluster, stage: str, builder: Engine) -> Iterator[Swarmd]:
    building = f"--builder (docker {builder.host}) --registry {cluster.registry()}/{cluster.namespace}"
    with swarmd(f"{stage} --logs capture --ports node --isolate {building}") as running:
        yield running


def output(gateway: Swarmd, *command: str) -> str:
    return docker(gateway.host, *command, check=True).stdout.decode().strip()


def objects(cluster: Cluster, path: str) -> list[Any]:
    group, _, plural = path.rpartition("/")
    found: list[Any] = cluster.api.value("GET", f"{group}/namespaces/{cluster.namespace}/{plural}")["items"]
    return found


def test_every_byte_of_stderr_comes_apart(special: Swarmd, image: str) -> None:
    program = "printf 'a\\000b' >&2; echo out; head -c 300000 /dev/zero >&2; printf 'no end' >&2; exit 3"
    ran = docker(special.host, "run", "--rm", image, "sh", "-c", program)
    assert (ran.stdout, ran.returncode) == (b"out\n", 3)
    assert ran.stderr == b"a\0b" + bytes(300_000) + b"no end"


def test_logs_have_both_streams_in_order_through_every_gateway(special: Swarmd, gateway: Swarmd, image: str) -> None:
    lasting = "trap 'echo bye >&2; exit 5' TERM; while :; do sleep 0.1; done"
    program = f"echo o1; sleep 0.2; echo e1 >&2; sleep 0.2; echo o2; {lasting}"
    output(special, "run", "-d", "--name", "talks", image, "sh", "-c", program)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(docker, gateway.host, "logs", "-f", "--tail", "2", "talks")
        wait_until(lambda: "o2" in output(special, "logs", "talks"), "its lines")
        client = sdk.DockerClient(base_url=special.host)
        try:
            assert client.containers.get("talks").attach(logs=True) == b"o1\ne1\no2\n"
            assert client.containers.get("talks").attach(logs=True, stdout=False) == b"e1\n"
        finally:
            client.close()
        output(special, "stop", "talks")
        assert following.result().stderr.endswith(b"bye\n")
    for each in (special, gateway):
        done = docker(each.host, "logs", "talks")
        assert (done.stdout, done.stderr) == (b"o1\no2\n", b"e1\nbye\n")
        assert docker(each.host, "logs", "--tail", "1", "talks").stderr == b"bye\n"
    assert output(gateway, "inspect", "-f", "{{.State.ExitCode}}", "talks") == "5"
    output(special, "rm", "talks")


def test_a_container_that_is_restarted_writes_to_stderr_again(special: Swarmd, image: str) -> None:
    words = ("--name", "again", "--restart", "on-failure", image, "sh", "-c", "echo run >&2; sleep 1; exit 1")
    output(special, "run", "-d", *words)
    wait_until(lambda: docker(special.host, "logs", "again").stderr == b"run\nrun\n", "its second run")
    output(special, "rm", "-f", "again")


def test_a_port_of_the_nodes_serves_and_goes_with_the_container(special: Swarmd, cluster: Cluster, image: str) -> None:
    program = "mkdir /w; echo hello >/w/i; httpd -f -p 80 -h /w"
    output(special, "run", "-d", "--name", "web", "-p", "80", image, "sh", "-c", program)
    host, _, port = output(special, "port", "web", "80").rpartition(":")
    (node,) = (each["status"]["hostIP"] for each in objects(cluster, "/api/v1/pods"))
    assert host == node
    asking = ("run", "--rm", "--network", "host", image, "wget", "-q", "-O", "-", f"http://{host}:{port}/i")
    assert output(special, *asking) == "hello"
    (policy,) = objects(cluster, "/apis/networking.k8s.io/v1/networkpolicies")
    let_in = [{"podSelector": {"matchLabels": {f"swarmlib/{names.network_name('bridge')}": ""}}}]
    assert policy["spec"]["ingress"] == [{"from": let_in}, {"ports": [{"port": 80, "protocol": "TCP"}]}]
    taken = docker(special.host, "run", "-p", f"{port}:80", "--name", "taken", image, "true")
    assert b"port is already allocated" in taken.stderr
    output(special, "rm", "-f", "web", "taken")
    wait_until(lambda: not objects(cluster, "/apis/networking.k8s.io/v1/networkpolicies"), "the policies' removal")
    assert [each["spec"]["type"] for each in objects(cluster, "/api/v1/services")] == []


@pytest.mark.parametrize("buildkit", [False, True], ids=["classic", "buildkit"])
def test_what_was_built_runs_on_the_nodes_through_every_gateway(
    special: Swarmd, gateway: Swarmd, tmp_path: Path, buildkit: bool
) -> None:
    (tmp_path / "Dockerfile").write_text(
        'FROM busybox\nENV BUILT=here\nCOPY file /\nCMD ["sh", "-c", "cat file; echo $BUILT"]\n'
    )
    (tmp_path / "file").write_text(f"of {buildkit}\n")
    cli, flag = ("/usr/bin/docker", "1") if buildkit else ("docker", "0")
    environment = {**os.environ, "DOCKER_BUILDKIT": flag, "DOCKER_CONFIG": str(tmp_path / "none")}
    words = [cli, "-H", special.host, "build", "-t", f"app{int(buildkit)}", str(tmp_path)]
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=100)
    for each in (special, gateway):
        assert output(each, "run", "--rm", f"app{int(buildkit)}") == f"of {buildkit}\nhere"
