"""Azure's virtual machines as engines: real dockerd and sshd behind a fake ARM, made when needed and put to sleep."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio

import swarmlib
from swarmlib import Client, Unavailable
from swarmlib_backends import Balance, Docker
from swarmlib_backends.azure import Azure
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from swarmlib_backends.azure.fakearm.spec import Spec
from swarmlib_backends.azure.fleet import Fleet
from tests.support.azure.backend import opened as rules
from tests.support.azure.backend import until_nothing_is_left
from tests.support.azure.cloud import real_cloud
from tests.support.azure.machines import RealMachines, written_files
from tests.support.azure.sdk import machine_body, opened
from tests.support.engines import Engine, busybox_tar, docker, engine, swarmd

pytestmark = pytest.mark.engine

T = TypeVar("T")
QUIET = {"NetworkMode": "none"}


@pytest.fixture
def real() -> Iterator[RealMachines]:
    machines = RealMachines()
    yield machines
    machines.close()


@pytest.fixture
async def cloud(
    spec: Spec, real: RealMachines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeArm]:
    async with real_cloud(spec, real, tmp_path, monkeypatch) as arm:
        yield arm


@pytest.fixture(scope="module")
def local() -> Iterator[Engine]:
    with engine(["--label", "containerslots=1"]) as started:
        yield started


def azure(**options: object) -> Azure:
    return Azure(**{"group": "prod", "allow": ["192.0.2.1"], "max": 2, "slots": 1, **options})  # type: ignore[arg-type]


async def spawn(swarm: Client, name: str, **host: object) -> swarmlib.Workload:
    body = {"Image": "busybox", "Cmd": ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"]}
    made = await swarm.spawn({**body, "HostConfig": QUIET | host}, name=name)
    await made.start()
    return made


async def test_a_port_that_a_container_publishes_is_open_until_the_container_is_removed(
    cloud: FakeArm, local: Engine
) -> None:
    async with swarmlib.connect(local_and(azure(idle="0.4s"), local)) as swarm:
        first = await spawn(swarm, "first")
        web = await spawn(swarm, "web", PortBindings={"80/tcp": [{"HostPort": "8080"}]})
        assert rules(cloud) == {("192.0.2.1", "22"), ("192.0.2.1", "8080")}
        await web.stop(t=5)
        await power(cloud, "deallocated")
        assert ("192.0.2.1", "8080") in rules(cloud)
        await web.rm(force=True)
        with trio.fail_after(20):
            while rules(cloud) != {("192.0.2.1", "22")}:  # noqa: ASYNC110 - the fake is another program
                await trio.sleep(0.02)
        await first.rm(force=True)


async def test_a_restarted_swarmd_keeps_the_port_of_a_container_open_that_nobody_looks_at(
    cloud: FakeArm, local: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with swarmlib.connect(local_and(azure(), local)) as swarm:
        await spawn(swarm, "first")
        await spawn(swarm, "web", PortBindings={"80/tcp": [{"HostPort": "8080"}]})
    send, looks = trio.open_memory_channel[set[tuple[str, str]]](100)
    settle = Fleet.settle_ports

    async def told(fleet: Fleet) -> None:
        await settle(fleet)
        send.send_nowait(rules(cloud))

    monkeypatch.setattr(Fleet, "settle_ports", told)
    async with swarmlib.connect(azure(idle="0.4s")):
        with trio.fail_after(20):
            for _ in range(9):  # a port is closed after two looks
                assert ("192.0.2.1", "8080") in await looks.receive()
    async with swarmlib.connect(local_and(azure(), local)) as swarm:
        for name in ("first", "web"):
            await swarm.rm("containers", name, force=True)


async def test_containers_spill_over_to_a_machine_that_sleeps_when_idle_and_is_woken_for_its_containers(
    cloud: FakeArm, local: Engine
) -> None:
    async with swarmlib.connect(local_and(azure(idle="0.5s"), local)) as swarm:
        assert cloud.state.resources == {}
        first = await spawn(swarm, "first")
        assert cloud.state.resources == {}
        second = await spawn(swarm, "second")
        nodes = {each.name: each.node for each in await swarm.ls()}
        assert nodes == {"first": "local", "second": "azure"}
        assert [line.data for line in await second.logs()] == [b"up"]
        await second.stop(t=5)
        await power(cloud, "deallocated")
        assert {each.name: each["State"] for each in await swarm.ls(all=True)} == {
            "first": "running",
            "second": "exited",
        }
        assert (await second.details())["Name"] == "/second"
        assert await power_now(cloud) == "deallocated"
        await second.start()
        assert await power_now(cloud) == "running"
        assert len(await second.logs()) == 2
        await second.rm(force=True)
        await first.rm(force=True)


def local_and(cloud: Azure, local: Engine) -> swarmlib.Backend:
    here = swarmlib.Chain(Docker(local.host), label="local")
    return Balance([here, swarmlib.Chain(cloud, label="azure")])


async def power_now(cloud: FakeArm) -> str:
    (machine,) = cloud.state.of_type("Microsoft.Compute/virtualMachines")
    return str(machine.hidden["power"])


async def power(cloud: FakeArm, wanted: str) -> None:
    with trio.fail_after(20):
        while await power_now(cloud) != wanted:  # noqa: ASYNC110 - the fake is another program
            await trio.sleep(0.02)


async def test_a_restarted_swarmd_finds_its_machines_and_what_is_on_those_that_sleep(
    cloud: FakeArm, local: Engine
) -> None:
    async with swarmlib.connect(local_and(azure(idle="0.2s"), local)) as swarm:
        first = await spawn(swarm, "first")
        second = await spawn(swarm, "second")
        await second.stop(t=5)
        await power(cloud, "deallocated")
    async with swarmlib.connect(local_and(azure(), local)) as swarm:
        assert {each.name: each["State"] for each in await swarm.ls(all=True)} == {
            "first": "running",
            "second": "exited",
        }
        await second_of(swarm).start()
        assert await power_now(cloud) == "running"
    async with swarmlib.connect(local_and(azure(), local)) as swarm, swarmlib.connect(azure()) as other:
        assert {each.name for each in await swarm.ls()} == {"first", "second"}
        assert {each.name for each in await other.ls()} == {"second"}
        await second_of(other).rm(force=True)
        await swarm.rm("containers", first.id, force=True)


def second_of(swarm: Client) -> swarmlib.Workload:
    return swarm.workload("second")


async def test_when_all_machines_are_full_it_is_said(cloud: FakeArm, local: Engine) -> None:
    async with swarmlib.connect(local_and(azure(max=1), local)) as swarm:
        made = [await spawn(swarm, name) for name in ("one", "two")]
        with pytest.raises(Unavailable, match=r"local: all its 1 container slots are taken.*azure: all 1 machines"):
            await spawn(swarm, "three")
        with pytest.raises(Unavailable, match=r"too small|memory"):
            await swarm.spawn({"Image": "busybox", "HostConfig": {"Memory": 64 << 30}})
        for each in made:
            await each.rm(force=True)


async def test_a_machine_that_does_not_serve_what_it_was_made_for_is_removed_again(cloud: FakeArm) -> None:
    async with swarmlib.connect(azure()) as swarm:
        with pytest.raises(Unavailable, match=r"a new machine was made, and won't do either: .*runsc"):
            await swarm.spawn({"Image": "busybox", "Labels": {"swarmlib.isolation": "runsc"}})
        with trio.fail_after(20):
            while any(each.id.type.endswith("/virtualMachines") for each in cloud.state.resources.values()):  # noqa: ASYNC110 - the fake is another program
                await trio.sleep(0.05)


async def test_a_spawn_that_is_cancelled_while_its_machine_is_made_leaves_nothing(
    cloud: FakeArm, local: Engine
) -> None:
    async with swarmlib.connect(azure()) as swarm:
        hanging = cloud.faults.add(Fault("hang-halfway", "PUT", "*/virtualMachines/*"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swarm.spawn, {"Image": "busybox"})
            await hanging.hit.wait()
            began = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began < 1
        await until_nothing_is_left(cloud)


@asynccontextmanager
async def in_thread(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """A context whose beginning and end wait for the fake, which runs in this thread."""
    entered = await trio.to_thread.run_sync(context.__enter__)
    try:
        yield entered
    finally:
        await trio.to_thread.run_sync(context.__exit__, None, None, None)


async def test_the_docker_cli_runs_containers_on_azure_through_swarmd(cloud: FakeArm, local: Engine) -> None:
    cli = "azure --group prod --allow 192.0.2.1 --max 1 --idle 30m"
    async with in_thread(swarmd(f"balance (local=docker {local.host}) (azure={cli})")) as running:

        async def run(*words: str) -> str:
            done = await trio.to_thread.run_sync(lambda: docker(running.host, *words))
            assert done.returncode == 0, done.stderr
            return done.stdout.decode()

        await run("run", "-d", "--name", "here", "--network", "none", "busybox", "sleep", "1000")
        there = ("--network", "none", "-e", "constraint:node==azure", "busybox")
        assert await run("run", "--rm", *there, "echo", "from azure") == "from azure\n"
        await run("run", "-d", "--name", "there", *there, "sleep", "1000")
        assert "there" in await run("ps")
        assert "there" in await run("ps", "--filter", "node=azure")
        assert await run("exec", "there", "echo", "inside") == "inside\n"
        await run("rm", "-f", "here", "there")


async def test_the_docker_cli_runs_containers_on_an_engine_that_is_reached_by_tls(
    cloud: FakeArm, local: Engine, tmp_path: Path
) -> None:
    cli = "azure --group prod --allow 192.0.2.1 --max 1 --reach tls --idle 30m"
    async with in_thread(swarmd(f"balance (local=docker {local.host}) (azure={cli})")) as running:

        async def run(host: str, *words: str, code: int = 0) -> str:
            done = await trio.to_thread.run_sync(lambda: docker(host, *words))
            assert done.returncode == code, done.stderr
            return (done.stderr if code else done.stdout).decode()

        quiet = ("--network", "none", "-e", "constraint:node==azure", "busybox")
        assert await run(running.host, "run", "--name", "box", *quiet, "echo", "hello") == "hello\n"
        (machine,) = cloud.state.of_type("Microsoft.Compute/virtualMachines")
        (rule,) = cloud.state.of_type("Microsoft.Network/networkSecurityGroups/securityRules")
        opened = (rule.properties["sourceAddressPrefix"], rule.properties["destinationPortRange"])
        assert opened == ("192.0.2.1", "2376")
        assert machine.body["tags"]["swarmlib.reach"] == "tls"
        key = written_files(machine.hidden["custom_data"])[Path("/etc/docker/certs/key.pem")].splitlines()[1].decode()
        shown = str([each.body for each in cloud.state.resources.values()])
        assert not any(secret in shown for secret in (key, "customData", "PRIVATE KEY"))
        (address,) = cloud.state.of_type("Microsoft.Network/publicIPAddresses")
        host = f"tcp://{address.properties['ipAddress']}:2376"
        certificates = tmp_path / "swarmlib/azure-tls"
        assert {each.name: each.stat().st_mode & 0o077 for each in certificates.glob("*key.pem")} == {
            "key.pem": 0,
            "ca-key.pem": 0,
        }
        trust = ("--tlsverify", "--tlscacert", str(certificates / "ca.pem"))
        own = ("--tlscert", str(certificates / "cert.pem"), "--tlskey", str(certificates / "key.pem"))
        assert "box" in await run(host, *trust, *own, "ps", "-a")
        assert "certificate" in await run(host, *trust, "ps", code=1)
        await run(running.host, "rm", "box")
    async with swarmlib.connect(azure(slots=0)) as swarm:  # how its machine is reached, the machine's tags say
        await (await spawn(swarm, "again")).rm(force=True)
    assert await power_now(cloud) == "running"  # and there is no second one


async def test_two_swarmd_that_grow_at_once_make_no_more_machines_than_they_may(cloud: FakeArm, local: Engine) -> None:
    refused: list[Unavailable] = []

    async def grow(name: str) -> None:
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": QUIET, "Env": ["constraint:node==azure"]}
        async with swarmlib.connect(local_and(azure(max=1), local)) as swarm:
            try:
                await swarm.spawn(body, name=name)
            except Unavailable as exc:
                refused.append(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(grow, "one")
        nursery.start_soon(grow, "two")
    assert len(refused) < 2, refused  # none, if one was so slow that it found the other's machine with room
    assert await power_now(cloud) == "running"  # and there is no second one


async def test_a_machine_is_not_switched_off_under_what_another_swarmd_sends_to_it(
    cloud: FakeArm, local: Engine
) -> None:
    tar = busybox_tar()
    chain = f"balance (local=docker {local.host}) (azure=azure --group prod --allow 192.0.2.1 --max 1 --idle 20s)"
    async with in_thread(swarmd(chain)) as first:

        async def run(*words: str) -> None:
            done = await trio.to_thread.run_sync(lambda: docker(first.host, *words))
            assert done.returncode == 0, done.stderr

        await run("create", "--name", "box", "-e", "constraint:node==azure", "--network", "none", "busybox", "true")
        async with swarmlib.connect(azure(max=1, idle="0.2s")), trio.open_nursery() as nursery:
            command = ["docker", "-H", first.host, "cp", "-", "box:/"]
            copying: trio.Process = await nursery.start(partial(trio.run_process, command, stdin=subprocess.PIPE))
            assert copying.stdin is not None
            await copying.stdin.send_all(tar[:100_000])
            await until_looked_at(cloud)
            assert await power_now(cloud) == "running"
            await copying.stdin.send_all(tar[100_000:])
            await copying.stdin.aclose()
            assert await copying.wait() == 0
            await until_looked_at(cloud)
            assert await power_now(cloud) == "running"  # it was used not long ago
        await run("rm", "box")
    async with swarmlib.connect(azure(max=1, idle="0.2s")):
        await power(cloud, "deallocated")  # the first one has ended, and its lease with it


async def test_the_command_returns_when_docker_answers_and_says_what_ssh_needs(cloud: FakeArm, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "swarmd", "azure", "create", "box", "--group", "prod", "--allow", "192.0.2.1"]
    done = await trio.run_process(words, capture_stdout=True, capture_stderr=True)
    (address,) = cloud.state.of_type("Microsoft.Network/publicIPAddresses")
    host = address.properties["ipAddress"]
    assert done.stdout.decode() == f"docker -H ssh://swarm@{host} ps\n"
    said = done.stderr.decode()
    assert "waiting for Docker on virtualMachines box" in said
    config = said.partition("in ~/.ssh/config:\n")[2].partition("billed: ")[0]
    assert config.startswith(f"Host {host}\n")
    (tmp_path / "config").write_text(config)
    ssh = ["ssh", "-F", str(tmp_path / "config"), "-o", "BatchMode=yes", "-l", "swarm", host, "docker", "version"]
    version = await trio.run_process(ssh, capture_stdout=True)
    assert b"Server" in version.stdout
    (machine,) = cloud.state.of_type("Microsoft.Compute/virtualMachines")
    assert "swarmlib.making" not in machine.body["tags"]


async def until_looked_at(cloud: FakeArm) -> None:
    """Wait until the machines have been listed often enough for one that idles to be found idle."""
    with trio.fail_after(30):
        for _ in range(10):
            cloud.asked.clear()
            while not any(each.endswith("prod/providers/Microsoft.Compute/virtualMachines") for each in cloud.asked):  # noqa: ASYNC110 - the fake is another program
                await trio.sleep(0.02)


async def old_machine(cloud: FakeArm, folder: Path) -> None:
    """A machine that has Docker already, and is none of swarmlib's."""
    async with opened(cloud) as sdk:
        profile = machine_body("")["properties"]["osProfile"]
        key = (folder / ".ssh/id_ed25519.pub").read_text().strip()
        profile["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"] = key
        await sdk.machine("old", await sdk.network_for("old"), osProfile=profile)
        await (await sdk.compute.virtual_machines.begin_update("prod", "old", {"tags": {"has": "docker"}})).result()


