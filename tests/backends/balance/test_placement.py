"""Placement: what rules an engine out, what pulls a container to one, and what each strategy does with the rest."""

from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import UNSENT, Chain, Client, Conflict, Invalid, Unavailable, Unsupported, connect
from swarmlib_backends.balance import Balance
from swarmlib_backends.balance.placement.request import read
from swarmlib_backends.balance.placement.rules import Rule
from tests.support.simulated import Engine

GIB = 2**30


def over(*engines: Engine, **options: Any) -> Chain:
    return Chain(Balance([Chain(each) for each in engines], **options))


async def place(swarm: Client, name: str = "", env: Sequence[str] = (), **body: Any) -> str:
    """Make a container, and say where it went."""
    made = await swarm.spawn({"Image": "busybox", "Env": list(env), **body}, **({"name": name} if name else {}))
    return str((await made.get())["Node"]["Name"])


async def test_spread_fills_the_emptiest_binpack_the_fullest_and_round_robin_takes_turns() -> None:
    for strategy, expected in (("spread", (3, 3)), ("round-robin", (4, 2)), ("binpack", (6, 0))):
        a, b = Engine("A"), Engine("B")
        a.add("one")
        a.add("two")
        async with connect(over(a, b, strategy=strategy)) as swarm:
            for _ in range(4):
                await place(swarm)
        assert (len(a.boxes), len(b.boxes)) == expected


async def test_a_burst_is_spread_too() -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(place, swarm)
    assert (len(a.boxes), len(b.boxes)) == (5, 5)


