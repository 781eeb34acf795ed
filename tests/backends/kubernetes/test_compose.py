"""Compose projects in a real cluster, two at once with the same names: from up over scale to down."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmlib_backends.kubernetes.pods import names
from tests.support.cluster import Cluster
from tests.support.engines import Swarmd, docker, wait_until
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
    depends_on: [db]
"""
ASK = "until wget -q -O - http://store/page; do sleep 0.1; done"
KINDS = ("pods", "configmaps", "services", "secrets", "persistentvolumeclaims")
SLICES = "/apis/discovery.k8s.io/v1beta1/namespaces/{}/endpointslices"


@contextmanager
def up(host: str, folder: Path, project: str, image: str) -> Iterator[Callable[..., str]]:
    """A project that is up in this context."""
    compose = composer(host, folder / project, project, PROJECT.format(image=image))
    compose("up", "-d")
    try:
        yield compose
    finally:
        compose("down", "-t", "0")


def left(cluster: Cluster) -> list[str]:
    """The names of all of swarmlib's objects in the namespace."""
    paths = [f"/api/v1/namespaces/{cluster.namespace}/{kind}" for kind in KINDS] + [SLICES.format(cluster.namespace)]
    own = f"?labelSelector={names.MANAGED_BY}={names.OWNER}"
    return [each["metadata"]["name"] for path in paths for each in cluster.api.value("GET", path + own)["items"]]


def test_two_projects_at_once_have_their_own_names_and_leave_nothing(
    cluster: Cluster, gateway: Swarmd, image: str, tmp_path: Path
) -> None:
    def use(project: str) -> None:
        with up(gateway.host, tmp_path, project, image) as compose:
            assert compose("exec", "-T", "client", "sh", "-c", ASK) == f"{project}\n"
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
    wait_until(lambda: left(cluster) == [], "the removal of all that was made")
