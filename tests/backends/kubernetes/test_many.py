"""Many connections at once to a real cluster: to a port, also while what serves it is killed, and to logs."""

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest

from tests.support.engines import Swarmd, docker, free_port, wait_until

pytestmark = pytest.mark.cluster

CONNECTIONS, REQUESTS, FOLLOWERS = 50, 1000, 150
PAGE = b"hello\n" * 1000


def output(gateway: Swarmd, *command: str) -> str:
    return docker(gateway.host, *command, check=True).stdout.decode().strip()


def asked(port: int) -> bytes | None:
    """The page; None if what serves it was killed meanwhile."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/page")
        return connection.getresponse().read()
    except OSError:
        return None
    finally:
        connection.close()


def test_connections_wait_for_a_container_that_is_killed_and_restarted(gateway: Swarmd, image: str) -> None:
    port = free_port()
    serve = "mkdir -p /www; yes hello | head -n 1000 >/www/page; exec httpd -f -h /www -p 80"
    words = ("--name", "web", "--restart", "always", "-p", f"{port}:80")
    output(gateway, "run", "-d", *words, image, "sh", "-c", serve)
    wait_until(lambda: asked(port) == PAGE, "the web server")

    def ask(number: int) -> bytes | None:
        if number == REQUESTS // 2:
            docker(gateway.host, "exec", "web", "sh", "-c", "kill -9 $(cat /.swarm/pid)")
        return asked(port)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        found = list(pool.map(ask, range(REQUESTS)))
    broken = sum(each is None for each in found)
    assert {each for each in found if each is not None} == {PAGE}
    assert broken <= CONNECTIONS  # those that were open at that moment
    assert output(gateway, "inspect", "--format", "{{.RestartCount}}", "web") == "1"
    output(gateway, "rm", "-f", "web")


def test_logs_are_followed_by_many_at_once(gateway: Swarmd, image: str) -> None:
    program = "until [ -e /tmp/go ]; do sleep 0.1; done; yes line | head -n 1000"
    output(gateway, "run", "-d", "--name", "told", image, "sh", "-c", program)
    followers = [HTTPConnection("127.0.0.1", gateway.port, timeout=60) for _ in range(FOLLOWERS)]
    for each in followers:
        each.request("GET", "/v1.41/containers/told/logs?follow=1&stdout=1")
    answers = [each.getresponse() for each in followers]
    output(gateway, "exec", "told", "touch", "/tmp/go")
    with ThreadPoolExecutor(FOLLOWERS) as pool:
        found = list(pool.map(lambda answer: answer.read().count(b"line\n"), answers))
    assert found == [1000] * FOLLOWERS
    for each in followers:
        each.close()
    output(gateway, "rm", "-f", "told")
