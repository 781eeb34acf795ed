"""The azure backend on a fake ARM: the environment that leads it there, and what tests say to it again and again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

import swarmlib
from swarmlib import Client
from swarmlib_backends.azure import Azure
from swarmlib_backends.azure.fakearm import FakeArm

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3J0zSg9c1Ldr8mM0l0JmZ2mPZ1m8Yk5k0z3F1m9y8F test\n"


def lead(arm: FakeArm, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have the backend find the fake, trust it, log in as a service principal, and have a home of its own."""
    ca = folder / "ca.pem"
    ca.write_bytes(arm.ca)
    (folder / ".ssh").mkdir(exist_ok=True)
    key = folder / ".ssh/id_ed25519.pub"
    if not key.exists():
        key.write_text(KEY)
    variables = {**arm.environment(), "SSL_CERT_FILE": str(ca), "HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        patch.delenv(name, raising=False)
    for name, value in variables.items():
        patch.setenv(name, value)


@asynccontextmanager
async def azure(**options: object) -> AsyncIterator[Client]:
    """The backend, with a group of its own and an address that may log in."""
    chosen = {"group": "prod", "allow": ["192.0.2.1"], "poll": 0.02, **options}
    async with swarmlib.connect(Azure(**chosen)) as client:  # type: ignore[arg-type]
        yield client


def left(arm: FakeArm) -> list[str]:
    """All that there is in the subscription."""
    return [*arm.state.groups, *(resource.id.name for resource in arm.state.resources.values())]


def opened(arm: FakeArm) -> set[tuple[str, str]]:
    """The sources and the ports of all rules."""
    rules = arm.state.of_type("Microsoft.Network/networkSecurityGroups/securityRules")
    return {(each.properties["sourceAddressPrefix"], each.properties["destinationPortRange"]) for each in rules}


async def until_asked(arm: FakeArm, times: int) -> None:
    """Wait until Azure has been asked so many times: what polls it has looked and looked again."""
    with trio.fail_after(10):
        while len(arm.asked) < times:  # noqa: ASYNC110 - the fake is another program
            await trio.sleep(0.01)


async def until_nothing_is_left(arm: FakeArm) -> None:
    """Wait until what is removed behind a call's back is gone."""
    with trio.fail_after(10):
        while left(arm):  # noqa: ASYNC110 - the fake is another program
            await trio.sleep(0.01)
