"""The simulator is held to a real engine: the same scripts on both, and their answers, lists and events compared."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, Phase, given, settings

from swarmlib import Chain, Verb, connect
from swarmlib_backends.simulator import Simulator
from tests.support import scripts
from tests.support.differential import Side, Step, clean, compare
from tests.support.engines import Engine, engine

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def real() -> Iterator[Engine]:
    """An engine of its own: each script begins with nothing on it."""
    with engine() as started:
        yield started


async def hold(real: Engine, script: list[Step]) -> None:
    """Run a script on the engine and on a simulator of the same machine."""
    async with connect(f"docker {real.host}") as client:
        info = await client.get()
        machine = Simulator(cpus=info["NCPU"], memory=str(info["MemTotal"]), hostname=socket.gethostname())
        async with connect(Chain(machine)) as simulated:
            side = Side(client)
            await clean(side)
            await compare(script, side, Side(simulated))


def create(name: str, *words: str, **more: Any) -> Step:
    body = {"Image": "busybox", "Cmd": list(words), "HostConfig": {}, **more}
    return Step(Verb.SPAWN, ("containers",), {"name": name}, body)


def start(name: str) -> Step:
    return Step(Verb.START, ("containers", name))


def wait(name: str) -> Step:
    return Step(Verb.WATCH, ("containers", name, "wait"), kind="wait")


def kill(name: str, signal: str = "KILL") -> Step:
    return Step(Verb.STOP, ("containers", name, "kill"), {"signal": signal})


def change(container: str, what: str, **args: str) -> Step:
    return Step(Verb.SET, ("containers", container, what), args)


def remove(name: str, **args: str) -> Step:
    return Step(Verb.RM, ("containers", name), args)


def _mounted_bind(propagation: str) -> dict[str, Any]:
    return {"Type": "bind", "Source": "/srv", "Target": "/m", "BindOptions": {"Propagation": propagation}}


LIFE = [
    create("one", "sleep", "1000"),
    start("one"),
    start("one"),
    change("one", "pause"),
    change("one", "pause"),
    remove("one"),
    kill("one", "TERM"),
    change("one", "unpause"),
    Step(Verb.STOP, ("containers", "one"), {"t": "0"}),
    Step(Verb.STOP, ("containers", "one"), {"t": "0"}),
    kill("one"),
    change("one", "restart", t="0"),
    change("one", "rename", name="two"),
    remove("two"),
    remove("two", force="1"),
    remove("two", force="1"),
]
ENDS = [
    create("one", "sh", "-c", "echo out; echo err >&2; exit 3"),
    start("one"),
    wait("one"),
    Step(Verb.CONNECT, ("containers", "one", "logs"), {"stdout": "1", "stderr": "1"}, kind="lines"),
    create("gone", "true", HostConfig={"AutoRemove": True}, Volumes={"/anonymous": {}}),
    start("gone"),
    create("gone", "nosuch", HostConfig={"AutoRemove": True}),
    start("gone"),
    Step(Verb.RM, ("containers",)),
]
RESTARTED = [
    create("one", "false", HostConfig={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}),
    start("one"),
    create("two", "true", HostConfig={"RestartPolicy": {"Name": "on-failure"}}),
    start("two"),
]
NETWORKS = [
    create("one", "sleep", "1000"),
    create("two", "sleep", "1000", HostConfig={"NetworkMode": "net"}),
    start("two"),
    Step(Verb.SPAWN, ("networks",), {}, {"Name": "net", "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}}),
    start("two"),
    Step(Verb.SET, ("networks", "net", "connect"), {}, {"Container": "one", "EndpointConfig": {"Aliases": ["db"]}}),
    start("one"),
    Step(Verb.SET, ("networks", "net", "connect"), {}, {"Container": "one"}),
    Step(Verb.RM, ("networks", "net")),
    Step(Verb.SET, ("networks", "net", "disconnect"), {}, {"Container": "one"}),
    Step(Verb.SET, ("networks", "net", "disconnect"), {}, {"Container": "one"}),
    remove("two", force="1"),
    Step(Verb.RM, ("networks", "net")),
    Step(Verb.RM, ("networks", "bridge")),
]
_WEB = {"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}
PORTS = [
    create("one", "sleep", "1000", **_WEB),
    create("two", "sleep", "1000", **_WEB),
    start("one"),
    start("two"),
    kill("one"),
    start("two"),
]
IMAGES = [
    Step(Verb.SET, ("images", "busybox", "tag"), {"repo": "tagged", "tag": "one"}),
    create("one", "sh", "-c", "echo data > /tmp/file", Image="tagged:one"),
    start("one"),
    Step(Verb.GET, ("containers", "one", "changes")),
    Step(Verb.SPAWN, ("commit",), {"container": "one", "repo": "committed", "comment": "why"}, {"Labels": {"a": "b"}}),
    Step(Verb.RM, ("images", "tagged:one")),
    create("two", "cat", "/tmp/file", Image="committed"),
    start("two"),
    Step(Verb.CONNECT, ("containers", "two", "logs"), {"stdout": "1"}, kind="lines"),
    Step(Verb.RM, ("images", "committed")),
    Step(Verb.LS, ("containers",), {"all": "1", "filters": '{"ancestor": ["busybox"]}'}),
    remove("two"),
    Step(Verb.RM, ("images", "committed")),
]
VOLUMES = [
    create("one", "sleep", "1000", HostConfig={"Binds": ["vol:/data:ro"]}, Volumes={"/anonymous": {}}),
    start("one"),
    Step(Verb.RM, ("volumes", "vol")),
    create("two", "true", HostConfig={"VolumesFrom": ["one"]}),
    start("two"),
    remove("one", force="1", v="1"),
    remove("two", v="1"),
    Step(Verb.RM, ("volumes", "vol")),
]

_MODES = [
    *("", ":rw", ":ro,rshared", ":rw,rslave", ":shared", ":private,Z", ":cached", ":z,delegated", ":nocopy"),
    *(":rslave,rshared", ":ro,rw", ":nosuch", ":ro,"),
]
BINDS = [
    *(create(f"bind{at}", "true", HostConfig={"Binds": [f"/srv:/m{mode}"]}) for at, mode in enumerate(_MODES)),
    *(create(f"volume{at}", "true", HostConfig={"Binds": [f"vol:/m{mode}"]}) for at, mode in enumerate(_MODES)),
    *(Step(Verb.GET, ("containers", f"{kind}{at}")) for kind in ("bind", "volume") for at in range(len(_MODES))),
    create("propagated", "true", HostConfig={"Mounts": [_mounted_bind("rslave")]}),
    create("nowhere", "true", HostConfig={"Mounts": [_mounted_bind("nosuch")]}),
    create("mode_alone", "true", HostConfig={"Binds": ["/tmp:ro"]}),
    Step(Verb.GET, ("containers", "propagated")),
]
PRUNED = [
    create("one", "sh", "-c", "echo hello > /data.txt"),
    start("one"),
    create("two", "true"),
    Step(Verb.RM, ("containers",)),
]
_EXPOSED = {f"{port}/tcp": {} for port in (443, 80, 81)} | {f"{port}/udp": {} for port in (79, 9000, 9001, 9002)}
# Sorted, as an engine goes through links in no order.
_TOLD = "env | grep -v ^HOME | grep -v ^PWD | grep -v ^SHLVL | sort; sort /etc/hosts"
UNLINKED = [
    change("linked", "rename", name="renamed"),
    change("web", "rename", name="served"),
    Step(Verb.GET, ("containers", "renamed")),
    remove("renamed", link="1"),
    remove("renamed/nosuch", link="1"),
    remove("renamed/db", link="1"),
    Step(Verb.GET, ("containers", "renamed")),
]
"""Both ends of a link get other names, and the link is removed."""
LINKS = [
    create("web", "sleep", "1000", Env=["FOO=1", "BAR=a b", "HOME=/x"], ExposedPorts=_EXPOSED, Hostname="host"),
    start("web"),
    create("told", "sh", "-c", _TOLD, Hostname="own", HostConfig={"Links": ["web:my-link", "web"]}),
    start("told"),
    wait("told"),
    Step(Verb.CONNECT, ("containers", "told", "logs"), {"stdout": "1"}, kind="lines"),
    create("linked", "sleep", "1000", HostConfig={"Links": ["/web:/other/db"]}),
    start("linked"),
    Step(Verb.GET, ("containers", "linked")),
    Step(Verb.GET, ("containers", "linked/db")),
    Step(Verb.LS, ("containers",), {"filters": '{"name": ["linked/db"]}'}),
    *UNLINKED,
    create("bad1", "true", HostConfig={"Links": ["nosuch:x"]}),
    create("bad2", "true", HostConfig={"Links": ["a:b:c"]}),
    create("bad3", "true", HostConfig={"Links": ["served:x"], "NetworkMode": "host"}),
    create("bad4", "true", HostConfig={"Links": ["served:x"], "NetworkMode": "container:served"}),
    create("late", "true", HostConfig={"Links": ["told:x"]}),
    start("late"),
    remove("served", force="1"),
    Step(Verb.GET, ("containers", "told")),
]


def _network(name: str, *configs: dict[str, Any], **more: Any) -> Step:
    return Step(Verb.SPAWN, ("networks",), {}, {"Name": name, "IPAM": {"Config": list(configs)}, **more})


def _connect(network: str, container: str, **config: Any) -> Step:
    return Step(Verb.SET, ("networks", network, "connect"), {}, {"Container": container, "EndpointConfig": config})


IPV6 = [
    _network("unused", {"Subnet": "2001:389::/64"}),
    _network(
        "both",
        {"Subnet": "2001:38a::/64", "IPRange": "2001:38a::/96", "Gateway": "2001:38a::ffff"},
        {"Subnet": "10.88.0.0/24"},
        EnableIPv6=True,
    ),
    _network("six", {"Subnet": "2001:38c::/64"}, EnableIPv6=True),
    _network("none1", EnableIPv6=True),
    _network("taken", {"Subnet": "2001:38a::/80"}, EnableIPv6=True),
    _network("gateway", {"Subnet": "2001:38f::/64", "Gateway": "10.0.0.1"}, EnableIPv6=True),
    _network("nonsense", {"Subnet": "2001:38f::/64", "Gateway": "nonsense"}, EnableIPv6=True),
    _network("range", {"Subnet": "10.90.0.0/24", "IPRange": "10.90.0.128/25"}),
    _network("two", {"Subnet": "10.91.0.0/24"}, {"Subnet": "10.92.0.0/24"}),
    _network("reserved", {"Subnet": "10.94.0.0/24", "AuxiliaryAddresses": {"host": "10.94.0.2"}}),
    *(create(f"in_{each}", "sleep", "1000", HostConfig={"NetworkMode": each}) for each in ("unused", "both", "six")),
    *(create(f"in_{each}", "sleep", "1000", HostConfig={"NetworkMode": each}) for each in ("range", "reserved")),
    *(start(f"in_{each}") for each in ("unused", "both", "six", "range", "reserved")),
    *(Step(Verb.GET, ("networks", each)) for each in ("unused", "both", "six", "range", "reserved")),
    *(Step(Verb.GET, ("containers", f"in_{each}")) for each in ("unused", "both", "six", "range", "reserved")),
    create("one", "sleep", "1000"),
    start("one"),
    _connect("both", "one", IPAMConfig={"IPv6Address": "2001:38a::f00d", "IPv4Address": "10.88.0.77"}),
    _connect("unused", "one", IPAMConfig={"IPv6Address": "2001:389::f00d"}),
    _connect("bridge", "in_six", IPAMConfig={"IPv6Address": "2001:389::f00d"}),
    _connect("range", "in_six", IPAMConfig={"IPv6Address": "2001:389::f00d"}),
    Step(Verb.GET, ("containers", "one")),
    Step(Verb.SET, ("networks", "both", "disconnect"), {}, {"Container": "one"}),
    create("mac", "sleep", "1000", MacAddress="02:42:ac:00:00:99"),
    _connect("six", "mac", MacAddress="02:42:ac:00:00:98", Links=["one:other"]),
    Step(Verb.GET, ("containers", "mac")),
    start("mac"),
    Step(Verb.GET, ("containers", "mac")),
]


@pytest.mark.parametrize(
    "script",
    [LIFE, ENDS, RESTARTED, NETWORKS, PORTS, IMAGES, VOLUMES, BINDS, PRUNED, LINKS, IPV6],
    ids=[*("life", "ends", "restarted", "networks", "ports", "images", "volumes", "binds", "pruned", "links", "ipv6")],
)
async def test_a_life_is_the_same_on_both(script: list[Step], real: Engine) -> None:
    await hold(real, script)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(script=scripts.scripts)
def test_any_calls_are_answered_as_an_engine_answers_them(script: list[Step], real: Engine) -> None:
    trio.run(hold, real, script)


async def test_the_comparison_sees_a_difference() -> None:
    wish = create("one", "sleep", "1000", HostConfig={"NanoCpus": 3_000_000_000})
    async with connect("simulator --cpus 2") as two, connect("simulator --cpus 4") as four:
        with pytest.raises(AssertionError, match=r"Range of CPUs is from 0\.01 to 2\.00"):
            await compare([wish], Side(two), Side(four))
