"""Machines at private addresses are reached by ssh through a jump host."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

import swarmlib
from swarmlib import ChainSyntaxError
from swarmlib_backends.azure import Azure
from swarmlib_backends.azure.access import Access
from swarmlib_backends.azure.client import connected
from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.fakearm.spec import Spec
from swarmlib_backends.azure.objects import Machine
from tests.support.azure.cloud import real_cloud
from tests.support.azure.command import COMMAND, run
from tests.support.azure.machines import RealMachines
from tests.support.azure.sdk import LOCATION, opened
from tests.support.sshd import sshd

SPACE = f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 200}.0/24"
"""A network of this process alone: private addresses become those of this machine."""
HOST = SPACE.replace(".0/24", ".4")


async def test_a_jump_host_reaches_the_private_address(led: FakeArm) -> None:
    await run("create", "box")
    options = Azure(group="prod", via="me@bastion")
    async with connected() as arm:
        machine = Machine.of(await arm.get(arm.id("prod", "Microsoft.Compute/virtualMachines", "box")))
        access = Access(options, arm)
        assert (await access.host(machine)).startswith("10.86.0.")
        assert "ProxyJump=me@bastion" in await access.command(machine)
    with pytest.raises(ChainSyntaxError, match="--via requires --reach ssh"):
        swarmlib.Chain.read("azure --via me@bastion --reach tls")
    with pytest.raises(
        ChainSyntaxError, match=r"Bastion's tunnels is not documented.*`az network bastion tunnel` opens"
    ):
        swarmlib.Chain.read("azure --via /subscriptions/s/resourceGroups/g/providers/Microsoft.Network/bastionHosts/b")


@pytest.fixture
async def jumped(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A subnet of others in a cloud with real machines, and the port of a jump host to it."""
    machines, jump = RealMachines(), tmp_path / "jump"
    jump.mkdir()
    try:
        with sshd(jump) as port:
            monkeypatch.setenv("PATH", f"{jump / 'bin'}:{os.environ['PATH']}")
            async with real_cloud(spec, machines, tmp_path, monkeypatch) as arm:
                async with opened(arm) as sdk:
                    await sdk.group()
                    shown = {"name": "default", "properties": {"addressPrefix": SPACE, "defaultOutboundAccess": True}}
                    properties = {"addressSpace": {"addressPrefixes": [SPACE]}, "subnets": [shown]}
                    body = {"location": LOCATION, "properties": properties}
                    await (await sdk.network.virtual_networks.begin_create_or_update("prod", "net", body)).result()
                yield port
    finally:
        machines.close()


@pytest.mark.engine
async def test_a_machine_without_a_public_address_is_made_and_reached_through_a_jump_host(
    jumped: int, tmp_path: Path
) -> None:
    words = ["create", "box", "--group", "prod", "--private", "--network", "net/default"]
    done = await trio.run_process([*COMMAND, *words, "--via", f"root@127.0.0.1:{jumped}"], capture_stdout=True,
                                  capture_stderr=True)  # fmt: skip
    assert done.stdout.decode() == f"docker -H ssh://swarm@{HOST} ps\n"  # Docker has answered
    config = done.stderr.decode().partition("in ~/.ssh/config:\n")[2].partition("billed: ")[0]
    jump = (tmp_path / "jump/config").read_text()
    (tmp_path / "config").write_text(f"{config}Host 127.0.0.1\n{jump}")
    ssh = ["/usr/bin/ssh", "-F", str(tmp_path / "config"), "-o", "BatchMode=yes", "-l", "swarm", HOST, "docker", "ps"]
    assert b"CONTAINER ID" in (await trio.run_process(ssh, capture_stdout=True)).stdout
    (tmp_path / "jump/known").write_text("")
    failed = await trio.run_process(ssh, capture_stderr=True, check=False)
    assert b"Host key verification failed" in failed.stderr  # the jump host's
