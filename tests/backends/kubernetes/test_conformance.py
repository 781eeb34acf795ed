"""A cluster keeps the contract of backends: the conformance kit, on fake clusters and on the real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmlib.testing import check_backend
from swarmlib.testing.rules import RULES
from swarmlib_backends import Kubernetes
from tests.support.cluster import Cluster
from tests.support.kubernetes.processes import running
from tests.support.leaves import processes
from tests.testing.conftest import small_streams

__all__ = ["small_streams"]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of a fake cluster whose tasks are not among those of the test."""
    with running(tmp_path, "--release", "1.35") as kubeconfig:
        yield kubeconfig


@pytest.mark.usefixtures("small_streams")
async def test_a_fake_cluster_keeps_the_contract(fake: Path) -> None:
    leaf = processes(Image="127.0.0.1:1/busybox", Entrypoint=["/bin/busybox"])  # of no registry
    await check_backend(lambda: Kubernetes(kubeconfig=str(fake)), leaf=leaf)


@pytest.mark.cluster
@pytest.mark.usefixtures("small_streams")
async def test_a_real_cluster_keeps_the_contract(cluster: Cluster) -> None:
    def make() -> Kubernetes:
        return Kubernetes(kubeconfig=str(cluster.kubeconfig), tools_image="busybox:1")

    # The connections between the gateway, the apiserver and the kubelet hold tens of MiB, whoever reads.
    rules = [rule for rule in RULES if rule.name != "holds_back_a_stream_that_nobody_reads"]
    await check_backend(make, leaf=processes(Image=f"{cluster.registry()}/busybox:1"), rules=rules)
