"""Protected objects: nobody harms them, by whatever operation or name, but a client with an override."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from swarmlib import (
    BytesStream,
    Chain,
    Client,
    Denied,
    Json,
    Meta,
    NotFound,
    Request,
    Sender,
    Server,
    SwarmError,
    Verb,
)
from swarmlib.asking import call
from swarmlib.service import Unhandled
from swarmlib_backends import Policy, Simulator
from swarmlib_backends.dockerapi.rows import ROWS
from swarmlib_backends.policy import document

RULES = """
protect = "swarmlib.protect"
override = ["admins"]
MODE
[clients.admins]
users = [0]
[[rule]]
allow = ["*"]
[rule.container]
images = ["**"]
tags = ["**"]
names = ["**"]
networks = ["**"]
fields = ["**"]
uploads = ["**"]
nodes = ["**"]
urls = ["**"]
"""
SLEEPS = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "app", "Binds": ["data:/data"]}}


@asynccontextmanager
async def protected(folder: Path, mode: str = "") -> AsyncGenerator[tuple[Sender, Client]]:
    """A policy, and its engine with a protected container in a network and with a volume, and one that is not."""
    (folder / "rules.toml").write_text(RULES.replace("MODE", mode))
    async with Chain(Simulator()).open() as sender, Policy(folder / "rules.toml").open(sender) as policy:
        engine = Client(sender)
        await engine.spawn({"Name": "app"}, "networks")
        await engine.spawn(SLEEPS | {"Labels": {"swarmlib.protect": ""}}, name="web")
        await engine.spawn(SLEEPS, name="other")
        yield policy, engine


async def asked(policy: Sender, request: Request, caller: str = "uid:1") -> Any:
    return (await call(policy, request.replace(meta=Meta(caller=caller)))).value


HARMS = [
    Request(Verb.RM, ("containers", "web"), {"force": "1", "v": "1"}),
    Request(Verb.STOP, ("containers", "web")),
    Request(Verb.STOP, ("containers", "web", "kill"), {"signal": "KILL"}),
    Request(Verb.SET, ("containers", "web", "restart")),
    Request(Verb.SET, ("containers", "web", "pause")),
    Request(Verb.SET, ("containers", "web", "rename"), {"name": "gone"}),
    Request(Verb.SET, ("containers", "web", "update"), body=Json.from_data({"PidsLimit": 5})),
    Request(Verb.SET, ("networks", "app", "disconnect"), body=Json.from_data({"Container": "web", "Force": True})),
    Request(Verb.RM, ("networks", "app")),
    Request(Verb.RM, ("volumes", "data"), {"force": "1"}),
    Request(Verb.RM, ("networks",)),
]


@pytest.mark.parametrize("request_", HARMS, ids=lambda request: "/".join((request.verb, *request.path)))
async def test_nothing_harms_what_is_protected(tmp_path: Path, request_: Request) -> None:
    async with protected(tmp_path) as (policy, engine):
        with pytest.raises(Denied, match=r"web.* protected by the label swarmlib\.protect"):
            await asked(policy, request_)
        assert (await engine.get("containers", "web"))["Name"] == "/web"
        names = {each["Name"] for each in await engine.ls("networks")}
        assert "app" in names


async def test_a_name_that_is_an_id_or_its_beginning_protects_as_well(tmp_path: Path) -> None:
    async with protected(tmp_path) as (policy, engine):
        id = (await engine.get("containers", "web"))["Id"]
        for name in (id, id[:12], id[:6]):
            with pytest.raises(Denied, match="is protected"):
                await asked(policy, Request(Verb.RM, ("containers", name), {"force": "1"}))


async def test_what_is_not_protected_can_be_removed_and_what_is_missing_is_missing(tmp_path: Path) -> None:
    async with protected(tmp_path) as (policy, engine):
        await asked(policy, Request(Verb.RM, ("containers", "other"), {"force": "1"}))
        with pytest.raises(NotFound):
            await asked(policy, Request(Verb.RM, ("containers", "nosuch")))
        await asked(policy, Request(Verb.RM, ("volumes", "nosuch"), {"force": "1"}))
        assert [each["Names"] for each in await engine.ls(all=True)] == [["/web"]]


async def test_a_prune_leaves_out_what_is_protected(tmp_path: Path) -> None:
    async with protected(tmp_path) as (policy, engine):
        await engine.spawn({"Name": "kept", "Labels": {"swarmlib.protect": "yes"}}, "volumes")
        await engine.spawn({"Name": "unused"}, "volumes")
        report = await asked(policy, Request(Verb.RM, ("containers",)))
        assert len(report["ContainersDeleted"]) == 1
        await asked(policy, Request(Verb.RM, ("volumes",)))
        assert {each["Name"] for each in (await engine.call(Verb.LS, ("volumes",))).value["Volumes"]} == {
            "data",
            "kept",
        }


async def test_a_client_with_an_override_may_do_it(tmp_path: Path) -> None:
    async with protected(tmp_path) as (policy, engine):
        await asked(policy, Request(Verb.RM, ("containers", "web"), {"force": "1"}), "uid:0")
        with pytest.raises(NotFound):
            await engine.get("containers", "web")


async def test_a_policy_that_only_warns_only_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with protected(tmp_path, 'mode = "warn"') as (policy, _):
        await asked(policy, HARMS[0])
    assert "would deny ContainerDelete" in caplog.text


async def test_an_engine_that_cant_tell_protects_everything(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES.replace("MODE", ""))
    failing = Chain("chaos --errors 'get *=1'", Simulator())
    async with failing.open() as sender, Policy(tmp_path / "rules.toml").open(sender) as policy:
        with pytest.raises(SwarmError):
            await asked(policy, Request(Verb.RM, ("containers", "web")))


NAMINGS = [
    Request(Verb.SET, ("images", "busybox", "tag"), {"repo": "kept"}),
    Request(Verb.SET, ("images", "busybox", "tag"), {"repo": "docker.io/library/kept", "tag": "latest"}),
    Request(Verb.SPAWN, ("commit",), {"container": "other", "repo": "kept"}),
    Request(Verb.SPAWN, ("images",), {"fromImage": "kept", "tag": "latest"}),
    Request(Verb.SPAWN, ("images",), {"fromImage": "kept"}),
    Request(Verb.SPAWN, ("images",), {"fromSrc": "-", "repo": "kept"}, upload=BytesStream(b"")),
    Request(Verb.SPAWN, ("build",), {"t": ["mine", "kept"]}, upload=BytesStream(b"")),
    Request(Verb.FILE, ("images",), upload=BytesStream(b"")),
]


@pytest.mark.parametrize("request_", NAMINGS, ids=lambda request: "/".join((request.verb, *request.path)))
async def test_no_name_is_taken_from_a_protected_image(tmp_path: Path, request_: Request) -> None:
    async with protected(tmp_path) as (policy, engine):
        await engine.spawn({}, "commit", container="web", repo="kept", changes="LABEL swarmlib.protect=1")
        before = (await engine.get("images", "kept"))["Id"]
        with pytest.raises(Denied, match=r"can take the name docker\.io/library/kept:latest from an image"):
            await asked(policy, request_)
        assert (await engine.get("images", "kept"))["Id"] == before
        await asked(policy, Request(Verb.SET, ("images", "kept", "tag"), {"repo": "kept"}))
        await asked(policy, Request(Verb.SET, ("images", "kept", "tag"), {"repo": "another"}))


@dataclass
class Swarm(Server):
    """An engine of a swarm with a protected object."""

    kind: str
    manages: bool = True
    done: list[Request] = field(default_factory=list[Request])

    async def get(self, request: Request) -> Any:
        if request.path[0] == "nodes":
            labels = {"swarmlib.protect": ""} if self.kind == "nodes" else {}
            return {"ID": "full", "Description": {"Hostname": "node"}, "Spec": {"Labels": labels}}
        return {"Swarm": {"ControlAvailable": self.manages}}

    async def ls(self, request: Request) -> Any:
        return [{"ID": "x"}] if request.path[0] == self.kind else []

    async def set(self, request: Request) -> None:
        self.done.append(request)

    async def rm(self, request: Request) -> None:
        self.done.append(request)


@pytest.mark.parametrize(
    ("kind", "manages", "denied"),
    [
        *((kind, True, True) for kind in ("services", "secrets", "configs", "nodes", "containers")),
        ("containers", False, True),
        ("services", False, False),
        ("nothing", True, False),
    ],
)
async def test_nobody_leaves_a_swarm_with_what_is_protected(
    tmp_path: Path, kind: str, manages: bool, denied: bool
) -> None:
    (tmp_path / "rules.toml").write_text(RULES.replace("MODE", ""))
    row = next(row for row in ROWS if row.name == "SwarmLeave")
    swarm = Swarm(kind, manages=manages)
    async with swarm.open(Unhandled()) as sender, Policy(tmp_path / "rules.toml").open(sender) as policy:
        if denied:
            with pytest.raises(Denied, match=f"there are {kind} that are protected"):
                await asked(policy, Request(row.verb, row.path("")))
        else:
            await asked(policy, Request(row.verb, row.path("")))
        assert len(swarm.done) == (0 if denied else 1)


@pytest.mark.parametrize("name", ["NodeDelete", "NodeUpdate"])
@pytest.mark.parametrize("kind", ["nodes", "nothing"])
async def test_a_protected_node_stays(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "rules.toml").write_text(RULES.replace("MODE", ""))
    row = next(row for row in ROWS if row.name == name)
    body = Json.from_data({"Role": "worker"}) if name == "NodeUpdate" else None
    request = Request(row.verb, row.path("node"), {"version": "1"} if body else {}, body)
    swarm = Swarm(kind)
    async with swarm.open(Unhandled()) as sender, Policy(tmp_path / "rules.toml").open(sender) as policy:
        if kind == "nodes":
            with pytest.raises(Denied, match="nodes/node is protected"):
                await asked(policy, request)
            assert swarm.done == []
        else:
            await asked(policy, request)
            assert [each.path for each in swarm.done] == [("nodes", "full")]


@pytest.mark.parametrize(
    ("head", "line", "says"),
    [
        ('protect = "=x"', 1, "expected LABEL or LABEL=VALUE"),
        ('protect = "x="', 1, "expected LABEL or LABEL=VALUE"),
        ('override = ["a"]\n[clients.a]\nusers = [1]', 1, "override requires protect"),
        ('protect = "x"\noverride = ["a"]', 2, "unknown client 'a'"),
        ('protect = "x"\noverride = []', 2, "override must not be empty"),
    ],
)
def test_a_mistake_is_named(head: str, line: int, says: str) -> None:
    with pytest.raises(SwarmError, match=says) as caught:
        document.parse(f'{head}\n[[rule]]\nallow = ["ContainerList"]\n', "rules.toml")
    assert caught.value.message.startswith(f"rules.toml:{line}: ")
