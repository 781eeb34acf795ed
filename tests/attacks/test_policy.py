"""Ways round the rules of a policy, over an engine: by other operations, by ids, by names that change their meaning."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from swarmlib import Chain, Client, Denied, NotFound, SwarmError, Verb, connect
from swarmlib_backends.policy import Policy
from swarmlib_backends.simulator import Simulator
from tests.support.engines import Engine

RULES = """
[[rule]]
own = "team=red"
allow = [
    "Container*", "NetworkConnect", "NetworkDisconnect", "NetworkCreate", "NetworkInspect", "ImageCommit",
]
[rule.container]
images = ["busybox", "mine/*"]
tags = ["mine/*"]
networks = ["shared"]

[[rule]]
allow = ["ImageInspect", "ImageTag", "ImageDelete", "ImageGet", "ImageGetAll", "SystemVersion"]
[rule.container]
images = ["busybox", "mine/*"]
tags = ["mine/*"]
"""
SLEEPS = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}


@asynccontextmanager
async def guarded(folder: Path, chain: Chain) -> AsyncGenerator[tuple[Client, Client]]:
    """A client with rules and one without, of one engine, on which another's container and networks are."""
    rules = folder / "rules.toml"
    rules.write_text(RULES)
    async with chain.open() as engine, Policy(rules).open(engine) as red:
        root = Client(engine)
        await root.spawn(SLEEPS | {"Labels": {"team": "blue"}}, name="victim")
        for name in ("shared", "theirs"):
            await root.spawn({"Name": name, "Labels": {"team": "blue"}}, "networks")
        yield Client(red), root


async def joined(root: Client, name: str) -> set[str]:
    return set((await root.get("containers", name))["NetworkSettings"]["Networks"])


async def test_nobody_connects_what_is_not_their_own(tmp_path: Path) -> None:
    async with guarded(tmp_path, Chain(Simulator())) as (red, root):
        mine = await red.spawn(SLEEPS | {"HostConfig": {}}, name="mine")
        victim = (await root.get("containers", "victim"))["Id"]
        await red.spawn({"Name": "ours"}, "networks")
        for network, container in (("theirs", "mine"), ("ours", "victim"), ("ours", victim), ("ours", victim[:6])):
            for way in ("connect", "disconnect"):
                with pytest.raises(NotFound):
                    await red.set("networks", network, way, body={"Container": container})
        linked = {"Container": "mine", "EndpointConfig": {"Links": ["victim:db"]}}
        with pytest.raises(Denied, match="links of the rule"):
            await red.set("networks", "ours", "connect", body=linked)
        assert (await joined(root, "victim"), await joined(root, "mine")) == ({"none"}, {"bridge"})
        for network in ("ours", "shared"):
            await red.set("networks", network, "connect", body={"Container": mine.id[:12]})
        assert await joined(root, "mine") == {"bridge", "ours", "shared"}
        await red.set("networks", "ours", "disconnect", body={"Container": "mine"})
        assert await joined(root, "mine") == {"bridge", "shared"}


async def test_nobody_makes_an_image_of_anothers_container_or_over_an_allowed_name(tmp_path: Path) -> None:
    async with guarded(tmp_path, Chain(Simulator())) as (red, root):
        await red.spawn(SLEEPS, name="mine")
        victim = (await root.get("containers", "victim"))["Id"]
        for container in ("victim", victim, victim[:5], "", "nosuch"):
            with pytest.raises(NotFound):
                await red.call(Verb.SPAWN, ("commit",), params={"container": container, "repo": "mine/x"})
        for repo in ("busybox", "docker.io/busybox:latest", "evil.com/mine/x", "index.docker.io/library/busybox"):
            with pytest.raises(Denied, match="tags of the rule"):
                await red.call(Verb.SPAWN, ("commit",), params={"container": "mine", "repo": repo})
        await red.call(Verb.SPAWN, ("commit",), params={"container": "mine", "repo": "mine/x"})


