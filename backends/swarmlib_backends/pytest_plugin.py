"""The pytest plugin: the fixtures `swarm` and `swarm_session`, a Docker API for tests, without Docker.

pytest loads this in every run on a machine that has swarmlib, so its dependencies are imported when a test uses it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from .served import Served


_OTHER_DOCKERS: Final = ("DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY")
"""The variables that would make a Docker client use another engine, or this one in another way."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option `swarm_chain`."""
    parser.addini(
        "swarm_chain", "the chain that the fixtures `swarm` and `swarm_session` serve (swarmlib)", default="simulator"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "swarm(*stages, **options): what the fixture `swarm` serves for this test: the stages of a chain, "
        "or the simulator with these options (swarmlib)",
    )


@pytest.fixture
def swarm(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Serve a fresh simulated engine, which is this process's Docker while the test runs: `DOCKER_HOST` names it.

    The fixture is also a `swarmlib.sync.Client` of that engine, so a test can prepare its state and check the results.
    """
    with _docker(*_stages(request)) as swarm:
        yield swarm


@pytest.fixture(scope="session")
def swarm_session(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Serve one simulated engine for all tests that use it: what one test leaves behind, the next ones find.

    It is this process's Docker from the first of these tests to the end of the session, but for tests that use `swarm`.
    """
    with _docker(request.config.getini("swarm_chain")) as swarm:
        yield swarm


@contextmanager
def _docker(*stages: Any) -> Generator[Served]:
    """Serve a chain as this process's Docker."""
    from .for_testcontainers import fitted
    from .served import served

    with served(*stages) as swarm, pytest.MonkeyPatch.context() as patch:
        for name in _OTHER_DOCKERS:
            patch.delenv(name, raising=False)
        patch.setenv("DOCKER_HOST", swarm.host)
        with fitted(patch):
            yield swarm


def _stages(request: pytest.FixtureRequest) -> tuple[Any, ...]:
    """Return what to serve, according to the marker, else the ini option."""
    marker = request.node.get_closest_marker("swarm")
    stages: tuple[Any, ...] = marker.args if marker else ()
    options: Mapping[str, Any] = marker.kwargs if marker else {}
    if stages and options:
        raise pytest.UsageError("@pytest.mark.swarm takes either the stages of a chain or options of the simulator")
    if options:
        from .simulator import Simulator

        return (Simulator(**options),)
    return stages or (request.config.getini("swarm_chain"),)
