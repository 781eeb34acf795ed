"""The pytest plugin: the fixture `swarm`, a Docker API for a test, without Docker.

pytest loads this in every run on a machine that has swarmlib, so its dependencies are imported when a test uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from .served import Served


_OTHER_DOCKERS: Final = ("DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY")
"""The variables that would make a Docker client use another engine, or this one in another way."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option `swarm_chain`."""
    parser.addini("swarm_chain", "the chain that the fixture `swarm` serves (swarmlib)", default="simulator")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "swarm(*stages, **options): what the fixture `swarm` serves for this test: the stages of a chain, "
        "or the simulator with these options (swarmlib)",
    )


@pytest.fixture
def swarm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Serve a fresh simulated engine, which is this process's Docker while the test runs: `DOCKER_HOST` names it.

    The fixture is also a `swarmlib.sync.Client` of that engine, so a test can prepare its state and check the results.
    """
    from .served import served

    with served(*_stages(request)) as swarm:
        for name in _OTHER_DOCKERS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DOCKER_HOST", swarm.host)
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
