"""Containers that are services: what a creation asks of the swarm, and what services and tasks say of a container."""

from typing import Any

import orjson
import pytest
import trio
import trio.testing

from swarmlib import BadAnswer, Chain, Client, Invalid, NotFound, SwarmError, Unavailable, Unsupported, connect
from swarmlib.client.handles import Workload
from swarmlib_backends.balance import Balance
from swarmlib_backends.swarm.services import container as shapes
from swarmlib_backends.swarm.services.container import ServiceContainer, Task
from swarmlib_backends.swarm.services.spec import ACCEPTED, BODY, ENDED, ID, restarts, spec
from tests.support.simulated import Engine
from tests.support.simulated_swarm import World

FIELDS: dict[str, Any] = {
    "Cmd": ["sleep", "1"],
    "Entrypoint": ["sh"],
    "Env": ["A=$B"],
    "Healthcheck": {"Test": ["NONE"]},
    "Hostname": "web",
    "Image": "busybox",
    "Labels": {"com.docker.swarm.constraints": '["node.role==worker"]'},
    "NetworkingConfig": {"EndpointsConfig": {"net": {"Aliases": ["db"]}}},
    "StopSignal": "USR1",
    "StopTimeout": 3,
    "Tty": True,
    "User": "1000",
    "Volumes": {"/data": {}},
    "WorkingDir": "/srv",
}
HOST: dict[str, Any] = {
    "Binds": ["/srv:/srv:ro"],
    "CapAdd": ["NET_ADMIN"],
    "CapDrop": ["ALL"],
    "Dns": ["10.0.0.1"],
    "DnsOptions": ["ndots:1"],
    "DnsSearch": ["example.org"],
    "ExtraHosts": ["db:10.0.0.2"],
    "GroupAdd": ["100"],
    "Init": True,
    "LogConfig": {"Type": "local", "Config": {"max-size": "1m"}},
    "Memory": 2**26,
    "MemoryReservation": 2**25,
    "Mounts": [{"Type": "volume", "Source": "v", "Target": "/v"}],
    "NanoCpus": 10**9,
    "NetworkMode": "net",
    "PidsLimit": 10,
    "PortBindings": {"80/udp": [{"HostPort": "8080"}]},
    "ReadonlyRootfs": True,
    "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2},
    "Sysctls": {"net.core.somaxconn": "1024"},
    "Tmpfs": {"/run": ""},
    "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
}
SAYS_NOTHING = {"AttachStderr", "AttachStdout", "ExposedPorts", "HostConfig"}
"""Fields that change nothing of a container: who listens, and what its image says of its ports."""
HOST_SAYS_NOTHING = {"AutoRemove", "ConsoleSize", "Isolation", "MemorySwappiness"}


def template(body: dict[str, Any]) -> dict[str, Any]:
    """The specification without its labels, which hold the whole body."""
    return {name: value for name, value in spec("web", "1" * 64, ACCEPTED.check(body)).items() if name != "Labels"}


def test_every_field_that_is_accepted_has_a_place_and_none_is_dropped() -> None:
    assert FIELDS.keys() | SAYS_NOTHING == set(ACCEPTED.fields)
    assert HOST.keys() | HOST_SAYS_NOTHING == ACCEPTED.host.keys()
    plain = template({})
    for name, value in FIELDS.items():
        assert template({name: value}) != plain, name
    for name, value in HOST.items():
        assert template({"HostConfig": {name: value}}) != plain, name


