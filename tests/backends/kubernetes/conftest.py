"""A place for Pods: namespaces in the fake cluster, in both of its releases, and in the real one."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmlib_backends.kubernetes import fakecluster
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.kubeconfig import read_access
from swarmlib_backends.kubernetes.fakecluster import FakeCluster
from tests.support.cluster import Cluster
from tests.support.engines import Swarmd, swarmd
from tests.support.kubernetes.schemas import Schemas


@dataclass(frozen=True)
class Place:
    """A namespace, a kubeconfig whose context names it, and the API; `fake` is None for the real cluster."""

    kubeconfig: Path
    namespace: str
    api: Api
    schemas: Schemas
    fake: FakeCluster | None


@pytest.fixture(params=["1.20", "1.35", pytest.param("real", marks=pytest.mark.cluster)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A namespace in each cluster; what the fakes did there must be without a bug."""
    async with AsyncExitStack() as stack:
        if request.param == "real":
            cluster, fake = request.getfixturevalue("cluster"), None
            kubeconfig, namespace, release = cluster.kubeconfig, cluster.namespace, "1.20"
        else:
            release = request.param
            chosen = fakecluster.OLD if release == "1.20" else fakecluster.NEW
            fake = await stack.enter_async_context(fakecluster.serving(release=chosen))
            kubeconfig, namespace = tmp_path / "kubeconfig", "default"
            kubeconfig.write_text(json.dumps(fake.kubeconfig()))
        api = await stack.enter_async_context(Api.open(read_access(str(kubeconfig))))
        yield Place(kubeconfig, namespace, api, Schemas(release), fake)
    if fake is not None:
        assert fake.bugs == []


@pytest.fixture(scope="module")
def stage(cluster: Cluster) -> str:
    """The stage of a chain that is the module's namespace in the real cluster."""
    return f"kubernetes --kubeconfig {cluster.kubeconfig} --tools-image busybox:1"


@pytest.fixture(scope="module")
def gateway(stage: str) -> Iterator[Swarmd]:
    """A swarmd that serves this namespace."""
    with swarmd(stage) as running:
        yield running


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> str:
    """A busybox in the cluster's registry."""
    return f"{cluster.registry()}/busybox:1"
