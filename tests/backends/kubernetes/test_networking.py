"""Networks and published ports of containers in a real cluster, by the real docker CLI."""

import json
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import pytest

from swarmlib_backends.kubernetes.pods import names
from tests.support.cluster import Cluster
from tests.support.engines import Swarmd, docker, free_port, swarmd, wait_until

pytestmark = pytest.mark.cluster

_SLICES = "/apis/discovery.k8s.io/v1beta1/namespaces/{}/endpointslices"


def stage(cluster: Cluster) -> str:
    return f"kubernetes --kubeconfig {cluster.kubeconfig} --tools-image busybox:1"


@pytest.fixture(scope="module")
def gateway(cluster: Cluster) -> Iterator[Swarmd]:
    with swarmd(stage(cluster)) as running:
        yield running


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> str:
    return f"{cluster.registry()}/busybox:1"


def output(gateway: Swarmd, *command: str) -> str:
    return docker(gateway.host, *command, check=True).stdout.decode().strip()


def inspected(gateway: Swarmd, *ref: str) -> Any:
    return json.loads(output(gateway, *ref))[0]


def slices(cluster: Cluster) -> list[Any]:
    found: list[Any] = cluster.api.value("GET", _SLICES.format(cluster.namespace))["items"]
    return found


def test_a_name_means_another_container_in_each_network(cluster: Cluster, gateway: Swarmd, image: str) -> None:
    for network in ("one_default", "two_default"):
        output(gateway, "network", "create", network)
        words = ("--name", f"{network}_db_1", "--network", network, "--network-alias", "db")
        output(gateway, "run", "-d", *words, image, "sleep", "1000")
    for network in ("one_default", "two_default"):
        found = inspected(gateway, "inspect", f"{network}_db_1")
        address, id = found["NetworkSettings"]["Networks"][network]["IPAddress"], found["Id"]
        for name in ("db", id[:12]):
            said = output(gateway, "run", "--rm", "--network", network, image, "ping", "-c", "1", "-w", "20", name)
            assert f"({address})" in said
        members = inspected(gateway, "network", "inspect", network)["Containers"]
        assert members[id]["IPv4Address"] == f"{address}/32"
    refused = docker(gateway.host, "network", "rm", "one_default")
    assert b"has active endpoints" in refused.stderr
    output(gateway, "rm", "-f", "one_default_db_1", "two_default_db_1")
    output(gateway, "network", "rm", "one_default", "two_default")
    wait_until(lambda: slices(cluster) == [], "the removal of the names")


def test_a_running_container_comes_into_a_network_and_leaves_it(cluster: Cluster, gateway: Swarmd, image: str) -> None:
    output(gateway, "network", "create", "late")
    output(gateway, "run", "-d", "--name", "guest", image, "sleep", "1000")
    with swarmd(stage(cluster)) as other:
        output(other, "network", "connect", "--alias", "friend", "late", "guest")
        (found,) = slices(cluster)
        id = inspected(gateway, "inspect", "guest")["Id"]
        assert {each["hostname"] for each in found["endpoints"]} == {"friend", "guest", id[:12]}
        assert found["metadata"]["labels"]["kubernetes.io/service-name"] == names.network_name("late")
        output(other, "network", "disconnect", "late", "guest")
    wait_until(lambda: slices(cluster) == [], "the removal of the names")
    output(gateway, "rm", "-f", "guest")
    assert output(gateway, "network", "prune", "-f").splitlines()[-1] == "late"


def test_ports_are_those_of_the_container_over_many_connections_and_another_gateway(
    cluster: Cluster, image: str
) -> None:
    program = "mkdir /w; echo hello >/w/i; httpd -f -p 80 -h /w"
    with tempfile.NamedTemporaryFile() as log:
        first = Swarmd((stage(cluster),), log, free_port(), "")
        wait_until(first.accepts, "swarmd", first.process)
        output(first, "run", "-d", "--name", "web", "-p", "127.0.0.1::80", image, "sh", "-c", program)
        port = int(output(first, "port", "web", "80").rpartition(":")[2])
        check_many(port)
        taken = docker(first.host, "run", "-d", "--name", "taken", "-p", f"{port}:80", image, "true")
        first.process.kill()
        first.process.wait()
    assert b"port is already allocated" in taken.stderr
    with swarmd(stage(cluster)) as second:
        assert output(second, "port", "web") == f"80/tcp -> 127.0.0.1:{port}"
        check_many(port)
        output(second, "rm", "-f", "web", "taken")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def check_many(port: int) -> None:
    """Make 200 requests over 20 connections at once."""

    def ask(number: int) -> list[bytes]:
        found = list[bytes]()
        for _ in range(10):
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", f"/i?{number}")
            found.append(connection.getresponse().read())
            connection.close()
        return found

    wait_until(lambda: answers(port), "the web server")
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(ask, range(20))) == [[b"hello\n"] * 10] * 20


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as peer:
            peer.sendall(b"GET /i HTTP/1.0\r\n\r\n")
            return bool(peer.recv(1))
    except OSError:
        return False


def test_a_connection_is_closed_in_one_direction_and_goes_on_in_the_other(gateway: Swarmd, image: str) -> None:
    port = str(free_port())
    output(gateway, "run", "-d", "--name", "sum", "-p", f"{port}:81", image, "nc", "-l", "-p", "81", "-e", "wc", "-c")

    def counted() -> bytes:
        with socket.create_connection(("127.0.0.1", int(port)), 30) as peer:
            peer.sendall(b"x" * 100_000)
            peer.shutdown(socket.SHUT_WR)
            return peer.makefile("rb").read()

    assert counted().strip() == b"100000"
    output(gateway, "rm", "-f", "sum")


def test_what_can_t_be_forwarded_is_refused_by_its_name(gateway: Swarmd, image: str) -> None:
    refused = docker(gateway.host, "create", "-p", "53:53/udp", image, "true")
    assert b"HostConfig.PortBindings '53/udp'" in refused.stderr
    refused = docker(gateway.host, "network", "create", "--subnet", "10.9.0.0/24", "net")
    assert b"can't have IPAM" in refused.stderr