async def test_a_machine_that_was_there_is_an_engine_by_its_name_or_tag_and_sleeps_only_if_told(
    cloud: FakeArm, local: Engine, tmp_path: Path
) -> None:
    await old_machine(cloud, tmp_path)
    async with swarmlib.connect(local_and(azure(max=0, vm=["OLD"], idle="0.1s"), local)) as swarm:
        first, second = await spawn(swarm, "first"), await spawn(swarm, "second")
        assert {each.name: each.node for each in await swarm.ls()} == {"first": "local", "second": "azure"}
        with pytest.raises(Unavailable, match="local: all its 1 container slots"):
            await swarm.spawn({"Image": "busybox", "HostConfig": {"Memory": 64 << 30}})
        await second.stop(t=5)
        asked = len(cloud.asked)
        with trio.fail_after(20):
            while len(cloud.asked) < asked + 20:  # noqa: ASYNC110 - until it has been looked at again and again
                await trio.sleep(0.02)
        assert await power_now(cloud) == "running"
        await first.rm(force=True)
    async with swarmlib.connect(azure(max=0, vm=["has=docker"], vm_idle="0.1s")) as swarm:
        await power(cloud, "deallocated")
        assert [each.name for each in await swarm.ls(all=True)] == ["second"]
        await second_of(swarm).rm(force=True)
        assert await power_now(cloud) == "running"


