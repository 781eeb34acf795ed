"""A tenant that looks for what others have, and reaches for it: by every operation, name, filter and body."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import trio

from swarmlib import (
    Ack,
    BytesStream,
    Chain,
    Client,
    Denied,
    Error,
    Invalid,
    Json,
    NotFound,
    Request,
    Set,
    SwarmError,
    Verb,
    ask,
)
from swarmlib_backends.dockerapi.rows import ROWS, Kind, Row
from swarmlib_backends.simulator import Simulator
from tests.support.tenants import tenants

CANARY = "canary"
"""What is in all names, labels, commands and variables of alice's, and never in what bob gets."""
SLEEPS: dict[str, Any] = {"Image": "busybox", "Cmd": ["sleep", "1000"]}
PARAMS: dict[str, dict[str, Any]] = {
    "ContainerRename": {"name": "mine"},
    "ContainerArchive": {"path": "/"},
    "ContainerArchiveInfo": {"path": "/"},
    "PutContainerArchive": {"path": "/"},
    "ContainerResize": {"h": 1, "w": 1},
    "ExecResize": {"h": 1, "w": 1},
    "ContainerLogs": {"stdout": True},
    "ContainerAttach": {"logs": True, "stdout": True},
    "ContainerAttachWebsocket": {"logs": True, "stdout": True},
    "ImageTag": {"repo": "mine"},
    "ImageDelete": {"force": True},
    "ContainerDelete": {"force": True},
}
BODIES: dict[str, Any] = {
    "ContainerExec": {"Cmd": ["true"]},
    "ExecStart": {"Detach": False},
    "ContainerUpdate": {"Memory": 1 << 26},
    "NetworkConnect": {"Container": "mine"},
    "NetworkDisconnect": {"Container": "mine", "Force": True},
}


@dataclass
class World:
    """alice's objects, and the client of bob, who has a container `mine` of his own."""

    alice: Client
    bob: Client
    engine: Client
    refs: dict[str, list[str]]
    """What alice's objects could be called, by the first word of their paths."""


@asynccontextmanager
async def world(folder: Path) -> AsyncGenerator[World]:
    async with Chain(Simulator()).open() as sender, tenants(sender, folder) as (alice, bob):
        engine = Client(sender)
        labels = {"Labels": {CANARY: CANARY}}
        net = await alice.spawn({"Name": f"{CANARY}-net", **labels}, "networks")
        await alice.spawn({"Name": f"{CANARY}-vol", **labels}, "volumes")
        body = SLEEPS | labels | {"Env": [f"A={CANARY}"], "Cmd": ["sh", "-c", f"echo {CANARY}; sleep 1000"]}
        host = {"NetworkMode": net.id, "Binds": [f"{CANARY}-vol:/data"], "VolumesFrom": [], "RestartPolicy": {}}
        box = await alice.spawn(body | {"HostConfig": host, "Volumes": {"/anonymous": {}}}, name=f"{CANARY}-box")
        await box.start()
        run = await box.spawn({"Cmd": ["echo", CANARY]}, "exec")
        await alice.spawn({}, "commit", container=box.id, repo=f"{CANARY}-image")
        mine = await bob.spawn(SLEEPS, name="mine")
        await mine.start()
        image = (await alice.get("images", f"{CANARY}-image"))["Id"]
        mounts = (await alice.get("containers", box.id))["Mounts"]
        anonymous = next(each["Name"] for each in mounts if each["Destination"] == "/anonymous")
        yield World(
            alice,
            bob,
            engine,
            {
                "containers": [f"{CANARY}-box", f"alice.{CANARY}-box", box.id, box.id[:12], box.id[:4]],
                "networks": [f"{CANARY}-net", f"alice.{CANARY}-net", net.id, net.id[:12], "alice.bridge"],
                "volumes": [f"{CANARY}-vol", f"alice.{CANARY}-vol", anonymous],
                "images": [f"{CANARY}-image", f"tenant.invalid/alice/{CANARY}-image", image, image[:19]],
                "exec": [run.id],
            },
        )


def request_of(row: Row, ref: str) -> Request:
    upload = BytesStream(b"") if row.upload else None
    body = Json.from_data(BODIES[row.name]) if row.name in BODIES else None
    return Request(row.verb, row.path(ref), PARAMS.get(row.name, {}), body, upload=upload)


