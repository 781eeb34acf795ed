"""The aci backend on a fake ARM, and what tests say to it again and again."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

import swarmlib
from swarmlib import Client
from swarmlib.client.handles import Workload
from swarmlib.testing import Leaf
from swarmlib_backends.aci import Aci
from swarmlib_backends.azure.fakearm import FakeArm
from tests.support.leaves import unframed

IMAGE = "127.0.0.1:1/busybox"
"""An image whose registry can't be asked, on any machine."""
TYPE = "microsoft.containerinstance/containergroups"


@asynccontextmanager
async def aci(**options: Any) -> AsyncIterator[Client]:
    """The backend, with a group of its own."""
    async with swarmlib.connect(Aci(**{"group": "burst", "poll": 0.02, **options})) as client:
        yield client


async def running(client: Client, *command: str, name: str = "web", **body: Any) -> Workload:
    """A container that has been started."""
    made = await client.spawn({"Image": IMAGE, "Cmd": [*command] or ["sleep", "1000"], **body}, name=name)
    assert isinstance(made, Workload)
    await made.start()
    return made


def groups(arm: FakeArm) -> list[str]:
    """The names of all container groups."""
    return [each.id.name for each in arm.state.resources.values() if each.id.type.lower() == TYPE]


def body_of(arm: FakeArm) -> dict[str, Any]:
    """The body of the only container group."""
    (found,) = [each for each in arm.state.resources.values() if each.id.type.lower() == TYPE]
    return found.body


async def until_gone(arm: FakeArm) -> None:
    """Wait until no container group is left."""
    with trio.fail_after(10):
        while groups(arm):  # noqa: ASYNC110 - the fake is another program
            await trio.sleep(0.01)


@contextmanager
def fake_process(folder: Path, patch: pytest.MonkeyPatch, *options: str) -> Iterator[None]:
    """A fake Azure in a process of its own, to which the environment leads."""
    command = [
        sys.executable,
        "-m",
        "swarmlib_backends.azure.fakearm",
        "--seconds",
        "0",
        "--ca",
        str(folder / "ca.pem"),
    ]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                name, _, value = line.removeprefix("export ").strip().partition("=")
                patch.setenv(name, value)
                if name == "REQUESTS_CA_BUNDLE":  # the last one
                    break
            patch.setenv("XDG_STATE_HOME", str(folder))
            yield
        finally:
            process.terminate()


LEAF = Leaf(
    idle={"Image": IMAGE, "Cmd": ["sleep", "1000"]},
    talks={"Image": IMAGE, "Cmd": ["sh", "-c", r"printf 'one\n\nthree\n'"]},
    lines=(b"one", b"", b"three"),
    connect_params={"stream": "1", "stdout": "1"},
    unframed=unframed,
)
"""Its workloads, for the conformance kit: their commands have no input."""