async def test_a_named_machine_that_is_not_there_is_told(cloud: FakeArm) -> None:
    with pytest.raises(swarmlib.NotFound, match="--vm old: no such virtual machine in prod"):
        async with swarmlib.connect(azure(max=0, vm=["old"])):
            raise AssertionError


async def test_a_shell_on_a_machine_that_is_a_workload(cloud: FakeArm) -> None:
    async with swarmlib.connect(Azure(group="prod", allow=["192.0.2.1"])) as swarm:
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        seen = b""
        async with await web.connect() as shell:
            await shell.send_all(b"echo in''side; exit\n")
            with trio.fail_after(20):
                async for data in shell:
                    seen += bytes(data)
        assert b"inside" in seen
        await web.stop()
        with pytest.raises(swarmlib.Conflict, match="deallocated, not running"):
            await web.connect()


async def test_the_docker_cli_shows_virtual_machines_as_containers(cloud: FakeArm) -> None:
    async with in_thread(swarmd("azure --group prod --allow 192.0.2.1")) as running:

        async def run(*words: str, code: int = 0) -> str:
            done = await trio.to_thread.run_sync(lambda: docker(running.host, *words))
            assert done.returncode == code, done.stderr
            return (done.stderr if code else done.stdout).decode()

        await run(
            "run", "-d", "--name", "web", "--label", "azure.size=Standard_D2s_v5", "--label", "tier=web", "ubuntu"
        )
        shown = await run("ps", "--format", "{{.Names}} {{.Image}} {{.State}} {{.Status}}")
        assert shown.startswith("web ubuntu running Up ")
        assert await run("inspect", "-f", "{{.Azure.properties.hardwareProfile.vmSize}}", "web") == "Standard_D2s_v5\n"
        assert (await run("logs", "web")).endswith("web login: ")
        assert await run("ps", "-q", "--filter", "label=tier=db") == ""
        await run("restart", "web")
        await run("stop", "web")
        assert "ago, deallocated" in await run("ps", "-a")
        assert await run("wait", "web") == "0\n"
        await run("start", "web")
        assert "can't have Cmd" in await run("run", "-d", "ubuntu", "ls", code=125)
        assert "can't have HostConfig.Memory" in await run("create", "--memory", "1g", "ubuntu", code=1)
        assert "Containers: 1" in await run("info")
        await run("rm", "-f", "web")
        assert await run("ps", "-aq") == ""


async def test_what_others_do_to_the_machines_is_found_out(cloud: FakeArm, local: Engine) -> None:
    async with (
        swarmlib.connect(local_and(azure(idle="4s"), local)) as swarm,
        swarmlib.connect(Azure(group="prod", allow=["192.0.2.1"])) as machines,
    ):
        first = await spawn(swarm, "first")
        second = await spawn(swarm, "second")
        (machine,) = await machines.ls()
        await machines.stop(machine.name)  # as Azure itself does with a spot machine
        with trio.fail_after(20):
            while await power_now(cloud) != "running":  # until it is noticed, the machine is down
                with suppress(Unavailable):
                    await second.start()
                await trio.sleep(0.05)
        await machines.rm("containers", machine.name, force=True)
        with trio.fail_after(20):
            while len(await swarm.ls()) > 1:  # noqa: ASYNC110 - the other swarmd finds out by itself
                await trio.sleep(0.05)
        third = await spawn(swarm, "third")
        assert {each.name: each.node for each in await swarm.ls()} == {"first": "local", "third": "azure"}
        await third.rm(force=True)
        await first.rm(force=True)