async def told(client: Client, request: Request) -> bytes:
    """All bytes that a client gets for a request, from a stream or a watch in its first second."""
    pieces = list[bytes]()
    async with await ask(client.sender, request) as replies:
        with trio.move_on_after(1):
            async for reply in replies:
                if isinstance(reply, Error):
                    body = reply.error.details.get("body", b"")
                    pieces += [reply.error.code.encode(), reply.error.message.encode(), bytes(body)]
                    continue
                pieces.append(repr(reply.details).encode())
                if isinstance(reply, Ack | Set) and reply.value is not None:
                    pieces.append(reply.value.raw)
                if isinstance(reply, Ack) and reply.stream is not None:
                    async for data in reply.stream:
                        pieces.append(bytes(data))
    return b"\n".join(pieces)


async def state(engine: Client) -> Any:
    """What there is of alice's at the engine, but for what time changes."""
    boxes = await engine.ls(all=True, filters={"label": ["swarmlib.tenant=alice"]})
    found = [await engine.get("containers", each["Id"]) for each in boxes]
    return (
        [(each["Id"], each["Name"], each["State"]["Status"], each["HostConfig"]) for each in found],
        sorted(each["Name"] for each in await engine.ls("networks") if each["Name"].startswith("alice.")),
        sorted(each["Name"] for each in await engine.ls("volumes") if "alice" in str(each["Labels"])),
        sorted(tag for each in await engine.ls("images") for tag in each["RepoTags"] if "alice" in tag),
    )


NAMED = [row for row in ROWS if None in row.shape and row.kind is not Kind.WHOLE]


async def test_by_no_operation_is_anothers_object_seen_or_changed(tmp_path: Path, autojump_clock: object) -> None:
    async with world(tmp_path) as the:
        before = await state(the.engine)
        for row in NAMED:
            nobody = "0123456789" * 6 + "0123" if row.shape[0] == "exec" else "nobody"
            none = await told(the.bob, request_of(row, nobody))
            for ref in the.refs.get(row.shape[0] or "", ["x"]):
                answer = await told(the.bob, request_of(row, ref))
                expected = none.replace(nobody.encode(), ref.encode())
                if row.shape[0] == "images":  # an engine names an image with its tag, and an id without
                    answer, expected = (each.replace(b":latest", b"") for each in (answer, expected))
                if row.name == "ImagePush":  # the denial repeats the name in full
                    answer, expected = (each.partition(b"\n")[0] for each in (answer, expected))
                assert answer.replace(ref.encode(), b"") == expected.replace(ref.encode(), b""), (row.name, ref)
        assert await state(the.engine) == before


LISTS = [row for row in ROWS if None not in row.shape and row.verb in (Verb.LS, Verb.GET, Verb.WATCH)]


async def test_nothing_that_is_listed_or_told_is_anothers(tmp_path: Path, autojump_clock: object) -> None:
    async with world(tmp_path) as the:
        ids = [ref.encode() for refs in the.refs.values() for ref in refs if len(ref) >= 12]
        filters: list[dict[str, Any]] = [{}, {"label": [CANARY]}, {"name": [CANARY]}, {"reference": [f"*{CANARY}*"]}]
        filters += [{"since": [ref]} for ref in (*the.refs["containers"], *the.refs["images"])]
        filters += [
            {name: [ref]}
            for name in ("volume", "network", "container", "image", "ancestor", "id")
            for refs in the.refs.values()
            for ref in refs
        ]
        for row in LISTS:
            for each in filters if "filters" in row.params.declared else [{}]:
                params = {"filters": each} if each else {}
                params |= {name: "1" for name in ("all", "size", "digests") if name in row.params.declared}
                params |= {"since": "1", "until": "99999999999"} if row.name == "SystemEvents" else {}
                answer = await told(
                    the.bob,
                    Request(
                        row.verb,
                        row.path(""),
                        {
                            name: orjson.dumps(value).decode() if isinstance(value, dict) else value
                            for name, value in params.items()
                        },
                    ),
                )
                asked = orjson.dumps(each)
                found = [each for each in (CANARY.encode(), b"alice", *ids) if each in answer and each not in asked]
                assert found == [], (row.name, each, answer[:300])


