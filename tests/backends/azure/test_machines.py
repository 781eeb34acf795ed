"""What is behind a virtual machine: told by the fake when the power goes on and off, and real where a test wants it."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from azure.core.exceptions import HttpResponseError

from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.cloudinit import certificates, custom_data
from swarmlib_backends.azure.fakearm import Machine, Machines
from swarmlib_backends.azure.fakearm.spec import Spec
from tests.support.azure.machines import RealMachines, written_files
from tests.support.azure.sdk import machine_body, opened
from tests.support.engines import busybox_tar


class Noted(Machines):
    """Notes who was started and stopped."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.last: Machine | None = None
        self.broken = False

    async def start(self, machine: Machine) -> None:
        self.last = machine
        self.seen.append(f"start {machine.name}")
        if self.broken:
            raise OSError("it does not boot")

    async def stop(self, machine: Machine) -> None:
        self.seen.append(f"stop {machine.name}")


async def test_machines_are_told_of_power_and_of_what_they_are(spec: Spec) -> None:
    noted = Noted()
    async with fakearm.serving(spec=spec, machines=noted) as arm, opened(arm) as sdk:
        body = machine_body(await sdk.network_for("vm"), "Standard_B2s") | {"tags": {"owner": "me"}}
        body["properties"]["osProfile"]["customData"] = base64.b64encode(b"#cloud-config\n").decode()
        machines = sdk.compute.virtual_machines
        await (await machines.begin_create_or_update("prod", "vm", body)).result()
        assert noted.last is not None
        told = noted.last
        assert (told.name, told.size, told.admin, told.tags) == ("vm", "Standard_B2s", "azureuser", {"owner": "me"})
        assert (told.private, told.keys, told.custom_data) == (
            "10.0.0.4",
            ("ssh-ed25519 AAAA test",),
            b"#cloud-config\n",
        )
        assert told.public == (await sdk.network.public_ip_addresses.get("prod", "vm-ip")).ip_address
        await (await machines.begin_restart("prod", "vm")).result()
        await (await machines.begin_deallocate("prod", "vm")).result()
        await (await machines.begin_deallocate("prod", "vm")).result()
        await (await machines.begin_start("prod", "vm")).result()
        await (await machines.begin_delete("prod", "vm")).result()
        assert noted.seen == ["start vm", "stop vm"] * 3
        await sdk.machine("last", await sdk.network_for("last2"))
        assert arm.violations == []
    assert noted.seen[-2:] == ["start last", "stop last"]


async def test_a_machine_that_does_not_start_fails_its_operation_and_is_stopped_when_it_is_deleted(
    spec: Spec, caplog: pytest.LogCaptureFixture
) -> None:
    noted = Noted()
    noted.broken = True
    async with fakearm.serving(spec=spec, machines=noted) as arm, opened(arm) as sdk:
        interface = await sdk.network_for("vm")
        with pytest.raises(HttpResponseError, match="it does not boot"):
            await sdk.machine("vm", interface)
        assert (await sdk.compute.virtual_machines.get("prod", "vm")).provisioning_state == "Failed"
        await (await sdk.compute.virtual_machines.begin_delete("prod", "vm")).result()
    assert noted.seen == ["start vm", "stop vm"]
    assert "it does not boot" in caplog.text


def test_cloud_inits_files_are_read() -> None:
    config = (
        b"#cloud-config\nwrite_files:\n- {path: /etc/a, content: hi}\n- {path: /etc/b, encoding: b64, content: aGk=}\n"
    )
    assert written_files(config) == {Path("/etc/a"): b"hi", Path("/etc/b"): b"hi"}
    assert written_files(b"#!/bin/sh\n") == {}
    assert written_files(custom_data([config, b"#!/bin/sh\n", certificates(b"", b"", b"k")])) == {
        Path("/etc/a"): b"hi",
        Path("/etc/b"): b"hi",
        Path("/etc/docker/certs/ca.pem"): b"",
        Path("/etc/docker/certs/cert.pem"): b"",
        Path("/etc/docker/certs/key.pem"): b"k",
    }


@pytest.fixture
def real() -> Iterator[RealMachines]:
    machines = RealMachines()
    yield machines
    machines.close()


@pytest.mark.engine
async def test_a_container_runs_on_a_real_machine_over_ssh_and_is_still_there_after_deallocation(
    spec: Spec, real: RealMachines, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    await trio.run_process(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    options = [
        "-i",
        str(key),
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "BatchMode=yes",
    ]
    async with fakearm.serving(spec=spec, machines=real) as arm, opened(arm) as sdk:
        interface, machines = await sdk.network_for("vm"), sdk.compute.virtual_machines
        profile = machine_body(interface)["properties"]["osProfile"]
        profile["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"] = key.with_suffix(".pub").read_text().strip()
        hello = b"#cloud-config\nwrite_files:\n- {path: /etc/hello, content: from cloud-init}\n"
        profile["customData"] = base64.b64encode(hello).decode()
        await sdk.machine("vm", interface, osProfile=profile)
        address = (await sdk.network.public_ip_addresses.get("prod", "vm-ip")).ip_address

        async def on_machine(*command: str, input: bytes = b"") -> str:
            done = await trio.run_process(
                ["ssh", *options, f"azureuser@{address}", *command],
                stdin=input,
                capture_stdout=True,
                capture_stderr=True,
            )
            return done.stdout.decode()

        assert await on_machine("cat", "/etc/hello") == "from cloud-init"
        await on_machine("docker", "import", "-", "busybox", input=busybox_tar())
        run = ("docker", "run", "--name", "box", "--network", "none", "busybox", "echo", "hello")
        assert await on_machine(*run) == "hello\n"
        await (await machines.begin_deallocate("prod", "vm")).result()
        with pytest.raises(subprocess.CalledProcessError) as refused:
            await on_machine("true")
        assert b"Connection refused" in refused.value.stderr
        await (await machines.begin_start("prod", "vm")).result()
        assert await on_machine("docker", "start", "-a", "box") == "hello\n"
        await (await sdk.resources.resource_groups.begin_delete("prod")).result()
