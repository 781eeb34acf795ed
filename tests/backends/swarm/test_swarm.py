"""The nodes of a swarm as members of a balance: which there are, what each is used for, and who tells it."""

import re
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from swarmlib import Chain, Client, Invalid, SwarmError, Unavailable, Unsupported, connect
from swarmlib_backends.balance import Balance
from swarmlib_backends.swarm import Swarm
from swarmlib_backends.swarm.nodes import listed
from swarmlib_backends.swarm.reaching import Template
from tests.support.paths import ROOT
from tests.support.simulated import Engine
from tests.support.simulated_swarm import ToEngines, World, described, node


async def place(swarm: Client, *rules: str) -> str:
    made = await swarm.spawn({"Image": "busybox", "Env": [f"constraint:{rule}" for rule in rules]})
    return str((await made.get())["Node"]["Name"])


async def test_every_node_is_a_member_and_rules_may_name_what_the_swarm_knows_of_it() -> None:
    world = World()
    world.nodes["w"]["Spec"]["Labels"] = {"zone": "eu", "node.role": "manager"}
    async with connect(world.chain()) as swarm:
        assert await place(swarm, "node==v") == "v"
        assert await place(swarm, "zone==eu") == await place(swarm, "node.labels.zone==eu") == "w"
        assert await place(swarm, "node.role==worker", "node!=v", "engine.labels.disk==ssd") == "w"
        assert await place(swarm, "node.id==n") == await place(swarm, "node.hostname==n") == "n"
        with pytest.raises(Unavailable, match=r"w: constraint engine.labels.disk==hdd: its engine.labels.disk is ssd"):
            await place(swarm, "engine.labels.disk==hdd")


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"spec": {"Availability": "drain"}}, "it is drained"),
        ({"spec": {"Availability": "pause"}}, "it is paused"),
        ({"status": {"State": "down"}}, "its swarm says that it is down"),
    ],
)
async def test_a_node_that_is_closed_takes_no_new_containers_and_shows_those_it_has(about: Any, why: str) -> None:
    world = World()
    world.engines["w"].add("old")
    async with connect(world.chain()) as swarm:
        await swarm.ls()
        await trio.testing.wait_all_tasks_blocked()
        world.tell("w", **about)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match=f"w: {why}"):
            await place(swarm, "zone==none")
        assert [each.name for each in await swarm.ls()] == ["old"]
        world.tell("w")
        await trio.testing.wait_all_tasks_blocked()
        assert await place(swarm, "node==w") == "w"


async def test_nodes_join_and_leave_while_it_runs() -> None:
    world = World()
    async with connect(world.chain()) as swarm:
        world.engines["x"] = node("x", world.swarm)
        world.engines["x"].add("box")
        world.tell("x", "create")
        await trio.testing.wait_all_tasks_blocked()
        assert [(each.name, each.node) for each in await swarm.ls()] == [("box", "x")]
        world.tell("x", "remove")
        await trio.testing.wait_all_tasks_blocked()
        assert await swarm.ls() == []