@pytest.mark.parametrize(
    "body",
    [
        {"HostConfig": {"NetworkMode": "REF"}},
        {"NetworkingConfig": {"EndpointsConfig": {"REF": {}}}},
        {"HostConfig": {"NetworkMode": "none"}, "Image": "REF"},
        {"HostConfig": {"VolumesFrom": ["REF"]}},
        {"HostConfig": {"Links": ["REF:x"]}},
        {"HostConfig": {"NetworkMode": "container:REF"}},
        {"HostConfig": {"IpcMode": "container:REF"}},
        {"HostConfig": {"PidMode": "container:REF"}},
        {"HostConfig": {"UTSMode": "container:REF"}},
        {"HostConfig": {"Mounts": [{"Type": "image", "Source": "REF", "Target": "/x"}]}},
        {"HostConfig": {"Mounts": [{"Type": "cluster", "Source": "REF", "Target": "/x"}]}},
        {"hostconfig": {"networkmode": "container:REF"}},
        {"NetworkMode": "container:REF"},
    ],
    ids=str,
)
async def test_a_container_uses_nothing_of_anothers(tmp_path: Path, body: Any) -> None:
    async with world(tmp_path) as the:
        before = await state(the.engine)
        for ref in {ref for refs in the.refs.values() for ref in refs}:
            asked = orjson.loads(orjson.dumps(body).replace(b"REF", ref.encode()))
            with pytest.raises((NotFound, Denied, Invalid)):
                await the.bob.spawn({"Cmd": ["true"], "Image": "busybox"} | asked)
        assert await state(the.engine) == before


@pytest.mark.parametrize(
    "source", ["canary-vol", "alice.canary-vol", "../alice.canary-vol", "bob.x/../alice.canary-vol"]
)
async def test_a_volume_of_a_name_is_ones_own(tmp_path: Path, source: str) -> None:
    async with world(tmp_path) as the:
        for host in ({"Binds": [f"{source}:/x"]}, {"Mounts": [{"Type": "volume", "Source": source, "Target": "/x"}]}):
            try:
                made = await the.bob.spawn(SLEEPS | {"HostConfig": host})
            except SwarmError:
                continue
            mounts = (await the.engine.get("containers", made.id))["Mounts"]
            assert [each["Name"] for each in mounts] == [f"bob.{source}"]


async def test_labels_of_tenancy_are_not_the_tenants_to_set(tmp_path: Path) -> None:
    async with world(tmp_path) as the:
        labels = {"Labels": {"swarmlib.tenant": "alice", "swarmlib.tenant.asked": "x", "mine": "1"}}
        box = await the.bob.spawn(SLEEPS | labels)
        await the.bob.spawn({"Name": "n", **labels}, "networks")
        await the.bob.spawn({"Name": "vol", **labels}, "volumes")
        real = (
            (await the.engine.get("containers", box.id))["Config"],
            await the.engine.get("networks", "bob.n"),
            await the.engine.get("volumes", "bob.vol"),
        )
        own = {"mine": "1", "swarmlib.tenant": "bob"}
        assert [each["Labels"] for each in real] == [own | {"swarmlib.tenant.ports": "[]"}, own, own]
        assert (await the.bob.get("containers", box.id))["Config"]["Labels"] == {"mine": "1"}


async def test_an_images_label_makes_no_container_a_tenants(tmp_path: Path) -> None:
    """Whoever makes an image decides its labels, and containers inherit them."""
    async with world(tmp_path) as the:
        await the.bob.spawn({}, "commit", container="mine", repo="trap", changes="LABEL swarmlib.tenant=alice")
        trapped = await the.bob.spawn(SLEEPS | {"Image": "trap"}, name="trapped")
        operators = await the.engine.spawn(SLEEPS | {"Image": "tenant.invalid/bob/trap"}, name="operators")
        assert await the.alice.rm("containers") == {"ContainersDeleted": None, "SpaceReclaimed": 0}
        for id in (trapped.id, operators.id):
            assert id not in str(await the.alice.ls(all=True))
            with pytest.raises(NotFound):
                await the.alice.get("containers", id)
        assert operators.id not in str(await the.bob.ls(all=True))


async def test_a_client_of_no_tenant_and_of_several_is_denied(tmp_path: Path) -> None:
    async with Chain(Simulator()).open() as engine:
        text = '[clients]\na.users = [1]\nb.users = [1]\n[tenant]\nx.clients = ["a"]\ny.clients = ["b"]\n'
        async with tenants(engine, tmp_path, text) as (several, nobody):
            with pytest.raises(Denied, match="uid:1 is a client of several tenants"):
                await several.get("version")
            with pytest.raises(Denied, match="uid:2 is no client of a tenant"):
                await nobody.get("version")
