"""A client that is confined to its own objects reads everything that it can, and finds nothing of another's.

Whatever is the other's carries a canary: names, labels, variables, commands, mounts, images. The two are entangled as
far as an operator can do it: by links, networks, volumes and the names of images.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from swarmlib import Ack, Chain, Client, Conflict, Denied, Error, Log, Request, Sender, Verb, ask, discard
from swarmlib_backends.dockerapi.rows import ROWS, Row
from swarmlib_backends.dockerapi.status import error_body
from swarmlib_backends.policy import Policy
from swarmlib_backends.policy.ownership import CONFINABLE
from tests.support.engines import engine as real_engine

CANARY = b"canary"
ALLOWED = sorted(CONFINABLE)
RULES = f"""
[[rule]]
own = "team=alice"
allow = {ALLOWED}
[rule.container]
images = ["busybox"]
networks = ["default"]
restarts = ["no"]
"""
OTHERS = ["canary-box", "canary-net", "canary-vol", "canary-image", "canary-image:latest"]
ENDLESS = {"ContainerWait", "ContainerAttach", "ContainerAttachWebsocket", "ContainerStats"}
"""Operations that do not end by themselves if they are about a container that runs."""


def described(owner: str, **host: Any) -> dict[str, Any]:
    """The description of a container of alice's or of bob's."""
    body = {"Image": "busybox", "StopSignal": "KILL", "HostConfig": host}
    if owner == "alice":
        return {**body, "Cmd": ["sleep", "1000"], "Labels": {"team": "alice"}}
    secret = {"Env": ["A=canary-env"], "Labels": {"team": "bob", "canary-label": "canary-value"}}
    return {**body, "Cmd": ["sh", "-c", "sleep 1000; echo canary-arg"], **secret}


async def entangle(engine: Client, folder: Path) -> dict[str, str]:
    """Make the objects of both, and return the ids of their containers by name."""
    for name, team in (("", "alice"), ("canary-", "bob")):
        await engine.spawn({"Name": f"{name}net", "Labels": {"team": team, f"{name}label": "x"}}, "networks")
        await engine.spawn({"Name": f"{name}vol", "Labels": {"team": team, f"{name}label": "x"}}, "volumes")
    bob = await engine.spawn(described("bob", NetworkMode="canary-net", Binds=["canary-vol:/v"]), name="canary-box")
    await engine.start(bob.id)
    shared: dict[str, Any] = {"Binds": ["canary-vol:/v", "vol:/w"], "VolumesFrom": ["canary-box"]}
    mine = await engine.spawn(
        described("alice", NetworkMode="canary-net", Links=["canary-box:db"], **shared), name="mine"
    )
    await engine.start(mine.id)
    others: dict[str, Any] = {"Links": ["mine:app"], "Binds": [f"{folder}/canary-src:/s"]}
    linking = await engine.spawn(described("bob", NetworkMode="canary-net", **others), name="canary-linking")
    for each in (bob.id, mine.id):
        await engine.set("networks", "net", "connect", body={"Container": each})
    await engine.spawn({"Labels": {"team": "bob"}}, "commit", container=bob.id, repo="canary-image")
    await engine.set("images", "busybox", "tag", repo="canary-tag", tag="1")
    await engine.set("networks", "net", "disconnect", body={"Container": bob.id, "Force": True})
    await engine.set("networks", "net", "connect", body={"Container": bob.id})
    made = await bob.spawn({"Cmd": ["true", "canary-arg"]}, "exec")
    return {"mine": mine.id, "canary-box": bob.id, "linking": linking.id, "exec": made.id, "folder": str(folder)}


@asynccontextmanager
async def world(backend: str, folder: Path) -> AsyncGenerator[tuple[Sender, Sender, dict[str, str]]]:
    """Alice's channel, the engine behind it, and the ids of the containers."""
    rules = folder / "alice.toml"
    rules.write_text(RULES)
    async with Chain(backend).open() as engine, Policy(rules).open(engine) as alice:
        yield alice, engine, await entangle(Client(engine), folder)


async def said(alice: Sender, request: Request) -> bytes:
    """Every byte of the replies to a request."""
    found = bytearray()
    with trio.move_on_after(10):
        async with await ask(alice, request) as replies:
            async for reply in replies:
                if isinstance(reply, Error):
                    found += reply.error.message.encode() + error_body(reply.error)
                elif isinstance(reply, Log):
                    found += reply.line
                else:
                    found += b"" if reply.value is None else reply.value.raw
                    found += repr(dict(reply.details)).encode()
                if isinstance(reply, Ack) and reply.stream is not None:
                    await discard(reply)
                    break
    return bytes(found)


