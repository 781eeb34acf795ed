"""The ssh host keys of machines are asked of the machines themselves, through Azure, before ssh first connects."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock

import swarmlib
from swarmlib import Conflict, Denied, TimedOut, Unavailable
from swarmlib_backends.azure import Azure, patience
from swarmlib_backends.azure.client import Arm, connected
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from swarmlib_backends.azure.fakearm.machines import HOST_KEY, console
from swarmlib_backends.azure.fakearm.spec import Spec
from swarmlib_backends.azure.host_keys import HostKeys
from swarmlib_backends.azure.objects import Machine
from tests.support.azure.backend import left
from tests.support.azure.cloud import real_cloud
from tests.support.azure.command import run
from tests.support.azure.machines import RealMachines

COMMANDS = "*/runCommand"
NO_EXTENSIONS = "This operation cannot be performed when extension operations are disallowed."


@asynccontextmanager
async def stranger(arm: FakeArm, file: Path) -> AsyncGenerator[tuple[HostKeys, Machine, Arm]]:
    """A machine whose keys are not known."""
    await run("create", "box")
    async with connected() as connection:
        id = connection.id("prod", "Microsoft.Compute/virtualMachines", "box")
        yield HostKeys(connection, file), Machine.of(await connection.get(id)), connection


def asked(arm: FakeArm) -> int:
    """How many run commands there were."""
    return sum(each.startswith("POST") and each.endswith("/runCommand") for each in arm.asked)


async def test_a_new_machine_tells_its_key_and_ssh_trusts_no_other(led: FakeArm, tmp_path: Path) -> None:
    _, said = await run("create", "box")
    file = tmp_path / "swarmlib/azure_known_hosts"
    (alias,) = {line.split()[0] for line in file.read_text().splitlines()}
    assert file.read_text() == f"{alias} {HOST_KEY}\n"
    assert f"  HostKeyAlias {alias}\n  StrictHostKeyChecking yes\n" in said
    await run("create", "box")
    assert asked(led) == 1


async def test_who_did_not_make_a_machine_asks_it_too(led: FakeArm, tmp_path: Path) -> None:
    async with stranger(led, tmp_path / "known") as (keys, machine, _):
        await keys.learn(machine)
        await keys.learn(machine)
        assert (tmp_path / "known").read_text().endswith(f" {HOST_KEY}\n")
    assert asked(led) == 2


async def test_only_one_command_runs_on_a_machine_at_a_time(led: FakeArm, tmp_path: Path) -> None:
    led.faults.add(Fault("slow", "POST", COMMANDS, seconds=0.5, after=1))
    async with stranger(led, tmp_path / "known") as (keys, machine, arm), trio.open_nursery() as nursery:
        nursery.start_soon(keys.learn, machine)
        nursery.start_soon(HostKeys(arm, tmp_path / "others").learn, machine)
    assert (tmp_path / "known").read_text() == (tmp_path / "others").read_text()
    assert asked(led) > 3  # one of them had to ask again


@pytest.fixture
def no_log(led: FakeArm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boot logs without keys."""
    monkeypatch.setattr(led.state.machines, "console", lambda machine: f"{machine.name} login: ".encode())


@pytest.mark.parametrize("said", ["", "ssh-ed25519 AAAA root@box", "[stdout]\n-oProxyCommand=evil AAAA\n[stderr]\n"])
async def test_what_is_no_key_is_refused_and_not_asked_for_again(
    led: FakeArm, no_log: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    async with stranger(led, tmp_path / "known") as (keys, machine, arm):

        async def answer(*_: object) -> dict[str, object]:
            return {"value": [{"message": said}]}

        monkeypatch.setattr(arm, "finished", answer)
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"box did not tell .* keys, but .*boot log.* add it to .*/known: "):
                await keys.learn(machine)
    assert not (tmp_path / "known").exists()


