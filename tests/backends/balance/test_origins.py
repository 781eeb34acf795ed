"""What is made anew from a container's inspection goes back to that container's engine, as updating tools rely on."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from trio.testing import wait_all_tasks_blocked

from swarmlib import Chain, Client, Unavailable, connect
from swarmlib_backends.balance import Balance
from swarmlib_backends.balance.departed import Departed
from swarmlib_backends.balance.member import Member
from swarmlib_backends.balance.objects import Item
from swarmlib_backends.balance.placement.origins import of_host
from tests.support.simulated import Box, Engine

BINDS = {"Binds": ["/srv/web:/data:ro"]}
DEVICES = {"Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}]}
MOUNTS = {"Mounts": [{"Type": "bind", "Source": "/srv/web", "Target": "/data"}]}


def over(*engines: Engine, **options: Any) -> Chain:
    return Chain(Balance([Chain(each) for each in engines], **options))


def with_web(host: dict[str, Any]) -> tuple[Engine, Engine, Box]:
    """Two engines, of which the first has the container, and is the last that a new one would be placed on."""
    a, b = Engine("A"), Engine("B")
    web = a.add("web", HostConfig=host)
    for name in ("one", "two", "three"):
        a.add(name)
    return a, b, web


async def where(swarm: Client, name: str, **body: Any) -> str:
    made = await swarm.spawn({"Image": "busybox", **body}, name=name)
    return str((await made.get())["Node"]["Name"])


async def as_watchtower(swarm: Client, web: Box, **body: Any) -> str:
    await swarm.stop("containers", web.id)
    await swarm.rm("containers", web.id)
    return await where(swarm, "web", **body)


async def as_portainer(swarm: Client, web: Box, **body: Any) -> str:
    await swarm.stop("containers", "web")
    await swarm.set("containers", "web", "rename", name="web-old")
    return await where(swarm, "web", **body)


async def as_compose_1(swarm: Client, web: Box, **body: Any) -> str:
    await swarm.set("containers", web.id, "rename", name=f"{web.id[:12]}_web")
    return await where(swarm, "web", **body)


async def as_compose_2(swarm: Client, web: Box, **body: Any) -> str:
    labels = {"com.docker.compose.replace": web.id}
    node = await where(swarm, f"{web.id[:12]}_web", **body, Labels=labels)
    await swarm.rm("containers", web.id)
    await swarm.set("containers", f"{web.id[:12]}_web", "rename", name="web")
    return node


async def under_another_name(swarm: Client, web: Box, **body: Any) -> str:
    await swarm.rm("containers", web.id)
    return await where(swarm, "other", **body, Hostname=web.id[:12])


async def with_its_network(swarm: Client, web: Box, **body: Any) -> str:
    endpoints = {"bridge": {"NetworkID": "A-bridge"}}
    return await where(swarm, "other", **body, NetworkingConfig={"EndpointsConfig": endpoints})


async def with_its_node(swarm: Client, web: Box, **body: Any) -> str:
    return await where(swarm, "other", **body, Node=(await swarm.get("containers", "web"))["Node"])


async def with_the_label_of_lists(swarm: Client, web: Box, **body: Any) -> str:
    return await where(swarm, "other", **body, Labels={"swarmlib.node": "A"})


SEQUENCES = [
    as_watchtower,
    as_portainer,
    as_compose_1,
    as_compose_2,
    under_another_name,
    with_its_network,
    with_its_node,
    with_the_label_of_lists,
]


@pytest.mark.parametrize("host", [BINDS, DEVICES, MOUNTS, {}], ids=["binds", "devices", "mounts", "nothing"])
@pytest.mark.parametrize("remake", SEQUENCES)
async def test_what_is_made_anew_goes_back_where_it_was(
    remake: Callable[..., Awaitable[str]], host: dict[str, Any]
) -> None:
    a, b, web = with_web(host)
    async with connect(over(a, b)) as swarm:
        assert await where(swarm, "unrelated", HostConfig=host) == "B"
        assert await remake(swarm, web, HostConfig=host) == "A"
    assert not any("swarmlib.node" in (box.body.get("Labels") or {}) for box in a.boxes.values())


async def test_what_uses_its_engines_machine_moves_by_a_constraint_alone() -> None:
    a, b, web = with_web(BINDS)
    async with connect(over(a, b)) as swarm:
        await swarm.rm("containers", web.id)
        await swarm.rm("containers", "one")
        with a.down():
            await wait_all_tasks_blocked()
            with pytest.raises(
                Unavailable, match=r"B: it was on A, and uses /srv/web there \(constraint:node==B moves"
            ):
                await where(swarm, "web", HostConfig=BINDS)
            assert await where(swarm, "one") == "B"
            assert await where(swarm, "web", HostConfig=BINDS, Env=["constraint:node==B"]) == "B"


async def test_a_name_goes_back_to_the_engine_that_had_it_last() -> None:
    a, b, web = with_web(BINDS)
    async with connect(over(a, b)) as swarm:
        await swarm.rm("containers", web.id)
        assert await where(swarm, "web", HostConfig=BINDS, Env=["constraint:node==B"]) == "B"
        await swarm.rm("containers", "web")
        for name in ("x", "y", "z", "zz"):
            b.add(name)
        await swarm.ls()
        assert await where(swarm, "web", HostConfig=BINDS) == "B"


@pytest.mark.parametrize("node", [5, [], {"Name": ["A"]}, {"Name": None}, "nosuch", True])
async def test_a_node_that_means_nothing_is_not_heeded(node: Any) -> None:
    a, b, _ = with_web({})
    async with connect(over(a, b)) as swarm:
        assert await where(swarm, "other", HostConfig=BINDS, Node=node) == "B"


async def test_a_name_that_begins_an_id_is_no_origin() -> None:
    a, b, web = with_web({})
    async with connect(over(a, b)) as swarm:
        assert await where(swarm, web.id[:11], HostConfig=BINDS) == "B"


@pytest.mark.parametrize(
    ("host", "first"),
    [
        ({}, ""),
        ({"Binds": None, "Mounts": None, "Devices": None, "DeviceRequests": None}, ""),
        ({"Binds": ["data:/data", "/a:/b"]}, "/a"),
        ({"Mounts": [{"Type": "volume", "Source": "data"}, {"Type": "tmpfs"}]}, ""),
        ({"DeviceRequests": [{"Driver": "nvidia", "Count": -1}]}, "devices"),
    ],
)
def test_what_is_its_machines_own(host: dict[str, Any], first: str) -> None:
    assert of_host(host) == first


async def test_what_it_uses_elsewhere_moves_it_there() -> None:
    a, b, web = with_web(BINDS)
    b.networks["B-net"] = {"Name": "net", "Id": "B-net"}
    async with connect(over(a, b)) as swarm:
        await swarm.rm("containers", web.id)
        assert await where(swarm, "web", HostConfig={**BINDS, "NetworkMode": "net"}) == "B"


async def test_a_compose_project_that_was_down_comes_up_where_it_was() -> None:
    labels = {"com.docker.compose.project": "site"}
    a, b, _ = with_web({})
    async with connect(over(a, b)) as swarm:
        made = await swarm.spawn(
            {"Image": "busybox", "Labels": labels, "Env": ["constraint:node==A"]}, name="site_web_1"
        )
        await swarm.ls()
        await made.rm()
        await swarm.spawn({"Name": "site_default", "Labels": labels}, "networks")
        assert "A-site_default" in a.networks
        assert await where(swarm, "site_db_1", Labels=labels) == "A"


def test_what_is_remembered_is_bounded_and_the_latest() -> None:
    departed, members = Departed(), [cast("Member", object()) for _ in range(2)]
    for number in range(20_000):
        departed.note_names(Item(members[0], f"{number:064x}"[::-1], [f"name{number}"]))
        departed.note_names(Item(members[1], "f" * 64, ["often"]))
    assert departed.holders("names", "name0") == set()
    assert departed.holders("names", "name19999") == {members[0]}
    assert departed.holders("names", "often") == departed.holders("containers", "f" * 64) == {members[1]}