def requests(allowed: Container[str], ids: dict[str, str]) -> Iterator[Request]:
    """Everything that can be looked at: each operation, about each object."""
    names = ["mine", "net", "vol", "busybox", *OTHERS, ids["canary-box"][:8]]
    names += [ids[each] for each in ("mine", "canary-box", "linking", "exec")]
    for row in ROWS:
        if row.name in allowed and row.verb in (Verb.GET, Verb.LS, Verb.WATCH, Verb.CONNECT):
            yield from _about(row, names, ids)


def _about(row: Row, names: list[str], ids: dict[str, str]) -> Iterator[Request]:
    params: dict[str, Any] = {"all": "1"} if row.name == "ContainerList" else {}
    if row.name == "SystemEvents":
        params = {"since": "0", "until": str(int(time.time()) + 1)}
    if row.name == "ContainerStats":
        params = {"stream": "0"}
    for name in names if None in row.shape else [""]:
        if row.name not in ENDLESS or name not in ("mine", ids["mine"]):
            yield Request(row.verb, row.path(name), params)


async def nothing_of_another_is_in_any_byte(alice: Sender, behind: Sender, ids: dict[str, str]) -> None:
    engine = Client(behind)
    for request in requests(ALLOWED, ids):
        found = await said(alice, request)
        asked = "/".join(request.path).encode()
        for name in OTHERS if CANARY in asked else ():  # what alice says herself may come back
            found = found.replace(f"{name}:latest".encode(), b"").replace(name.encode(), b"")
        assert CANARY not in found, request
        for id in (ids["canary-box"], ids["linking"]):
            assert id[:12].encode() not in found.replace(asked.split(b"/")[min(1, asked.count(b"/"))] or b"-", b"")
    assert len(await engine.ls(all=True)) == 3


async def failure(alice: Sender, request: Request) -> tuple[str, object, str, str]:
    """What a request fails with."""
    async with await ask(alice, request) as replies:
        reply = await replies.receive()
    assert isinstance(reply, Error), request
    error = reply.error
    return error.code, error.details.get("status"), error.message, error_body(error).decode()


async def what_is_hidden_is_as_if_it_did_not_exist(alice: Sender, behind: Sender, ids: dict[str, str]) -> None:
    engine = Client(behind)
    image = str((await engine.get("images", "canary-image"))["Id"]).removeprefix("sha256:")
    hidden = [*OTHERS, "canary-image:2", "docker.io/library/canary-image", ids["canary-box"]]
    hidden += [image, f"sha256:{image}", f"sha256:{image[:12]}", image[:12]]

    def of_none(text: str) -> str:
        """Return a text about one of these as it is about an object that does not exist."""
        for id in (image, image[:12], ids["canary-box"]):
            text = text.replace(id, "f" * len(id))
        return text.replace("canary-", "nosuch-")

    for row in ROWS:
        if row.name in ALLOWED and None in row.shape and not row.upload and row.verb is not Verb.SPAWN:
            params = {"path": "/etc"} if "Archive" in row.name else {}
            params |= {"h": "1", "w": "1"} if "Resize" in row.name else {}
            for name in hidden:
                code, status, *texts = await failure(alice, Request(row.verb, row.path(name), params))
                missing = await failure(alice, Request(row.verb, row.path(of_none(name)), params))
                assert (code, status, *map(of_none, texts)) == missing, (row.name, name)


