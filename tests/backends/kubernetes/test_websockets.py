"""Attaching over a WebSocket to a container in a cluster is the same as on an engine."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import trio

from tests.backends.kubernetes.conftest import Place
from tests.support.cluster import Cluster
from tests.support.engines import engine, free_port, swarmd
from tests.support.websockets import PROGRAMS, Attached

pytestmark = pytest.mark.engine


def seen(host: str, image: str) -> dict[str, Any]:
    """What each program sees, all at the same time."""
    at = Attached(host, image)
    with closing(at.client), ThreadPoolExecutor(len(PROGRAMS)) as pool:
        running = {program.__name__: pool.submit(program, at) for program in PROGRAMS}
        return {name: each.result() for name, each in running.items()}


def seen_on_an_engine() -> dict[str, Any]:
    host = f"tcp://127.0.0.1:{free_port()}"
    with engine(["--bridge=none", "--iptables=false", "--ip6tables=false", "-H", host], namespaces="-m"):
        return seen(host, "busybox")


def seen_in_a_cluster(place: Place, image: str) -> dict[str, Any]:
    with swarmd(f"kubernetes --kubeconfig {place.kubeconfig} --tools-image busybox:1") as running:
        return seen(running.host, image)


@pytest.mark.parametrize("place", ["1.20", "1.35", pytest.param("real", marks=pytest.mark.cluster)], indirect=True)
async def test_programs_see_the_same_as_on_an_engine(place: Place, request: pytest.FixtureRequest) -> None:
    image = "busybox:1"
    if place.fake is None:
        cluster: Cluster = request.getfixturevalue("cluster")
        image = f"{cluster.registry()}/busybox:1"
    wanted = await trio.to_thread.run_sync(seen_on_an_engine)
    assert await trio.to_thread.run_sync(seen_in_a_cluster, place, image) == wanted
