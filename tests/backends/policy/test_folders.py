"""Paths of the host in volumes and services: judged and resolved as binds are, and looked at again before a start."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Chain, Client, Denied, Json, Request, Verb
from swarmlib_backends.dockerapi import table
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.policy import Policy, document, folders, readings
from swarmlib_backends.policy.mounts import host_paths
from swarmlib_backends.simulator import Simulator

RULES = """
[[rule]]
allow = ["Container*", "VolumeCreate"]
[rule.container]
images = ["busybox"]
binds = ["FOLDER/**"]
volumes = ["*"]
volume_options = ["*"]
"""


@asynccontextmanager
async def guarded(folder: Path) -> AsyncGenerator[tuple[Client, Client]]:
    """A client that may use a folder, and one of the engine itself."""
    (folder / "data").mkdir()
    rules = folder / "rules.toml"
    rules.write_text(RULES.replace("FOLDER", str(folder)))
    async with Chain(Simulator()).open() as engine, Policy(rules).open(engine) as stage:
        yield Client(stage), Client(engine)


def bound(device: Path | str) -> dict[str, Any]:
    return {"Name": "data", "DriverOpts": {"type": "none", "o": "bind", "device": str(device)}}


def sleeps(**host: Any) -> dict[str, Any]:
    return {"Image": "busybox", "Cmd": ["sleep", "9"], "HostConfig": {"NetworkMode": "none", **host}}


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        ({"type": "none", "o": "bind", "device": "/etc"}, ["/etc"]),
        ({"type": "nfs", "o": "addr=10.0.0.1,rbind", "device": "/etc"}, ["/etc"]),
        ({"o": "rw", "device": "etc"}, ["etc"]),
        ({"type": "ext4", "device": "/dev/sda1"}, ["/dev/sda1"]),
        ({"type": "overlay", "device": "overlay", "o": "lowerdir=/etc:/var,upperdir=u"}, ["/etc", "/var", "u"]),
        ({"type": "nfs", "o": "addr=10.0.0.1", "device": ":/export"}, []),
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, []),
        ({}, []),
    ],
)
def test_the_paths_in_a_volumes_options_are_known(options: dict[str, str], paths: list[str]) -> None:
    assert list(host_paths(options)) == paths


async def test_a_volume_of_a_folder_is_judged_as_a_bind_is(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (client, _):
        await client.spawn(bound(tmp_path / "data"), "volumes")
        (tmp_path / "link").symlink_to(tmp_path / "data")
        (tmp_path / "out").symlink_to("/etc")
        for device, says in (
            ("/etc", "DriverOpts asks for '/etc', which binds"),
            ("etc", "DriverOpts asks for 'etc', which binds"),
            (tmp_path / "out", "leads to /etc, which binds"),
            (tmp_path / "link", f"is a link: name the folder to which it leads, {tmp_path}/data"),
        ):
            with pytest.raises(Denied, match=says):
                await client.spawn(bound(device), "volumes")
            options = {"DriverConfig": {"Options": bound(device)["DriverOpts"]}}
            mount = {"Type": "volume", "Source": "other", "Target": "/x", "VolumeOptions": options}
            with pytest.raises(Denied, match=says.replace("DriverOpts", ".*")):
                await client.spawn(sleeps(Mounts=[mount]))


async def test_a_volume_whose_folder_became_a_link_is_not_mounted(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (client, _):
        await client.spawn(bound(tmp_path / "data"), "volumes")
        box = await client.spawn(sleeps(Binds=["data:/x"]), name="box")
        (tmp_path / "data").rmdir()
        (tmp_path / "data").symlink_to("/etc")
        with pytest.raises(Denied, match="leads to /etc now, which binds of the rule does not list"):
            await client.start(box.id)


async def test_what_the_operator_bound_can_be_started(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (client, engine):
        await engine.spawn(sleeps(Binds=["/etc:/x"]), name="box")
        await client.start("box")
        with pytest.raises(Denied, match="asks for '/etc'"):
            await client.spawn(sleeps(Binds=["/etc:/x"]))


def test_only_a_policy_about_folders_looks_at_each_start() -> None:
    start = Request(Verb.START, ("containers", "box"))
    row = table.row_of(start.verb, start.path, upload=False)
    with_binds = '[[rule]]\nallow = ["ContainerCreate"]\n[rule.container]\nbinds = ["/srv"]\n'
    for more, looks in (("", False), (with_binds, True)):
        found = document.parse(f'[[rule]]\nallow = ["ContainerStart"]\n{more}', "rules.toml").judge(row, start)
        assert found.rule is not None
        assert found.rule.acts_on(row, found.demands) is looks


async def test_the_folders_of_a_service_are_resolved_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    task = {"ContainerSpec": {"Image": "x", "Mounts": [{"Type": "bind", "Source": f"{tmp_path}/link", "Target": "/x"}]}}
    request = canonical(Request(Verb.SPAWN, ("services",), body=Json.from_data({"TaskTemplate": task})))
    row = table.row_of(request.verb, request.path, upload=False)
    text = f'[[rule]]\nallow = ["ServiceCreate"]\n[rule.container]\nbinds = ["{tmp_path}/**"]\n'
    (rule,) = document.parse(text, "rules.toml").by_operation["ServiceCreate"]
    resolved = await folders.resolve(request, list(readings.demands(row, request)), rule.grants)
    assert resolved.json["TaskTemplate"]["ContainerSpec"]["Mounts"][0]["Source"] == f"{tmp_path}/data"