def test_the_service_of_a_creation() -> None:
    made = spec("web", "1" * 64, ACCEPTED.check({**FIELDS, "HostConfig": HOST}))
    inside = made["TaskTemplate"]["ContainerSpec"]
    assert (inside["Command"], inside["Args"], inside["Env"]) == (["sh"], ["sleep", "1"], ["A=$B"])
    assert (inside["Hosts"], inside["StopGracePeriod"]) == (["10.0.0.2 db"], 3 * 10**9)
    assert [each["Target"] for each in inside["Mounts"]] == ["/v", "/data", "/run", "/srv"]
    assert made["TaskTemplate"]["Networks"] == [{"Target": "net", "Aliases": ["db"]}]
    assert made["TaskTemplate"]["Placement"] == {"Constraints": ["node.role==worker"]}
    assert made["TaskTemplate"]["RestartPolicy"]["Condition"] == "on-failure"
    assert made["EndpointSpec"]["Ports"] == [
        {"Protocol": "udp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}
    ]
    assert made["Mode"] == {"Replicated": {"Replicas": 0}}
    assert orjson.loads(made["Labels"][BODY])["HostConfig"] == HOST


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        ("node==w1", "node.hostname==w1"),
        ("node.role!=manager", "node.role!=manager"),
        ("zone==eu", "node.labels.zone==eu"),
        ("engine.labels.disk==ssd", "engine.labels.disk==ssd"),
        ("zone==eu*", ""),
        ("zone==~eu", ""),
        ("zone==/eu/", ""),
    ],
)
def test_rules_for_placement_become_the_swarm_s(rule: str, written: str) -> None:
    body = {"Labels": {"com.docker.swarm.constraints": orjson.dumps([rule]).decode()}}
    if written:
        assert template(body)["TaskTemplate"]["Placement"]["Constraints"] == [written]
    else:
        with pytest.raises(Invalid, match="can't be one of a swarm service"):
            template(body)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"OpenStdin": True}, "OpenStdin"),
        ({"HostConfig": {"Privileged": True}}, "HostConfig.Privileged"),
        ({"HostConfig": {"NetworkMode": "container:web"}}, "HostConfig.NetworkMode"),
        ({"HostConfig": {"NetworkMode": "none"}}, "HostConfig.NetworkMode"),
        ({"HostConfig": {"PidMode": "host"}}, "HostConfig.PidMode"),
        ({"HostConfig": {"Tmpfs": {"/run": "size=1m"}}}, "HostConfig.Tmpfs"),
        ({"HostConfig": {"Binds": ["/a:/b:z"]}}, "HostConfig.Binds"),
        ({"HostConfig": {"Binds": ["/a:/b:ro:x"]}}, "HostConfig.Binds"),
        ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]}}}, "80/tcp"),
        ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80-90"}]}}}, "80/tcp"),
        ({"NetworkingConfig": {"EndpointsConfig": {"n": {"MacAddress": "x"}}}}, "EndpointsConfig.n.MacAddress"),
    ],
)
def test_what_a_service_cannot_have_is_refused_by_name(body: dict[str, Any], named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        template(body)


# What the swarm says.


def service(replicas: int = 1, ended: str = "", body: Any = None, **labels: str) -> Any:
    given = {ID: "1" * 64, BODY: orjson.dumps(body or {"Image": "busybox"}).decode()} | labels
    return shapes.read_service(
        {
            "ID": "service",
            "CreatedAt": "2026-01-01T00:00:00Z",
            "Spec": {
                "Name": "web",
                "Labels": given | ({ENDED: ended} if ended else {}),
                "Mode": {"Replicated": {"Replicas": replicas}},
                "TaskTemplate": {},
            },
        }
    )


def task(id: str, state: str, code: int = 0, container: str = "c" * 64, err: str = "") -> Task:
    inside = {"ContainerID": container, "ExitCode": code}
    status = {"State": state, "Err": err, "Timestamp": "", "ContainerStatus": inside}
    entry = {"ID": id, "ServiceID": "service", "CreatedAt": id, "NodeID": "node", "Status": status, "Spec": {}}
    return shapes.tasks([entry])[0]


def test_a_run_begins_and_ends_as_its_task_does() -> None:
    box = ServiceContainer.of(service(0))
    assert (box.take(service(0), []), box.status) == ([], "created")
    assert (box.take(service(), [task("a", "preparing")]), box.status) == ([], "starting")
    assert (box.take(service(), [task("a", "running")]), box.status) == (["start"], "running")
    assert box.take(service(), [task("a", "running")]) == []
    assert box.take(service(), [task("a", "failed", 3, err="task: non-zero exit (3)")]) == ["die"]
    assert (box.status, box.exit_code, box.error) == ("exited", 3, "")
    again = [task("a", "failed", 3), task("b", "complete", 0)]
    assert (box.take(service(), again), box.status, box.exit_code) == (["start", "die"], "exited", 0)


def test_a_task_that_never_had_a_process_tells_why() -> None:
    box = ServiceContainer.of(service())
    assert box.take(service(), [task("a", "rejected", container="", err="No such image: nosuch:latest")]) == []
    assert (box.status, box.error) == ("exited", "No such image: nosuch:latest")


def test_a_task_that_is_replaced_has_ended() -> None:
    box = ServiceContainer.of(service())
    box.take(service(), [task("a", "running")])
    assert box.take(service(), [task("a", "running"), task("b", "pending")]) == ["die"]
    assert (box.status, box.exit_code) == ("restarting", 137)
    assert box.take(service(), [task("a", "running"), task("b", "running")]) == ["start"]
    assert box.take(service(0, ended="5 1767225600"), []) == ["die"]
    assert (box.status, box.exit_code, box.end) == ("exited", 5, "5 1767225600")
    again = ServiceContainer.of(service(0, ended="5 1767225600"))  # by a gateway that begins
    assert again.take(service(0, ended="5 1767225600"), []) == []
    assert (again.status, again.end) == ("exited", box.end)
    assert again.take(service(0, ended="x" * 99), []) == []
    assert (again.status, again.exit_code) == ("exited", 137)


@pytest.mark.parametrize("policy", ["", "no", "always", "unless-stopped", "on-failure"])
def test_the_swarm_restarts_what_has_a_policy(policy: str) -> None:
    assert restarts({"HostConfig": {"RestartPolicy": {"Name": policy}}}) is (policy not in ("", "no"))


@pytest.mark.parametrize("body", ["", "[]", "{", '{"OpenStdin": true}', "null"])
def test_a_service_with_the_label_and_another_body_is_no_container(body: str) -> None:
    with pytest.raises((SwarmError, ValueError)):
        ServiceContainer.of(service(**{BODY: body}))


@pytest.mark.parametrize("answer", [None, {}, [1], [{"ID": "../x"}]])
def test_a_malformed_list_of_tasks_is_a_bad_answer(answer: Any) -> None:
    with pytest.raises(BadAnswer, match="malformed answer to ls tasks"):
        shapes.tasks(answer)


# Where they go.


async def place(swarm: Client, label: str) -> str:
    await swarm.spawn({"Image": "busybox", "Labels": {"swarmlib.swarm": label} if label else {}}, name=f"box{label}")
    return next(each.node for each in await swarm.ls(all=True) if each.name == f"box{label}")


async def test_a_container_is_a_service_only_if_it_asks_for_it() -> None:
    plays_a_swarm = Engine("services", info={"Driver": "swarm"})
    async with connect(Balance([Chain(plays_a_swarm), Chain(Engine("A"))])) as swarm:
        assert await place(swarm, "") == "A"
        assert await place(swarm, "service") == "services"
        with pytest.raises(Invalid, match=r"the label swarmlib.swarm must be service, not 'servise'"):
            await place(swarm, "servise")
    async with connect(Balance([Chain(Engine("A"))])) as swarm:
        with pytest.raises(Unavailable, match="A: it is not a swarm"):
            await place(swarm, "service")


# Their life.

SERVICE = {"Image": "busybox", "Labels": {"swarmlib.swarm": "service"}}


async def test_the_life_of_a_container_that_is_a_service(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    async with connect(world.chain()) as swarm:
        web = await swarm.spawn(SERVICE, name="web")
        assert (await swarm.get("containers", "web"))["State"]["Status"] == "created"
        await web.start()
        assert (await swarm.get("containers", "web"))["State"]["Status"] == "running"
        made = await swarm.spawn({"Cmd": ["true"]}, "containers", "web", "exec")
        assert await swarm.get("exec", made.id) == {"ID": made.id}
        assert "spawn containers/" in " ".join(world.engines["v"].asked)
        async with connect(world.chain("n")) as other:  # another gateway, which knows the same
            assert [each.name for each in await other.ls(filters={"name": "^web$"})] == ["web"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ended_with, web, 3)
            await trio.sleep(1)
            world.swarm.end(3)
        shown = await swarm.get("containers", web.id)
        assert (shown["State"]["Status"], shown["State"]["ExitCode"]) == ("exited", 3)
        await web.start()
        assert [each["Spec"]["ForceUpdate"] for each in world.swarm.tasks] == [0, 1]
        world.swarm.end(0)
        await trio.sleep(1)
        await web.rm()
        assert world.swarm.services == {}
        with pytest.raises(NotFound):
            await swarm.get("containers", web.id)


async def ended_with(web: Workload, code: int) -> None:
    assert await web.wait() == code


async def test_a_service_without_a_restart_policy_is_run_elsewhere_once_when_its_node_is_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    async with connect(world.chain()) as one, connect(world.chain("n")) as other:
        for swarm in (one, other):
            await swarm.ls()
        web = await one.spawn(SERVICE, name="web")
        await web.start()
        await trio.sleep(10)
        world.tell("v", status={"State": "down"})
        await trio.sleep(60)
        assert [each["NodeID"] for each in world.swarm.tasks] == ["v", "w"]  # although two gateways saw it
        for swarm in (one, other):
            assert (await swarm.get("containers", "web"))["State"]["Status"] == "running"


async def test_what_is_started_and_cannot_run_is_as_before_and_says_why(autojump_clock: trio.testing.MockClock) -> None:
    world = World()

    def refuse(service: Any, id: str) -> None:
        about = {"ID": "1", "ServiceID": service["ID"], "CreatedAt": "1", "NodeID": id, "Spec": {}}
        world.swarm.tasks.append({**about, "Status": {"State": "rejected", "Err": "No such image: nosuch:latest"}})

    world.swarm.run = refuse  # type: ignore[method-assign]
    async with connect(world.chain()) as swarm:
        web = await swarm.spawn(SERVICE, name="web")
        with pytest.raises(NotFound, match="No such image: nosuch:latest"):
            await web.start()
        assert (await swarm.get("containers", "web"))["State"]["Status"] == "created"
