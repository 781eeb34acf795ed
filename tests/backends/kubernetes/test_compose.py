"""Compose projects in a real cluster, two at once with the same names: from up over scale to down."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.engines import Swarmd, docker, wait_until
from tests.support.kubernetes.objects import own_objects
from tests.system.test_compose import composer

pytestmark = pytest.mark.cluster

PROJECT = """
version: "3"
services:
  db:
    image: {image}
    environment: {{NAME: "${{COMPOSE_PROJECT_NAME}}"}}
    command: sh -c 'mkdir /www && echo "$$NAME" >/www/page && exec httpd -f -h /www'
    networks: {{default: {{aliases: [store]}}}}
  client:
    image: {image}
    command: sleep 1000
    links: ["db:linked"]
"""
ASK = "until wget -q -O - http://store/page; do sleep 0.1; done"
ASK_LINK = ASK.replace("store", "linked")


@contextmanager
def up(host: str, folder: Path, project: str, image: str) -> Iterator[Callable[..., str]]:
    """A project that is up in this context."""
    compose = composer(host, folder / project, project, PROJECT.format(image=image))
    compose("up", "-d")
    try:
        yield compose
    finally:
        compose("down", "-t", "0")


def test_two_projects_at_once_have_their_own_names_and_leave_nothing(
    cluster: Cluster, gateway: Swarmd, image: str, tmp_path: Path
) -> None:
    def use(project: str) -> None:
        with up(gateway.host, tmp_path, project, image) as compose:
            assert compose("exec", "-T", "client", "sh", "-c", ASK) == f"{project}\n"
            assert compose("exec", "-T", "client", "sh", "-c", ASK_LINK) == f"{project}\n"
            compose("up", "-d", "--scale", "client=3")
            assert compose("ps", "-q").count("\n") == 4
            for number in ("2", "3"):
                assert compose("exec", "-T", "--index", number, "client", "sh", "-c", ASK) == f"{project}\n"
            assert compose("run", "--rm", "-T", "client", "sh", "-c", ASK) == f"{project}\n"
            compose("up", "-d", "--scale", "client=1")
            assert compose("ps", "-q").count("\n") == 2

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(use, ("one", "two")))
    assert docker(gateway.host, "ps", "-aq").stdout == b""
    wait_until(lambda: own_objects(cluster) == [], "the removal of all that was made")
