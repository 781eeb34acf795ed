"""`swarmd azure` against the fake ARM; and who it is to Azure."""

import json
import os
import re
import subprocess
import sys
from functools import partial

import pytest
import trio

from swarmd import azure as command
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from tests.support.azure.backend import azure, left
from tests.support.azure.command import CREATE, run


async def test_a_machine_is_made_listed_and_removed(led: FakeArm) -> None:
    planned, _ = await run("create", "box", "--dry-run")
    assert [line.rpartition("/")[2] for line in planned.splitlines()] == [
        "prod", "swarmlib", "swarmlib", "box-ip", "box-nic", "box",
        "make   its disk, of type StandardSSD_LRS, from ubuntu",
    ]  # fmt: skip
    assert all(line.startswith("make ") for line in planned.splitlines())
    assert left(led) == []
    said, steps = await run("create", "box", "--size", "Standard_D2s_v5")
    assert said.startswith("docker -H ssh://swarm@127.")
    assert "making virtualMachines box" in steps
    assert "made virtualMachines box" in steps
    machine = next(each for each in led.state.resources.values() if each.id.type.endswith("/virtualMachines"))
    assert b"docker.io" in machine.hidden["custom_data"]
    assert (await run("create", "box", "--size", "Standard_D2s_v5"))[0] == said
    name, power, _, *rest = (await run("ls"))[0].strip().split("\t")
    assert (name, power, rest) == ("box", "running", ["machine+disk+address", "Standard_D2s_v5", "westeurope"])
    await run("rm", "box")
    assert left(led) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--size Standard_Z9", "Standard_Z9: the region has no such size. What to do: use --size Standard_"),
        ("--zone 9", "it is not in zone 9"),
        ("--location nowhere", "Azure has no region nowhere, or no machines there for this subscription: `az account"),
        ("--image Debian:debian-12:13:latest", "VMImage was not found"),
        ("--network nix/default", "no such subnet: /subscriptions/"),
        ("--private", "--private requires --nat or --network"),
        ("--ssh-key /nix", "can't read the public key in /nix"),
    ],
)
async def test_a_dry_run_checks_the_choices_as_a_creation_does(led: FakeArm, words: str, said: str) -> None:
    for more in (["--dry-run"], []):
        assert said in (await run("create", "box", *words.split(), *more, code=1))[1]
    assert not [each for each in led.asked if each.startswith(("PUT", "DELETE", "PATCH"))]


async def test_a_dry_run_says_which_machines_are_tried_and_what_it_could_not_check(led: FakeArm) -> None:
    _, said = await run("create", "box", "--dry-run", "--size", "Standard_Z9,Standard_D2s_v5", "--zone", "2,1")
    assert "tried in this order: Standard_D2s_v5 in zone 2; Standard_D2s_v5 in zone 1\n" in said
    assert "not checked" not in said
    led.faults.add(Fault("fail", "GET", "*/skus", "AuthorizationFailed", times=0))
    _, said = await run("create", "box", "--dry-run")
    assert "not checked, because your role does not let you read it: the sizes of the region\n" in said


async def test_a_dry_run_shows_what_is_there_and_refuses_what_is_of_others(led: FakeArm) -> None:
    await run("create", "box")
    planned, said = await run("create", "box", "--dry-run")
    assert {line.split()[0] for line in planned.splitlines()} == {"there"}
    assert "tried" not in said
    assert "in use by another virtual machine" in (await run("create", "box", "--disk", "99", "--dry-run", code=1))[1]
    nic = f"/subscriptions/{led.state.subscription}/resourceGroups/prod/providers/Microsoft.Network/networkInterfaces/"
    led.plant({"id": f"{nic}web-nic", "location": "westeurope", "properties": {}})
    assert "web-nic exists and was not made by swarmlib" in (await run("create", "web", "--dry-run", code=1))[1]


async def test_a_machine_that_is_off_is_started_by_the_command_that_would_make_it(led: FakeArm) -> None:
    await run("create", "box", "--max-hours", "3")
    async with azure() as swarm:
        await swarm.stop("box")
    assert (await run("ls"))[0].startswith("box\tdeallocated")
    _, said = await run("create", "box", "--max-hours", "3")
    assert "starting virtualMachines box" in said
    assert (await run("ls"))[0].startswith("box\trunning")


async def test_machines_are_told_as_json_too(led: FakeArm) -> None:
    plan = json.loads((await run("create", "box", "--dry-run", "--json"))[0])
    assert [(each["id"].rpartition("/")[2], each["there"]) for each in plan][-1] == ("box", False)
    made = json.loads((await run("create", "box", "--json", "--reach", "tls", "--tag", "tier=web"))[0])
    assert re.fullmatch(r"tcp://127\.\d+\.\d+\.\d+:2376", made["docker_host"])
    assert {*os.listdir(made["docker_cert_path"])} >= {"ca.pem", "cert.pem", "key.pem"}
    assert "DOCKER_TLS_VERIFY=1" in (await run("create", "box", "--reach", "tls", "--tag", "tier=web"))[0]
    (listed,) = json.loads((await run("ls", "--json"))[0])
    assert (listed["name"], listed["power"], listed["tags"]["tier"]) == ("box", "running", "web")
    assert listed["id"] == made["id"]
    assert made["power"] == "running"


async def test_on_a_terminal_machines_are_a_table(
    led: FakeArm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await run("create", "box", "--tag", "a=[b]")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    chosen = command.options(["--group", "prod"])
    await command.ls(chosen, as_json=False)
    titles, box = (line.split() for line in capsys.readouterr().out.splitlines())
    assert titles == ["name", "power", "since", "billed", "size", "location"]
    assert (box[:2], box[4:]) == (["box", "running"], ["Standard_B2s_v2", "westeurope"])
    assert box[3].startswith("machine+disk")


async def test_what_is_wrong_is_said_in_a_line(led: FakeArm) -> None:
    assert "unknown option --sise of azure" in (await run("create", "box", "--sise", "x", code=2))[1]
    assert "no such virtual machine in prod: box" in (await run("rm", "box", code=1))[1]
    led.state.regions["westeurope"].cores = 1
    assert "quota" in (await run("create", "box", code=1))[1]
    assert left(led) == []


async def test_what_a_killed_run_has_left_is_swept(led: FakeArm) -> None:
    hanging = led.faults.add(Fault("hang", "PUT", "*/virtualMachines/*"))
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, CREATE, check=False, stderr=subprocess.DEVNULL)
        process: trio.Process = await nursery.start(start)
        await hanging.hit.wait()
        process.kill()
    assert "box-nic" in left(led)
    assert (await run("sweep", "--dry-run"))[0] == ""  # it may be another one's, in the making
    planned, _ = await run("sweep", "--older-than", "0s", "--dry-run")
    assert sorted(line.rpartition("/")[2] for line in planned.splitlines()) == [
        "box-ip", "box-nic", "remove  prod", "swarmlib", "swarmlib",
    ]  # fmt: skip
    await run("sweep", "--older-than", "0s")
    assert left(led) == []


async def test_a_killed_creation_is_completed_by_the_same_command(led: FakeArm) -> None:
    hanging = led.faults.add(Fault("hang-halfway", "PUT", "*/virtualMachines/*"))
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, CREATE, check=False, stderr=subprocess.DEVNULL)
        process: trio.Process = await nursery.start(start)
        await hanging.hit.wait()
        process.kill()
    await run("create", "box")
    assert (await run("ls"))[0].startswith("box\trunning")
    assert (await run("sweep", "--older-than", "0s", "--everywhere", "--dry-run"))[0] == ""
