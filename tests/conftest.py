"""What many tests share: how thorough Hypothesis is, two real engines for the whole run, a gateway over them, a real
Kubernetes cluster, and a reader of answers in Go.
"""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.cluster import Cluster, end, fresh_namespace, shared
from tests.support.engines import Engine, Swarmd, docker, engine, swarmd
from tests.support.gotypes import build

# The tests start hundreds of processes, and rewrite their own modules: without bytecode, each would compile all anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# `--hypothesis-profile=thorough`, as in .ci/test, tries as many examples as Hypothesis does by itself.
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile("quick")

# A run of the tests under nohup ignores SIGHUP, and a swarmd that inherits this goes on ignoring it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

CLUSTER_SECONDS = 1800
"""The time limit of a test that needs the cluster: the first one may have to build it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.timeout(CLUSTER_SECONDS))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not _is_worker(config):
        end(os.getpid())


def _is_worker(config: pytest.Config) -> bool:
    """Whether this is one of the processes that xdist has started for a run."""
    return hasattr(config, "workerinput")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is freed by the search for cycles, and what other tests still hold is not among `gc.get_objects()`."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.fixture(scope="session")
def engines() -> Iterator[tuple[Engine, Engine]]:
    """Two engines, each with a busybox image."""
    with engine() as first, engine() as second:
        yield first, second


@pytest.fixture
def empty_engines(engines: tuple[Engine, Engine]) -> Iterator[tuple[Engine, Engine]]:
    """The two engines without containers, which leaves none to other tests either."""
    _empty(engines)
    yield engines
    _empty(engines)


def _empty(engines: tuple[Engine, Engine]) -> None:
    for each in engines:
        if found := docker(each.host, "ps", "--all", "--quiet", check=True).stdout.decode().split():
            docker(each.host, "rm", "--force", "--volumes", *found, check=True)


@pytest.fixture(scope="session")
def gateway(engines: tuple[Engine, Engine]) -> Iterator[Swarmd]:
    """The main job: both engines behind one endpoint, with debug in between."""
    members = " ".join(f'"docker {each.host}"' for each in engines)
    with swarmd("debug", f"balance {members}") as running:
        yield running


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A namespace of the module's own in the cluster that the whole run shares."""
    kubeconfig = shared(os.getppid() if _is_worker(request.config) else os.getpid())
    module = request.module.__name__.rpartition(".")[2]
    with fresh_namespace(kubeconfig, module, tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="session")
def go_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that reads answers as compiled Go clients do."""
    return build(tmp_path_factory.mktemp("go"))