async def test_spread_and_binpack_go_by_what_is_reserved() -> None:
    for strategy, expected in (("spread", "B"), ("binpack", "A")):
        a, b = Engine("A"), Engine("B")
        a.add("big", HostConfig={"Memory": GIB})
        for name in ("1", "2", "3"):
            b.add(name)
        async with connect(over(a, b, strategy=strategy)) as swarm:
            assert await place(swarm, HostConfig={"Memory": GIB // 2}) == expected


async def test_least_loaded_goes_by_what_runs_for_each_cpu() -> None:
    a, b = Engine("A", info={"NCPU": 8}), Engine("B")
    for number in range(6):
        a.add(f"a{number}")
        b.add(f"b{number}", running=number < 2)
    async with connect(over(a, b, strategy="least-loaded")) as swarm:
        assert await place(swarm) == "A"


async def test_a_hash_keeps_a_name_on_its_engine_while_others_come() -> None:
    engines = [Engine(name) for name in "ABCD"]
    homes: list[dict[str, str]] = []
    for some in (engines[:3], engines):
        async with connect(over(*some, strategy="hash")) as swarm:
            homes.append({})
            for name in map(str, range(30)):
                homes[-1][name] = await place(swarm, name)
                await swarm.rm("containers", name)
    moved = {name for name in homes[0] if homes[0][name] != homes[1][name]}
    assert {homes[1][name] for name in moved} == {"D"}
    assert len(moved) < 20
    assert len(set(homes[0].values())) == 3


@pytest.mark.parametrize(
    ("rule", "home"),
    [
        ("constraint:node==B", "B"),
        ("constraint:node!=A", "B"),
        ("constraint:region==eu*", "B"),
        ("constraint:region==/^e.-1$/", "B"),
        ("constraint:region==~nowhere", "A"),
        ("constraint:region==~eu-1", "B"),
        ("constraint:operatingsystem==*bookworm*", "B"),
        ("affinity:container==db", "B"),
        ("affinity:container!=we*", "B"),
        ("affinity:image==tool", "B"),
        ("affinity:tier==back", "B"),
        ("affinity:tier!=front", "B"),
        ("affinity:container==~nosuch", "A"),
    ],
)
async def test_rules_in_the_old_notation(rule: str, home: str) -> None:
    a, b = Engine("A"), Engine("B", info={"Labels": ["region=eu-1"], "OperatingSystem": "Debian 12 (bookworm)"})
    a.add("web", Labels={"tier": "front"})
    b.add("db", Labels={"tier": "back"})
    b.add("more")
    b.images["sha256:" + "1" * 64] = ["tool:latest"]
    async with connect(over(a, b)) as swarm:
        assert await place(swarm, "it", [rule, "KEPT=1"]) == home
    made = next(box for each in (a, b) for box in each.boxes.values() if box.name == "it")
    assert made.body["Env"] == ["KEPT=1"]
    kind, _, text = rule.partition(":")
    assert made.body["Labels"] == {
        "com.docker.swarm.constraints" if kind == "constraint" else "com.docker.swarm.affinities": f'["{text}"]'
    }


async def test_a_label_that_an_engine_has_twice_has_one_value() -> None:
    twice = [
        "region=eu",
        "region=us",
        "swarmlib.last-resort=no",
        "swarmlib.last-resort=true",
    ]  # dockerd would not start
    a, b = Engine("A", info={"Labels": twice}), Engine("B", info={"Labels": ["region=us"]})
    async with connect(over(a, b)) as swarm:
        assert await place(swarm, env=["constraint:region==eu"]) == "A"
        assert await place(swarm, env=["constraint:region==us"]) == "B"
        b.add("more")
        b.add("and more")
        made = await swarm.spawn({"Image": "busybox"})  # B is fuller, and A is no last resort
        node = (await made.get())["Node"]
        assert (node["Name"], node["Labels"]) == ("A", {"region": "eu", "swarmlib.last-resort": "no"})


async def test_rules_may_stand_in_labels() -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm:
        assert await place(swarm, Labels={"com.docker.swarm.constraints": '["node==B"]'}) == "B"


@pytest.mark.parametrize("env", ["constraint:region", "constraint:region=us", "constraint:x==/(/"])
async def test_a_rule_that_is_none_is_refused(env: str) -> None:
    async with connect(over(Engine("A"))) as swarm:
        with pytest.raises(Invalid, match=r"invalid rule|is not a regular expression"):
            await place(swarm, env=[env])


async def test_each_engine_that_is_ruled_out_says_why() -> None:
    a, b, c = Engine("A"), Engine("B", info={"Labels": ["containerslots=1"]}), Engine("C", info={"MemTotal": GIB})
    a.add("web", HostConfig={"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}})
    b.add("full")
    d = Engine("D")
    async with connect(over(a, b, c, d)) as swarm:
        await swarm.ls()
        with d.down():
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Unavailable) as refused:
                await place(
                    swarm,
                    HostConfig={
                        "Memory": GIB * 3 // 2,
                        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]},
                    },
                )
    for reason in (
        "A: its port 80/tcp is taken",
        "B: all its 1 container slots are taken",
        "C: 1536 MiB of memory are wanted, 1024 MiB of 1024 MiB are free",
        "D: it is down",
    ):
        assert reason in refused.value.message


async def test_a_node_that_does_not_say_what_it_has_decides_itself() -> None:
    async with connect(over(Engine("A", info={"NCPU": 0, "MemTotal": 0}))) as swarm:
        assert await place(swarm, HostConfig={"Memory": 64 * GIB, "NanoCpus": 64 * 10**9}) == "A"


async def test_the_cpus_of_an_engine_are_given_to_the_last_tenth_and_come_back() -> None:
    async with connect(over(Engine("A"))) as swarm:
        tenth = {"NanoCpus": 10**8}
        for number in range(20):
            await place(swarm, f"c{number}", HostConfig=tenth)
        with pytest.raises(Unavailable, match=r"0\.1 CPUs are wanted, 0 of 2 are free"):
            await place(swarm, HostConfig=tenth)
        await swarm.rm("containers", "c7")
        assert await place(swarm, HostConfig=tenth) == "A"


async def test_a_port_of_what_has_ended_is_free() -> None:
    a = Engine("A")
    ports = {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}
    a.add("web", HostConfig=ports)
    async with connect(over(a)) as swarm:
        with pytest.raises(Unavailable, match="port 80/tcp is taken"):
            await place(swarm, HostConfig=ports)
        await swarm.stop("containers", "web")
        assert await place(swarm, HostConfig=ports) == "A"


@pytest.mark.parametrize(
    "host",
    [
        {"VolumesFrom": ["db:ro"]},
        {"Links": ["/db:database"]},
        {"NetworkMode": "container:db"},
        {"IpcMode": "container:db"},
        {"NetworkMode": "mine"},
        {"Binds": ["data:/data"]},
        {"Mounts": [{"Type": "volume", "Source": "data", "Target": "/data"}]},
    ],
)
async def test_what_a_container_uses_pulls_it_there(host: dict[str, Any]) -> None:
    a, b = Engine("A"), Engine("B")
    b.add("db")
    b.networks["n"] = {"Name": "mine", "Id": "n"}
    b.volumes["data"] = {"Name": "data"}
    async with connect(over(a, b)) as swarm:
        assert await place(swarm, HostConfig=host) == "B"
        with pytest.raises(Unavailable, match=r"A: the \w+ \w+ is on B; B: constraint node==A"):
            await place(swarm, env=["constraint:node==A"], HostConfig=host)


async def test_the_parts_of_a_compose_project_stay_together() -> None:
    a, b = Engine("A"), Engine("B")
    homes: dict[str, set[str]] = {}
    async with connect(over(a, b)) as swarm:
        for project in ("one", "two"):
            labels = {"com.docker.compose.project": project}
            await swarm.spawn({"Name": f"{project}_net", "Labels": labels}, "networks")
            await swarm.spawn({"Name": f"{project}_data", "Labels": labels}, "volumes")
            host = {"NetworkMode": f"{project}_net", "Binds": [f"{project}_data:/data"]}
            homes[project] = {await place(swarm, HostConfig=host, Labels=labels) for _ in range(3)}
    assert homes == {"one": {"A"}, "two": {"B"}}
    assert set(b.volumes) == {"two_data"}


async def test_a_volume_or_network_that_exists_is_not_made_elsewhere() -> None:
    a, b = Engine("A"), Engine("B")
    b.volumes["data"] = {"Name": "data"}
    async with connect(over(a, b)) as swarm:
        await swarm.spawn({"Name": "data"}, "volumes")
    assert a.volumes == {}


async def test_an_image_that_only_another_engine_has_is_brought_there_once() -> None:
    a, b = Engine("A"), Engine("B")
    b.images = {"sha256:" + "1" * 64: ["tool:latest"]}
    async with connect(over(a, b)) as swarm, trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(
                lambda n: swarm.spawn({"Image": "tool", "Env": ["constraint:node==A"]}, name=f"x{n}"), number
            )
    assert len(a.boxes) == 3
    assert b.asked.count("file images/tool") == 1
    assert ["tool:latest"] in a.images.values()


async def test_an_image_is_not_brought_from_another_kind_of_machine() -> None:
    a, b = Engine("A"), Engine("B", info={"Architecture": "aarch64"})
    b.images = {"sha256:" + "1" * 64: ["tool:latest"]}
    async with connect(over(a, b)) as swarm:
        with pytest.raises(Exception, match="No such image: tool"):
            await swarm.spawn({"Image": "tool", "Env": ["constraint:node==A"]})


async def test_what_surely_did_not_happen_is_tried_elsewhere_and_what_may_have_is_not() -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        a.trouble = [Unavailable("connection refused", details={UNSENT: True})]
        assert await place(swarm) == "B"
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        a.trouble = [Unavailable("connection lost")]
        with pytest.raises(Unavailable, match="connection lost"):
            await place(swarm)
    assert b.boxes == {}


async def test_who_can_not_have_it_is_passed_over_and_the_only_one_speaks_for_itself() -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        a.trouble = [Unsupported("a local process can't have Volumes")]
        assert await place(swarm) == "B"
    async with connect(over(a)) as swarm:
        a.trouble = []
        await swarm.ls()
        a.trouble = [Unsupported("a local process can't have Volumes")]
        with pytest.raises(Unsupported, match="can't have Volumes"):
            await place(swarm)


async def test_processes_are_placed_only_where_they_are_asked_for() -> None:
    a, b = Engine("A", info={"Driver": "exec"}), Engine("B")
    for number in range(3):
        b.add(str(number))
    async with connect(over(a, b)) as swarm:
        assert await place(swarm) == "B"
        assert await place(swarm, env=["constraint:driver==exec"]) == "A"


async def test_what_may_be_rescheduled_is_made_anew_when_its_engine_dies_and_is_never_two(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Engine("A"), Engine("B")
    async with connect(over(a, b, reschedule_after=10.0)) as swarm:
        policy = {"com.docker.swarm.reschedule-policies": '["on-node-failure"]'}
        for name, labels, mounts in (("web", policy, []), ("plain", {}, []), ("data", policy, [{"Name": "v"}])):
            body = {"Image": "busybox", "Env": ["constraint:node==~A"], "Labels": labels, "mounts": mounts}
            await (await swarm.spawn(body, name=name)).start()
        with a.down():
            await trio.sleep(9)
            assert b.boxes == {}
            await trio.sleep(10)
            assert [(box.name, box.state) for box in b.boxes.values()] == [("web", "running")]
            assert [each["Node"] for each in await swarm.ls()] == ["B"]
            with pytest.raises(Conflict, match="already in use"):
                await place(swarm, "web")
        await trio.sleep(10)
        assert sorted((each["Names"][0], each["Node"]) for each in await swarm.ls(all="1")) == [
            ("/data", "A"),
            ("/plain", "A"),
            ("/web", "B"),
        ]
    assert sorted(box.name for box in a.boxes.values()) == ["data", "plain"]


async def test_an_engine_that_is_back_in_time_keeps_its_containers(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Engine("A"), Engine("B")
    a.add("web", Labels={"com.docker.swarm.reschedule-policies": '["on-node-failure"]'})
    async with connect(over(a, b, reschedule_after=20.0)) as swarm:
        await swarm.ls()
        with a.down():
            await trio.sleep(5)
        await trio.sleep(60)
    assert b.boxes == {}
    assert len(a.boxes) == 1


@given(st.text(max_size=20))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        rule = Rule.read(text)
    except Invalid:
        return
    assert rule.text == text
    assert rule.exact is None or rule.fits(rule.exact)


@given(
    st.dictionaries(
        st.sampled_from(["Env", "Labels", "HostConfig", "Image", "ExposedPorts", "NetworkingConfig"]), st.none()
    )
)
def test_null_means_empty(body: dict[str, None]) -> None:
    wish, cleaned = read("", body)
    assert (wish.constraints, wish.beside, cleaned) == ([], [], None)
