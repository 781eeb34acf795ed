"""A fake ARM that holds everything against Microsoft's documents, and the real SDK's clients on it."""

from collections.abc import AsyncIterator

import pytest

from swarmlib_backends.azure import fakearm, patience
from swarmlib_backends.azure.fakearm.spec import Spec
from tests.support.azure.sdk import Sdk, opened
from tests.support.paths import DATA

DOCUMENTS = DATA / "azure/specification"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake Azure that takes no time needs no patience."""
    monkeypatch.setattr(patience, "SETTLE_SECONDS", 0.02)
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(patience, "RESERVED_SECONDS", 3)


@pytest.fixture(scope="session")
def spec() -> Spec:
    """Microsoft's documents."""
    return Spec(DOCUMENTS)


@pytest.fixture
async def arm(spec: Spec) -> AsyncIterator[fakearm.FakeArm]:
    """A fake whose every answer must be as the documents have it."""
    async with fakearm.serving(spec=spec, reserve_seconds=0.1) as running:
        yield running
    assert running.violations == []


@pytest.fixture
async def sdk(arm: fakearm.FakeArm) -> AsyncIterator[Sdk]:
    """The real clients."""
    async with opened(arm) as clients:
        yield clients