async def counts_are_of_what_is_seen(alice: Sender, behind: Sender, ids: dict[str, str]) -> None:
    engine = Client(behind)
    client, busybox = Client(alice), (await engine.get("images", "busybox"))["Id"]
    info = await client.get()
    names = ("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "Images")
    assert [info[name] for name in names] == [1, 1, 0, 0, 1]
    used = await client.get("df")
    assert [each["Id"] for each in used["Containers"]] == [ids["mine"]]
    assert [each["Name"] for each in used["Volumes"]] == ["vol"]
    assert [(each["Id"], each["Containers"]) for each in used["Images"]] == [(busybox, 1)]
    assert used["LayersSize"] == used["Images"][0]["Size"]
    assert [each["RepoTags"] for each in await client.ls("images")] == [["busybox:latest"]]
    assert (await client.get("images", "busybox"))["RepoTags"] == ["busybox:latest"]
    assert (await client.get("images", "busybox", "history"))[0]["Tags"] == ["busybox:latest"]
    assert list((await client.get("networks", "net"))["Containers"]) == [ids["mine"]]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def ordered(container: dict[str, Any]) -> dict[str, Any]:
    """A container, listed or inspected, without what differs each time: engines shuffle mounts."""
    return {**container, "Mounts": sorted(container["Mounts"], key=lambda mount: mount["Destination"]), "Status": ""}


async def what_is_ones_own_stays_whole(alice: Sender, behind: Sender, ids: dict[str, str]) -> None:
    engine = Client(behind)
    client = Client(alice)
    host = {"NetworkMode": "net", "Binds": ["vol:/w", "more:/m"], "Mounts": [{"Type": "volume", "Target": "/a"}]}
    made = await client.spawn(described("alice", **host), name="own")
    await client.start(made.id)
    for verb, path, params in ((Verb.GET, ("containers", "own"), {}), (Verb.LS, ("containers",), {"limit": 1})):
        one, other = [(await each.call(verb, path, params=params)).value for each in (client, engine)]
        assert [ordered(each) for each in listed(one)] == [ordered(each) for each in listed(other)]
    assert await client.get("volumes", "vol") == await engine.get("volumes", "vol")


async def whose_a_name_is_is_not_told(alice: Sender, behind: Sender, ids: dict[str, str]) -> None:
    client = Client(alice)
    with pytest.raises(Conflict) as caught:
        await client.spawn(described("alice"), name="canary-box")
    assert caught.value.message.startswith('Conflict. The container name "/canary-box" is already in use. You have')
    assert ids["canary-box"][:12] not in str(caught.value.details)
    with pytest.raises(Conflict, match="the volume canary-vol is in use: choose another name") as caught:
        await client.spawn({"Name": "canary-vol"}, "volumes")
    assert "canary-label" not in str(caught.value.details)


async def filters_do_not_tell_of_others_images(alice: Sender, behind: Sender, ids: dict[str, str]) -> None:
    for name in ("since", "before"):
        for image in ("canary-image", "nosuch"):
            with pytest.raises(Denied, match=f"'{name}' would tell"):
                await Client(alice).ls("images", filters={name: [image]})


REDACTED = """
[[rule]]
allow = ["verb:get", "verb:ls", "SystemEvents"]
[rule.redact]
env = "*"
labels = "canary*"
args = true
mounts = true
"""
SECRETS = ("canary-env", "canary-value", "canary-arg", "canary-src")
REMOTE = {"DistributionInspect", "ImageSearch", "GetPluginPrivileges"}
"""Operations that ask a registry."""


async def what_is_redacted_is_in_no_answer(alice: Sender, behind: Sender, ids: dict[str, str]) -> None:
    rules = Path(ids["folder"]) / "redacted.toml"
    rules.write_text(REDACTED)
    reads = {row.name for row in ROWS if row.verb in (Verb.GET, Verb.LS)} | {"SystemEvents"}
    seen = set[str]()
    async with Policy(rules).open(behind) as dashboard:
        for request in requests(reads - REMOTE, ids):
            plain, found = await said(behind, request), await said(dashboard, request)
            seen |= {secret for secret in SECRETS if secret.encode() in plain}
            for secret in SECRETS:
                assert secret.encode() not in found, request
    assert seen == set(SECRETS)


BINDING = """
[[rule]]
allow = ["Container*"]
[rule.container]
images = ["busybox"]
binds = ["FOLDER/srv/**"]
[rule.change]
paths = {"/work" = "FOLDER/srv"}
"""


async def a_folder_that_becomes_a_link_is_not_mounted(alice: Sender, behind: Sender, ids: dict[str, str]) -> None:
    folder = Path(ids["folder"])
    data, aside, rules = folder / "srv/data", folder / "srv/aside", folder / "binding.toml"
    data.mkdir(parents=True)
    rules.write_text(BINDING.replace("FOLDER", str(folder)))
    async with Policy(rules).open(behind) as stage:
        client = Client(stage)
        host = {"NetworkMode": "none", "Binds": ["/work/data:/x"]}
        box = await client.spawn(described("alice", **host), name="bound")
        assert (await Client(behind).get("containers", "bound"))["HostConfig"]["Binds"] == [f"{data}:/x"]
        data.rename(aside)
        for refused in ("/etc", str(folder), str(folder / "srv/nosuch")):
            data.symlink_to(refused)
            for start in (client.start("bound"), client.set("containers", box.id, "restart")):
                with pytest.raises(Denied, match=r"leads to|can't be resolved"):
                    await start
            data.unlink()
        data.symlink_to(aside)
        await client.start(box.id)


Check = Callable[[Sender, Sender, dict[str, str]], Awaitable[None]]
CHECKS: list[Check] = [
    nothing_of_another_is_in_any_byte,
    what_is_hidden_is_as_if_it_did_not_exist,
    counts_are_of_what_is_seen,
    whose_a_name_is_is_not_told,
    filters_do_not_tell_of_others_images,
    what_is_ones_own_stays_whole,
    what_is_redacted_is_in_no_answer,
    a_folder_that_becomes_a_link_is_not_mounted,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_of_the_simulator(check: Check, tmp_path: Path) -> None:
    async with world("simulator", tmp_path) as (alice, engine, ids):
        await check(alice, engine, ids)


@pytest.mark.engine
async def test_of_an_engine(tmp_path: Path) -> None:
    with real_engine() as started:
        async with world(f"docker {started.host}", tmp_path) as (alice, engine, ids):
            for check in CHECKS:
                await check(alice, engine, ids)
