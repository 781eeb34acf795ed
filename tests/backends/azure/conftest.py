"""A fake ARM that holds everything against Microsoft's documents, and the real SDK's clients on it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio

from swarmd import serve
from swarmlib_backends.azure import fakearm, patience
from swarmlib_backends.azure.fakearm.spec import Spec
from tests.support.azure.backend import lead
from tests.support.azure.sdk import Sdk, opened
from tests.support.paths import DATA

DOCUMENTS = DATA / "azure/specification"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake Azure that takes no time needs no patience."""
    monkeypatch.setattr(patience, "SETTLE_SECONDS", 0.02)
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(patience, "RESERVED_SECONDS", 3)
    monkeypatch.setattr(patience, "LOG_SECONDS", 0.05)


@pytest.fixture(scope="session")
def spec() -> Spec:
    """Microsoft's documents."""
    return Spec(DOCUMENTS)


@pytest.fixture
def machines() -> fakearm.Machines:
    """What is behind virtual machines."""
    return fakearm.NoMachines()


@pytest.fixture
async def arm(spec: Spec, machines: fakearm.Machines) -> AsyncIterator[fakearm.FakeArm]:
    """A fake whose every answer must be as the documents have it."""
    async with fakearm.serving(spec=spec, machines=machines, reserve_seconds=0.1) as running:
        yield running
    assert running.violations == []


@pytest.fixture
async def sdk(arm: fakearm.FakeArm) -> AsyncIterator[Sdk]:
    """The real clients."""
    async with opened(arm) as clients:
        yield clients


@pytest.fixture
def led(arm: fakearm.FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fakearm.FakeArm:
    """The fake, which the backend and the command find by the environment."""

    def run(work: Callable[[], Awaitable[None]], _hurry: Callable[[], None]) -> int:
        trio.run(work)
        return 0

    lead(arm, tmp_path, monkeypatch)
    # The command runs in a thread beside the fake's, where no signals can be received.
    monkeypatch.setattr(serve, "run_until_signal", run)
    return arm