@pytest.mark.parametrize("name", ["0123456789ab", "abc123", "f" * 64])
async def test_nobody_takes_the_place_of_an_id(name: str, tmp_path: Path) -> None:
    async with guarded(tmp_path, Chain(Simulator())) as (red, _):
        await red.spawn(SLEEPS, name="mine")
        with pytest.raises(Denied, match="names of the rule"):
            await red.call(Verb.SET, ("containers", "mine", "rename"), params={"name": name})
        with pytest.raises(Denied, match="names of the rule"):
            await red.spawn({"Name": name}, "networks")


async def by_ids(red: Client, root: Client) -> None:
    """Try to use, to name, to save and to remove images by ids. `evil` is an image that no rule lists."""
    await root.call(Verb.SPAWN, ("commit",), params={"container": "victim", "repo": "evil"})
    evil, good = [(await root.get("images", name))["Id"] for name in ("evil", "busybox")]
    forms = [evil, evil[7:], evil[7:19], evil[7:13], evil[:19]]
    for image in ("evil", *forms):
        with pytest.raises(Denied, match="images of the rule") as caught:
            await red.spawn(SLEEPS | {"Image": image})
        assert image == "evil" or "evil" not in caught.value.message
        with pytest.raises(Denied, match="images of the rule"):
            await red.call(Verb.SET, ("images", image, "tag"), params={"repo": "mine/x"})
        with pytest.raises(Denied, match="of the rule"):
            await red.call(Verb.FILE, ("images", image))
        with pytest.raises(Denied, match="tags of the rule"):
            await red.rm("images", image)
    with pytest.raises(Denied, match="tags of the rule"):
        await red.call(Verb.SET, ("images", "busybox", "tag"), params={"repo": evil[7:19]})
    for image in (good, good[7:19]):
        made = await red.spawn(SLEEPS | {"Image": image})
        assert (await root.get("containers", made.id))["Image"] == good
        with pytest.raises(Denied, match="tags of the rule"):  # busybox is not the client's to remove
            await red.rm("images", image)
    await red.call(Verb.SET, ("images", good[7:19], "tag"), params={"repo": "mine/x"})
    with pytest.raises(Denied, match="tags of the rule"):
        await red.rm("images", good[7:19])
    await red.rm("images", "mine/x")
    assert (await root.get("images", "busybox"))["Id"] == good


async def test_an_image_is_judged_by_what_its_id_is(tmp_path: Path) -> None:
    async with guarded(tmp_path, Chain(Simulator())) as (red, root):
        await by_ids(red, root)


async def test_an_image_whose_name_could_be_an_id_is_judged_by_its_name(tmp_path: Path) -> None:
    async with guarded(tmp_path, Chain(Simulator())) as (red, root):
        evil = (await root.get("images", "busybox"))["Id"][7:13]
        await root.call(Verb.SET, ("images", "busybox", "tag"), params={"repo": evil})
        with pytest.raises(Denied, match=f"^Image {evil!r} is not an image that images of the rule lists$"):
            await red.spawn(SLEEPS | {"Image": evil})


@pytest.mark.engine
async def test_a_real_engine_is_asked_what_an_id_is(tmp_path: Path, engines: tuple[Engine, Engine]) -> None:
    async with guarded(tmp_path, Chain(f"docker {engines[0].host}")) as (red, root):
        try:
            await by_ids(red, root)
        finally:
            await cleaned(root)


async def cleaned(root: Client) -> None:
    for container in await root.ls(all=True):
        await root.rm("containers", container["Id"], force=True)
    for network in ("shared", "theirs"):
        await root.rm("networks", network)
    await root.rm("images", "evil")


@pytest.mark.parametrize("target", ["/session", "/v1.41/grpc", "/containers/victim/checkpoints", "/libpod/info"])
async def test_a_request_without_a_row_passes_only_where_a_rule_names_it(target: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    for text, named in (('allow = ["*"]', False), ('unjudged = ["POST /session", "POST /grpc"]', True)):
        rules.write_text(f"[[rule]]\n{text}\n")
        async with connect(Policy(rules), Simulator()) as swarm:
            with pytest.raises(SwarmError) as caught:
                await swarm.call(Verb.CONNECT, ("whole",), params={"method": "POST", "target": target})
            passed = named and target.endswith(("/session", "/grpc"))
            assert isinstance(caught.value, Denied) is not passed  # the simulator answers none of them
