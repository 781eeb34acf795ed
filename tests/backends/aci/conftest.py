"""A fake ARM that holds everything against Microsoft's documents, to which the environment leads."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.fakearm.spec import Spec
from tests.support.azure.backend import lead
from tests.support.paths import DATA


@pytest.fixture(scope="session")
def spec() -> Spec:
    """Microsoft's documents."""
    return Spec(DATA / "azure/specification")


@pytest.fixture
async def arm(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeArm]:
    """A fake whose every answer must be as the documents have it."""
    async with fakearm.serving(spec=spec) as serving:
        lead(serving, tmp_path, monkeypatch)
        yield serving
    assert serving.violations == []