async def test_a_lost_manager_is_replaced_by_another_of_the_nodes(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    async with connect(world.chain("m")) as swarm:
        await swarm.ls()
        await trio.testing.wait_all_tasks_blocked()
        with world.engines["m"].down():
            world.nodes["v"] = described("v", spec={"Availability": "drain"})
            await trio.sleep(10)
            with pytest.raises(Unavailable, match=r"v: it is drained"):
                await place(swarm, "node==v")


async def test_a_manager_that_hangs_is_replaced_too(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    async with connect(world.chain("m")) as swarm:
        await swarm.ls()
        await trio.testing.wait_all_tasks_blocked()
        world.engines["m"].frozen = True
        world.nodes["v"] = described("v", spec={"Availability": "drain"})
        await trio.sleep(20)
        with pytest.raises(Unavailable, match=r"v: it is drained"):
            await place(swarm, "node==v")


async def test_one_of_several_managers_is_enough_to_begin_and_a_worker_is_none() -> None:
    world = World()
    with world.engines["m"].down():
        async with connect(world.chain("m", "n")) as swarm:
            assert await place(swarm, "node==v") == "v"
        with pytest.raises(Unavailable, match="connection refused"):
            async with connect(world.chain("m")):
                pass
    with pytest.raises(SwarmError, match="not a swarm manager"):
        async with connect(world.chain("w")):
            pass


async def test_an_engine_that_is_not_the_node_is_not_taken_for_it() -> None:
    world = World()
    world.engines["w"] = world.engines["v"]  # as by a template that leads to the same engine
    world.engines["v"].add("box")
    async with connect(world.chain()) as swarm:
        assert [(each.name, each.node) for each in await swarm.ls()] == [("box", "v")]
        with pytest.raises(Unavailable, match=r"w: it is down \(its engine is not the node w, but v\)"):
            await place(swarm, "node==w")


async def test_a_swarm_may_stand_beside_other_members_and_alone() -> None:
    world = World()
    source = Swarm([Chain(world.engines["m"])], engines=ToEngines(world.engines))
    async with connect(Balance([Chain(Engine("A"), label="a"), Chain(source)])) as swarm:
        assert await place(swarm, "node==a") == "a"
        assert await place(swarm, "node==w") == "w"
    async with connect(Chain(source)) as swarm:
        assert await place(swarm, "node==w") == "w"


async def test_with_overlay_networks_span_the_nodes_and_their_containers_spread() -> None:
    labels = {"com.docker.compose.project": "p"}
    for overlay in (False, True):
        world = World()
        async with connect(world.chain(overlay=overlay)) as swarm:
            await swarm.spawn({"Name": "net", "Driver": "bridge", "Labels": labels}, "networks")
            for name in ("one", "two", "three"):
                host = {"NetworkMode": "net"}
                await swarm.spawn({"Image": "busybox", "Labels": labels, "HostConfig": host}, name=name)
            nodes = {each.node for each in await swarm.ls(all=True)}
        assert len(nodes) == (3 if overlay else 1)


def test_nodes_are_read_strictly_and_one_that_is_wrong_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    wrong = [
        described("a", description={"Hostname": "x | exec"}),
        described("b", description={"Hostname": "-oProxyCommand=x"}),
        described("c", description={"Hostname": "../c"}),
        described("d\n"),
        described("e", spec={"Labels": {"x": 1}}),
        {"ID": "f"},
    ]
    assert [each.id for each in listed([*wrong, described("g")])] == ["g"]
    assert caplog.text.count("a node is left out") == len(wrong)


@pytest.mark.parametrize("answer", [{}, "nodes", [1], None])
def test_what_is_no_list_of_nodes_is_a_bad_answer(answer: Any) -> None:
    with pytest.raises(SwarmError, match="malformed answer to ls nodes"):
        list(listed(answer))


@pytest.mark.parametrize(
    ("status", "manager", "address"),
    [
        ("10.0.0.1", "", "10.0.0.1"),
        ("fd00::1", "", "[fd00::1]"),
        ("0.0.0.0", "10.0.0.2:2377", "10.0.0.2"),
        ("127.0.0.1", "[fd00::2]:2377", "[fd00::2]"),
        ("example.org", "", ""),
        ("", "", ""),
    ],
)
def test_the_address_of_a_node(status: str, manager: str, address: str) -> None:
    entry = described("a", status={"Addr": status}) | {"ManagerStatus": {"Addr": manager}}
    assert next(listed([entry])).address == address


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("ssh://root@{host}", "unknown placeholder {host}: expected {addr}, {hostname} or {id}"),
        ("ssh://root@manager", "invalid template 'ssh://root@manager': expected {addr}"),
        ("tcp://{addr}", "invalid address 'tcp://192.0.2.1'"),
        ("docker tcp://{addr}:2376 --nosuch", "unknown option --nosuch"),
        ("", "swarm requires --engines"),
    ],
)
def test_a_template_that_is_wrong_is_refused_at_once(text: str, error: str) -> None:
    with pytest.raises(SwarmError) as caught:
        Chain.read(f"swarm unix:///m.sock --engines '{text}'" if text else "swarm unix:///m.sock")
    assert error in caught.value.message


def test_a_template_is_an_address_or_a_chain() -> None:
    found = next(listed([described("a")]))
    for text, name in (("ssh://root@{addr}", "docker ssh://root@10.0.0.1"), ("debug | docker unix:///{id}", "debug")):
        way, chain = Template.read(text).chain(found)
        assert chain.name == "a"
        assert chain.backends[0].name == name
        assert way == text.format(addr="10.0.0.1", id="a")
    nowhere = next(listed([described("a", status={"Addr": ""})]))
    with pytest.raises(SwarmError, match="the swarm does not tell the addr of a"):
        Template.read("ssh://{addr}").chain(nowhere)


def test_the_chains_of_the_guide_are_chains() -> None:
    guide = (ROOT / "docs" / "swarm.md").read_text("utf-8")
    lines = re.findall(r"^swarmd '(.*?)' '(.*?)'$", guide, re.MULTILINE)
    assert len(lines) == 1
    for stages in lines:
        for stage in stages:
            Chain.read(stage)
    templates = [each.strip('"').replace("\\|", "|") for each in re.findall(r"^\| `(.*\{.*)` \|", guide, re.MULTILINE)]
    assert len(templates) == 3
    for each in templates:
        Template.read(each)


async def test_with_overlay_what_names_a_kind_of_network_is_left_and_what_an_overlay_cannot_have_is_refused() -> None:
    world = World()
    async with connect(world.chain(overlay=True)) as swarm:
        for name, driver in (("a", ""), ("b", "bridge"), ("c", "macvlan")):
            await swarm.spawn({"Name": name, "Driver": driver}, "networks")
        scopes = {each["Name"]: each["Scope"] for each in await swarm.ls("networks") if each["Name"] in "abc"}
        assert scopes == {"a": "swarm", "b": "swarm", "c": "local"}
        options = {"com.docker.network.bridge.name": "br0"}
        with pytest.raises(Unsupported, match=r"can't have Options\.com\.docker\.network\.bridge\.name"):
            await swarm.spawn({"Name": "d", "Options": options}, "networks")


async def test_a_file_of_members_cannot_name_a_source_of_members(tmp_path: Path) -> None:
    (tmp_path / "members").write_text("swarm unix:///m.sock --engines unix:///{id}.sock\n")
    with pytest.raises(Invalid, match="line 1: swarm has members of its own"):
        async with connect(Balance(watch_file=str(tmp_path / "members"))):
            pass
