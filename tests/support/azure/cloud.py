"""A fake Azure whose virtual machines are real, with a key by which they are reached."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.fakearm.spec import Spec
from tests.support.azure.backend import lead
from tests.support.azure.machines import RealMachines


@asynccontextmanager
async def real_cloud(
    spec: Spec, machines: RealMachines, folder: Path, patch: pytest.MonkeyPatch
) -> AsyncIterator[FakeArm]:
    """Lead the environment to a fake with these machines; every answer must be as the documents have it."""
    (folder / ".ssh").mkdir()
    key = folder / ".ssh/id_ed25519"
    await trio.run_process(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    async with fakearm.serving(spec=spec, machines=machines) as arm:
        lead(arm, folder, patch)
        yield arm
    assert arm.violations == []
