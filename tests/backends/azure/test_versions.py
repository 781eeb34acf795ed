"""The API versions that the SDK may ask for: those of the releases that pyproject.toml allows, and no others.

This runs with the lowest of these releases (`sh .ci/lowest`) and with the highest (`sh .ci/newest`), too. Microsoft's
documents are of older versions, so the fake must be told which newer ones there are.
"""

import tomllib

import pytest
from azure.core.exceptions import HttpResponseError

import swarmlib
from swarmlib_backends.azure import Azure
from swarmlib_backends.azure.fakearm import FakeArm
from tests.support.azure.backend import azure, until_nothing_is_left
from tests.support.azure.command import run
from tests.support.azure.sdk import Sdk
from tests.support.paths import ROOT

SENT = {
    "Microsoft.Compute": {"2026-04-01"},
    "Microsoft.Compute/disks": {"2026-03-02"},
    "Microsoft.Compute/skus": {"2021-07-01"},
    "Microsoft.DevTestLab": {"2018-09-15"},
    "Microsoft.Network": {"2026-01-01", "2026-03-01"},  # azure-mgmt-network 33.0 and 33.1
    "Microsoft.Resources": {"2024-11-01", "2025-04-01"},  # the first: registrations
}
BOUNDS = {"compute": ">=39,<39.1", "network": ">=33,<33.2", "resource": ">=26,<26.1"}


def test_only_releases_whose_api_versions_are_known_are_allowed() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["azure"]
    assert {f"azure-mgmt-{name}{bounds}" for name, bounds in BOUNDS.items()} <= {*wanted}


async def test_azure_refuses_a_version_that_it_does_not_have(led: FakeArm, sdk: Sdk) -> None:
    led.versions = SENT
    with pytest.raises(HttpResponseError, match="supported api-versions are '2026-01-01, 2026-03-01'"):
        await sdk.network.nat_gateways.get("prod", "nat", api_version="2025-07-01")


async def test_all_that_is_done_is_asked_for_in_these_versions(led: FakeArm) -> None:
    led.versions = SENT
    await run("create", "box", "--private", "--nat", "--max-hours", "2")
    await run("create", "box", "--private", "--nat", "--max-hours", "2", "--allow", "198.51.100.7")
    await run("ls")
    async with swarmlib.connect(Azure(group="prod", allow=["203.0.113.9"], max=1)):
        pass
    async with azure() as swarm:
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        await web.details()
        await web.logs()
        await web.stop()
        await web.start()
        await web.rm(force=True)
    await run("rm", "box")
    await run("sweep", "--everywhere")
    await until_nothing_is_left(led)