async def test_a_machine_that_can_not_tell_its_key_is_not_kept(
    led: FakeArm, no_log: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "KEYS_SECONDS", 3)
    led.faults.add(Fault("fail-later", "POST", COMMANDS, "VMAgentStatusCommunicationError"))
    _, said = await run("create", "box", code=1)
    assert "VMAgentStatusCommunicationError" in said
    assert left(led) == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("fail", "POST", COMMANDS, "AuthorizationFailed", times=0),
        Fault("fail-later", "POST", COMMANDS, "VMAgentStatusCommunicationError", times=0),
        Fault("fail", "POST", COMMANDS, "OperationNotAllowed", message=NO_EXTENSIONS, times=0),
    ],
    ids=lambda fault: fault.code,
)
async def test_a_machine_without_an_agent_tells_its_key_by_its_boot_log(
    led: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    led.faults.add(fault)
    shown = iter([b"booting\r\n", b"-----BEGIN SSH HOST KEY KEYS-----\r\nssh-ed25519 AAAA box\r\n"])
    whole = console("box", "ssh-ed25519 b2xk") + b"\r\n<14>Nov 28 06:00:00 cloud-init: " + console("box", HOST_KEY)
    monkeypatch.setattr(led.state.machines, "console", lambda _: next(shown, whole))
    await run("create", "box")
    (line,) = (tmp_path / "swarmlib/azure_known_hosts").read_text().splitlines()
    assert line.endswith(HOST_KEY)


async def test_a_machine_that_is_off_is_not_asked(led: FakeArm, tmp_path: Path) -> None:
    async with stranger(led, tmp_path / "known") as (keys, machine, arm):
        await arm.finished(lambda: arm.compute.virtual_machines.begin_deallocate("prod", "box"))
        with pytest.raises(Conflict, match=r"OperationNotAllowed.*when the VM is not running"):
            await keys.learn(machine)


async def test_a_machine_that_does_not_answer_is_given_up(autojump_clock: MockClock, tmp_path: Path) -> None:
    class Silent:
        asked = 0
        compute = SimpleNamespace(
            virtual_machines=SimpleNamespace(begin_run_command=len, retrieve_boot_diagnostics_data=lambda *_: None)
        )

        async def called(self, _call: object) -> None:
            raise Denied("no boot diagnostics")

        async def finished(self, _begin: object) -> None:
            self.asked += 1
            await trio.sleep_forever()

    silent = Silent()
    keys = HostKeys(silent, tmp_path / "known")  # type: ignore[arg-type]
    body = {"id": "/subscriptions/s/resourceGroups/g/providers/M/v/box", "name": "box", "properties": {"vmId": "1"}}
    for _ in range(2):
        with pytest.raises(TimedOut, match="box did not tell its ssh host keys within 600 s"):
            await keys.learn(Machine(body, "running"))
    assert silent.asked == 1
    await trio.sleep(600)
    with pytest.raises(TimedOut):
        await keys.learn(Machine(body, "running"))
    assert silent.asked == 2


@pytest.mark.engine
async def test_a_host_with_another_key_than_the_machine_told_gets_no_connection(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Azure(group="prod", allow=["192.0.2.1"])
    machines = RealMachines()
    try:
        async with real_cloud(spec, machines, tmp_path, monkeypatch) as arm, swarmlib.connect(options) as swarm:
            web = await swarm.spawn({"Image": "ubuntu"}, name="web")
            assert b"inside" in await said_by(web)
            assert asked(arm) == 1
            known = tmp_path / "swarmlib/azure_known_hosts"
            alias = known.read_text().split()[0]
            known.write_text(f"{alias} {HOST_KEY}\n")
            assert b"Host key verification failed" in await said_by(web)
    finally:
        machines.close()


async def said_by(machine: swarmlib.Workload) -> bytes:
    """What a shell on a machine says, or ssh in its place."""
    said = b""
    with trio.fail_after(20):
        async with await machine.connect() as shell:
            with suppress(trio.BrokenResourceError):
                await shell.send_all(b"echo in''side; exit\n")
            async for data in shell:
                said += bytes(data)
    return said
