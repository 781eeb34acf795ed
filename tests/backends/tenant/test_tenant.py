"""The stage `tenant` over a simulated engine: names of one's own, and nothing of the others."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarmlib import BytesStream, Chain, Client, Conflict, Denied, Invalid, NotFound, Request, SwarmError
from swarmlib.asking import call
from swarmlib_backends.dockerapi.rows import ROWS, WHOLE
from swarmlib_backends.simulator import Simulator
from swarmlib_backends.tenant.operations import OPERATIONS
from tests.support.tenants import tenants

SLEEPS: dict[str, Any] = {"Image": "busybox", "Cmd": ["sleep", "1000"]}


@asynccontextmanager
async def world(folder: Path) -> AsyncGenerator[tuple[Client, Client, Client]]:
    """Clients of alice, of bob, and of the engine behind them."""
    async with Chain(Simulator()).open() as engine, tenants(engine, folder) as (alice, bob):
        yield alice, bob, Client(engine)


async def test_two_tenants_have_a_container_of_one_name(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        one = await alice.spawn(SLEEPS, name="web")
        two = await bob.spawn(SLEEPS, name="web")
        assert one.id != two.id
        for tenant, made in ((alice, one), (bob, two)):
            found = await tenant.get("containers", "web")
            assert (found["Id"], found["Name"]) == (made.id, "/web")
            assert [each["Names"] for each in await tenant.ls(all=True)] == [["/web"]]
        assert {each["Names"][0] for each in await engine.ls(all=True)} == {"/alice.web", "/bob.web"}


async def test_what_another_has_is_as_if_it_did_not_exist(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, _):
        made = await bob.spawn(SLEEPS, name="theirs")
        for ref in ("theirs", "bob.theirs", made.id, made.id[:12], "nosuch"):
            with pytest.raises(NotFound) as caught:
                await alice.get("containers", ref)
            assert caught.value.message == f"No such container: {ref}"


async def test_what_is_not_mapped_is_denied(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, _):
        with pytest.raises(Denied, match="PluginList is not for tenants"):
            await alice.ls("plugins")


async def test_every_operation_of_the_table_is_mapped_or_denied(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, _):
        for row in (*ROWS, WHOLE):
            if row.name in OPERATIONS:
                continue
            upload = BytesStream(b"") if row.upload else None
            with pytest.raises(SwarmError) as caught:
                await call(alice.sender, Request(row.verb, row.path("x"), upload=upload))
            assert isinstance(caught.value, Denied | Invalid), row.name


async def test_networks_are_each_tenants_own(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        made = [await tenant.spawn({"Name": "app", "Labels": {"a": "b"}}, "networks") for tenant in (alice, bob)]
        assert made[0].id != made[1].id
        web = await alice.spawn(SLEEPS | {"HostConfig": {"NetworkMode": "app"}}, name="web")
        found = await alice.get("containers", web.id)
        assert found["HostConfig"]["NetworkMode"] == "app"
        assert set(found["NetworkSettings"]["Networks"]) == {"app"}
        real = await engine.get("containers", web.id)
        assert real["HostConfig"]["NetworkMode"] == made[0].id
        await web.start()
        network = await alice.get("networks", "app")
        assert (network["Name"], network["Labels"]) == ("app", {"a": "b"})
        assert [each["Name"] for each in network["Containers"].values()] == ["web"]
        assert [each["Name"] for each in await bob.ls("networks")] == ["app"]
        assert "web" in (await engine.get("containers", web.id))["NetworkSettings"]["Networks"]["alice.app"]["Aliases"]


async def test_the_default_network_is_one_for_each_tenant(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        boxes = [await tenant.spawn(SLEEPS, name="web") for tenant in (alice, bob)]
        for tenant, box in zip((alice, bob), boxes, strict=True):
            await box.start()
            found = await tenant.get("containers", "web")
            assert set(found["NetworkSettings"]["Networks"]) == {"bridge"}
            assert found["HostConfig"]["NetworkMode"] == "bridge"
            settings = found["NetworkSettings"]
            assert settings["IPAddress"] == settings["Networks"]["bridge"]["IPAddress"] != ""
            inside = (await tenant.get("networks", "bridge"))["Containers"]
            assert list(inside) == [box.id]
            with pytest.raises(Denied, match="bridge is a pre-defined network and cannot be removed"):
                await tenant.rm("networks", "bridge")
            assert [each["Name"] for each in await tenant.ls("networks", filters={"type": ["builtin"]})] == ["bridge"]
        names = {each["Name"] for each in await engine.ls("networks")}
        assert {"alice.bridge", "bob.bridge"} <= names


async def test_volumes_are_each_tenants_own(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        for tenant in (alice, bob):
            box = await tenant.spawn(SLEEPS | {"HostConfig": {"Binds": ["data:/data:ro"]}, "Volumes": {"/tmp/x": {}}})
            found = await tenant.get("containers", box.id)
            assert found["HostConfig"]["Binds"] == ["data:/data:ro"]
            assert not found["HostConfig"].get("Mounts")
            data = next(each for each in found["Mounts"] if each["Destination"] == "/data")
            assert (data["Name"], data["RW"]) == ("data", False)
            assert data["Source"].endswith("/data/_data")
            other = next(each for each in found["Mounts"] if each["Destination"] == "/tmp/x")
            assert (await tenant.get("volumes", other["Name"]))["Name"] == other["Name"]
            listed = await tenant.ls("volumes")
            assert {each["Name"] for each in listed} == {"data", other["Name"]}
            assert all("swarmlib" not in str(each) for each in listed)
            again = await tenant.spawn(SLEEPS | {"HostConfig": {"Binds": ["data:/data"]}})
            assert (await tenant.get("containers", again.id))["HostConfig"]["Binds"] == ["data:/data"]
        names = {each["Name"] for each in await engine.ls("volumes")}
        assert {"alice.data", "bob.data"} <= names


async def test_a_volume_that_has_the_name_but_is_not_the_tenants_is_not_used(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, engine):
        await engine.spawn({"Name": "alice.data"}, "volumes")
        for body in ({"Binds": ["data:/d"]}, {"Mounts": [{"Type": "volume", "Source": "data", "Target": "/d"}]}):
            with pytest.raises(Conflict, match="the volume data is in use"):
                await alice.spawn(SLEEPS | {"HostConfig": body})
        with pytest.raises(Conflict, match="the volume data is in use"):
            await alice.spawn({"Name": "data"}, "volumes")
        with pytest.raises(NotFound, match="get data: no such volume"):
            await alice.get("volumes", "data")


async def test_filters_are_about_the_tenants_own_names(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, _):
        for tenant in (alice, bob):
            for name in ("web", "db"):
                await tenant.spawn(SLEEPS, name=name)
        theirs = (await bob.get("containers", "web"))["Id"]

        async def found(**filters: list[str]) -> list[str]:
            return [each["Names"][0] for each in await alice.ls(all=True, filters=filters)]

        assert await found(name=["^web$"]) == ["/web"]
        assert await found(name=["^/web$"]) == ["/web"]
        assert await found(name=["alice"]) == []
        assert await found(id=[theirs]) == []
        assert await found(ancestor=["busybox"]) == ["/db", "/web"]
        assert await found(since=["web"]) == ["/db"]
        assert await found(network=["bridge"]) == ["/db", "/web"]
        assert await found(label=["swarmlib.tenant=bob"]) == []
        assert [each["Names"] for each in await alice.ls(limit=1, filters={"name": ["web"]})] == [["/web"]]
        for name in ("nosuch", theirs):
            with pytest.raises(SwarmError, match=f"no such container {name}"):
                await found(before=[name])


async def test_prunes_and_conflicts_are_about_ones_own(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        for tenant in (alice, bob):
            await tenant.spawn(SLEEPS, name="web")
            await tenant.spawn({"Name": "app"}, "networks")
            await tenant.spawn({"Name": "data"}, "volumes")
        with pytest.raises(Conflict, match='The container name "/web" is already in use'):
            await alice.spawn(SLEEPS, name="web")
        with pytest.raises(Conflict, match="network with name app already exists"):
            await alice.spawn({"Name": "app"}, "networks")
        assert (await alice.rm("networks"))["NetworksDeleted"] == ["app"]
        assert (await alice.rm("volumes"))["VolumesDeleted"] == ["data"]
        assert len((await alice.rm("containers"))["ContainersDeleted"]) == 1
        assert [each["Names"][0] for each in await engine.ls(all=True)] == ["/bob.web"]
        assert {each["Name"] for each in await bob.ls("networks")} == {"app", "bridge"}
        assert [each["Name"] for each in await bob.ls("volumes")] == ["data"]


async def test_what_is_linked_joined_or_mounted_is_ones_own(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, _):
        db = await alice.spawn(SLEEPS, name="db")
        await bob.spawn(SLEEPS, name="theirs")
        for host in (
            {"Links": ["NAME:x"]},
            {"VolumesFrom": ["NAME:ro"]},
            {"NetworkMode": "container:NAME"},
            {"IpcMode": "container:NAME"},
            {"PidMode": "container:NAME"},
        ):
            body = SLEEPS | {"HostConfig": {key: _named(value, "theirs") for key, value in host.items()}}
            with pytest.raises(NotFound, match="No such container: theirs"):
                await alice.spawn(body)
        made = await alice.spawn(SLEEPS | {"HostConfig": {"Links": ["db:x"], "VolumesFrom": ["db:ro"]}})
        found = await alice.get("containers", made.id)
        assert found["HostConfig"]["VolumesFrom"] == ["db:ro"]
        made = await alice.spawn(SLEEPS | {"HostConfig": {"NetworkMode": "container:db"}})
        assert (await alice.get("containers", made.id))["HostConfig"]["NetworkMode"] == f"container:{db.id}"


def _named(value: Any, name: str) -> Any:
    return [each.replace("NAME", name) for each in value] if isinstance(value, list) else value.replace("NAME", name)


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("Privileged", True, "privileged"),
        ("Binds", ["/etc:/x"], "binds"),
        ("PidMode", "host", "namespaces"),
        ("NetworkMode", "host", "namespaces"),
        ("CapAdd", ["SYS_ADMIN"], "capabilities"),
        ("Mounts", [{"Type": "bind", "Source": "/", "Target": "/x"}], "binds"),
        ("Runtime", "evil", "runtimes"),
        ("CgroupParent", "/", "cgroups"),
    ],
)
async def test_what_reaches_the_host_needs_a_grant(tmp_path: Path, field: str, value: Any, kind: str) -> None:
    async with world(tmp_path) as (alice, _, _):
        with pytest.raises(Denied, match=rf"\[tenant.alice.container\] {kind} = "):
            await alice.spawn(SLEEPS | {"HostConfig": {field: value}})


async def test_images_are_shared_or_ones_own(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        await engine.set("images", "busybox", "tag", repo="secret", tag="1")
        for tenant in (alice, bob):
            await tenant.set("images", "busybox", "tag", repo="registry:5000/app", tag="1")
            assert [each["RepoTags"] for each in await tenant.ls("images")] == [
                ["busybox:latest", "registry:5000/app:1"]
            ]
            assert (await tenant.get("images", "registry:5000/app:1"))["RepoTags"]
            box = await tenant.spawn(SLEEPS | {"Image": "registry:5000/app:1"})
            assert (await tenant.get("containers", box.id))["Config"]["Image"] == "registry:5000/app:1"
            assert await tenant.ls("images", filters={"reference": ["secret"]}) == []
            for name in ("secret:1", "tenant.invalid/carol/x"):
                with pytest.raises(NotFound, match=f"No such image: {name}"):
                    await tenant.spawn(SLEEPS | {"Image": name})
        tags = [tag for each in await engine.ls("images") for tag in each["RepoTags"]]
        assert "tenant.invalid/alice/registry__5000/app:1" in tags
        with pytest.raises(Denied, match="the image busybox is shared"):
            await alice.rm("images", "busybox")
        with pytest.raises(Denied, match=r"secret:1', which alice is not granted: \[tenant.alice\] images = "):
            await alice.spawn(None, "images", fromImage="secret", tag="1")
        assert await alice.rm("images", "registry:5000/app:1", force=True) == [{"Untagged": "registry:5000/app:1"}]
        assert [each["RepoTags"] for each in await bob.ls("images")] == [["busybox:latest", "registry:5000/app:1"]]


async def test_a_commit_is_an_image_of_the_tenants(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, _):
        await alice.spawn(SLEEPS, name="web")
        await alice.spawn({}, "commit", container="web", repo="snap")
        await alice.spawn({}, "commit", container="web")
        tags = [tag for each in await alice.ls("images") for tag in each["RepoTags"]]
        assert "snap:latest" in tags
        assert any(tag.startswith("untagged:") for tag in tags)
        assert len(await bob.ls("images")) == 1
        assert (await alice.rm("images", filters={"dangling": ["false"]}))["ImagesDeleted"]
        assert [each["RepoTags"] for each in await alice.ls("images")] == [["busybox:latest"]]


async def test_a_host_describes_the_tenant_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, _):
        await bob.spawn(SLEEPS)
        box = await alice.spawn(SLEEPS)
        await box.start()
        found = await alice.get()
        assert (found["Name"], found["Containers"], found["ContainersRunning"], found["Images"]) == ("alice", 1, 1, 1)
        usage = await alice.get("df")
        assert [each["Id"] for each in usage["Containers"]] == [box.id]


async def test_events_are_of_ones_own_objects(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, _):
        async with alice.watch() as events:
            for tenant in (bob, alice):
                box = await tenant.spawn(SLEEPS | {"HostConfig": {"Binds": ["data:/data"]}}, name="web")
                await tenant.set("containers", box.id, "rename", name="www")
            seen = list[Any]()
            async for event in events:
                seen.append(event)
                if event["Action"] == "rename":
                    break
        assert [(each["Type"], each["Action"]) for each in seen] == [
            ("network", "create"),
            ("volume", "create"),
            ("container", "create"),
            ("container", "rename"),
        ]
        assert seen[1]["Actor"]["ID"] == "data"
        assert (seen[3]["Actor"]["Attributes"]["oldName"], seen[3]["Actor"]["Attributes"]["name"]) == ("/web", "www")
        assert "alice" not in str(seen)


async def test_an_exec_is_of_ones_own_container(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, _):
        box = await alice.spawn(SLEEPS)
        await box.start()
        made = await box.spawn({"Cmd": ["true"]}, "exec")
        assert (await alice.get("exec", made.id))["ContainerID"] == box.id
        with pytest.raises(NotFound, match=f"No such exec instance: {made.id}"):
            await bob.get("exec", made.id)
        with pytest.raises(Denied, match="Privileged"):
            await box.spawn({"Cmd": ["true"], "Privileged": True}, "exec")


async def test_a_container_is_connected_to_ones_own_networks(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        theirs = await bob.spawn({"Name": "theirs"}, "networks")
        mine = await alice.spawn({"Name": "app"}, "networks")
        box = await alice.spawn(SLEEPS, name="web")
        for ref in ("theirs", theirs.id):
            with pytest.raises(NotFound, match=f"network {ref} not found"):
                await alice.set("networks", ref, "connect", body={"Container": "web"})
        with pytest.raises(NotFound):
            await bob.set("networks", "theirs", "connect", body={"Container": box.id})
        await alice.set("networks", "app", "connect", body={"Container": "web"})
        await box.start()
        assert set((await alice.get("networks", mine.id))["Containers"]) == {box.id}
        networks = (await engine.get("containers", box.id))["NetworkSettings"]["Networks"]
        assert "web" in networks["alice.app"]["Aliases"]
        await alice.set("networks", "app", "disconnect", body={"Container": "web"})
        assert (await alice.get("networks", "app"))["Containers"] == {}
