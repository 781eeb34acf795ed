"""A cluster is held to a real engine, as the simulator is: the same scripts on both, and all answers compared.

What may differ is named by `ClusterSide`, and in docs/kubernetes.md.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

from swarmlib import Client, Verb, connect
from tests.backends.kubernetes.conftest import Place
from tests.backends.simulator.test_differential import UNLINKED, change, create, kill, remove, start, wait
from tests.support.cluster import Cluster
from tests.support.differential import Side, Step, compare
from tests.support.engines import Engine, busybox_tar, docker, engine, free_port
from tests.support.registries import registry
from tests.support.scripts import LIST_FILTERS

pytestmark = pytest.mark.engine

_ADDRESSES = {"Gateway", "IPAddress", "IPPrefixLen", "IPv4Address", "MacAddress"}
_OWN = {*_ADDRESSES, "ImageID", "LogConfig", "IPAM", "Options"}
"""The cluster gives addresses and keeps logs; images are known by the digests of their manifests; networks have neither
pools nor options."""


class ClusterSide(Side):
    """A side of which only that is compared which a cluster can have as an engine has it."""

    def __init__(self, client: Client, image: str) -> None:
        super().__init__(client)
        self._image = image

    def tells(self, event: dict[str, Any]) -> bool:
        """A container that ends before a kubelet has looked was never seen in its networks."""
        return event["Type"] != "network" or event["Action"] in ("create", "destroy")

    def plain(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            value = {name: each for name, each in value.items() if name not in _OWN and not _is_digest(name, each)}
        return super().plain(value, key)

    def _substituted(self, part: str) -> str:
        return self._image if part == "busybox" else super()._substituted(part)


def _is_digest(name: str, value: Any) -> bool:
    return name == "Image" and str(value).startswith("sha256:")


@pytest.fixture(scope="module")
def real() -> Iterator[Engine]:
    """An engine of its own: each script begins with nothing on it."""
    with engine() as started:
        yield started


@pytest.fixture(scope="module")
def filled_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with a busybox."""
    options = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    folder = tmp_path_factory.mktemp("registry")
    with registry(folder, password=False) as address, engine(options, namespaces="-m") as pushing:
        docker(pushing.host, "tag", "busybox", f"{address}/busybox:1", check=True)
        docker(pushing.host, "push", f"{address}/busybox:1", check=True)
        yield address


@pytest.fixture
def image(place: Place, real: Engine, request: pytest.FixtureRequest) -> str:
    """A busybox that both sides have by the same name."""
    if place.fake is None:
        cluster: Cluster = request.getfixturevalue("cluster")
        image = f"{cluster.registry()}/busybox:1"
        own = ("-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin")  # as it is in that registry
        docker(real.host, "import", *own, "-", image, input=busybox_tar(), check=True)
    else:
        image = f"{request.getfixturevalue('filled_registry')}/busybox:1"
        docker(real.host, "tag", "busybox", image, check=True)
    return image


@pytest.fixture
async def sides(place: Place, real: Engine, image: str) -> AsyncIterator[tuple[ClusterSide, ClusterSide]]:
    """The engine and the cluster, without containers."""
    stage = f"kubernetes --kubeconfig {place.kubeconfig} --tools-image busybox:1"
    async with connect(f"docker {real.host}") as client, connect(stage) as cluster:
        found = ClusterSide(client, image), ClusterSide(cluster, image)
        for side in found:
            await emptied(side.client)
        yield found


async def emptied(client: Client) -> None:
    for each in await client.ls(all="1"):
        await client.rm("containers", each["Id"], force="1", v="1")
    for each in await client.ls("networks"):
        if each["Name"] not in ("bridge", "host", "none"):
            await client.rm("networks", each["Id"])


def ls(what: str = "containers", **params: Any) -> Step:
    kind = "value" if what == "containers" else "unordered"  # an engine's order of other objects is by chance
    return Step(Verb.LS, (what,), {name: _param(value) for name, value in params.items()}, kind=kind)


def _param(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def network(name: str, **more: Any) -> Step:
    return Step(Verb.SPAWN, ("networks",), {}, {"Name": name, **more})


def joins(name: str, container: str, *aliases: str) -> Step:
    config = {"EndpointConfig": {"Aliases": list(aliases)}} if aliases else {}
    return Step(Verb.SET, ("networks", name, "connect"), {}, {"Container": container, **config})


def leaves(name: str, container: str) -> Step:
    return Step(Verb.SET, ("networks", name, "disconnect"), {}, {"Container": container})


LIFE = [
    create("one", "sleep", "1000"),
    start("one"),
    start("one"),
    change("one", "pause"),
    change("one", "pause"),
    remove("one"),
    change("one", "unpause"),
    change("one", "unpause"),
    kill("one"),
    kill("one"),
    change("one", "pause"),
    change("one", "rename", name="two"),
    change("two", "rename", name="two"),
    Step(Verb.STOP, ("containers", "two"), {"t": "0"}),
    create("two", "true"),
    create("-", "true"),
    start("nosuch"),
    kill("two", "NOSUCH"),
    kill("two", "99"),
    remove("two"),
    remove("two", force="1"),
]
ENDS = [
    create("one", "sh", "-c", "echo out; exit 3"),
    start("one"),
    wait("one"),
    Step(Verb.CONNECT, ("containers", "one", "logs"), {"stdout": "1", "stderr": "1"}, kind="lines"),
    create("gone", "true", HostConfig={"AutoRemove": True}),
    start("gone"),
    create("gone", "nosuch", HostConfig={"AutoRemove": True}),
    start("gone"),
    create("lost", "nosuch"),
    start("lost"),
    Step(Verb.RM, ("containers",)),
]
NETWORKS = [
    create("one", "sleep", "1000"),
    create("two", "sleep", "1000", HostConfig={"NetworkMode": "net"}),
    start("two"),
    network("net", Labels={"a": "b"}),
    network("net", CheckDuplicate=True),
    network("bridge"),
    create("linked", "true", HostConfig={"NetworkMode": "net", "Links": ["one:x", "nosuch"]}),
    start("two"),
    joins("net", "one", "db"),
    start("one"),
    joins("net", "one"),
    joins("nosuch", "one"),
    Step(Verb.RM, ("networks", "net")),
    leaves("net", "one"),
    leaves("net", "one"),
    remove("two", force="1"),
    remove("linked"),
    Step(Verb.RM, ("networks", "net")),
    Step(Verb.RM, ("networks", "bridge")),
    Step(Verb.RM, ("networks", "nosuch")),
]
_LINKED: dict[str, Any] = {f"{port}/{protocol}": {} for port in (79, 80, 81, 443) for protocol in ("tcp", "udp")}
_TOLD = "env | grep -v :// | grep -v _ADDR= | grep LINK | sort"
"""The variables that links make but those with addresses, which clusters give."""
LINKS = [
    create("web", "sleep", "1000", Env=["FOO=1", "BAR=a 'b'", "HOME=/x"], ExposedPorts=_LINKED, Hostname="host"),
    start("web"),
    create("told", "sh", "-c", _TOLD, Env=["LINK1_ENV_FOO=own"], HostConfig={"Links": ["web:link1", "web:my-link"]}),
    start("told"),
    wait("told"),
    Step(Verb.CONNECT, ("containers", "told", "logs"), {"stdout": "1"}, kind="lines"),
    create("linked", "sleep", "1000", HostConfig={"Links": ["/web:/other/db", "web:second"]}),
    start("linked"),
    Step(Verb.GET, ("containers", "linked")),
    Step(Verb.GET, ("containers", "linked/db")),
    ls(),
    *UNLINKED,
    create("bad", "true", HostConfig={"Links": ["served:x"], "NetworkMode": "host"}),
    remove("served", force="1"),
]
_PORT = str(free_port())
_EXPOSED: dict[str, Any] = {"80/tcp": {}, "90/udp": {}}
_PUBLISHED = {"NetworkMode": "net", "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": _PORT}]}}
_MORE_FILTERS: list[dict[str, Any]] = [
    {"network": ["n"]},
    {"publish": [_PORT]},
    {"publish": [f"{int(_PORT) - 50}-{_PORT}"]},
    {"publish": ["x"]},
    {"expose": ["70-80"]},
    {"ancestor": ["sha256:" + "0" * 64]},
    {"since": ["one"], "before": ["three"]},
    {"exited": ["3"], "status": ["exited"]},
    {"volume": ["nosuch"]},
    {"health": ["none"]},
]
_FILTERS = [each for each in (*LIST_FILTERS, *_MORE_FILTERS) if each != {"ancestor": ["busybox"]}]
LISTS = [
    network("net"),
    create("one", "sleep", "1000", Labels={"tier": "web"}, ExposedPorts=_EXPOSED, HostConfig=_PUBLISHED),
    start("one"),
    create("two", "sh", "-c", "exit 3", Labels={"tier": "db", "x": ""}),
    start("two"),
    wait("two"),
    create("three", "true"),
    *(ls(filters=each) for each in _FILTERS),
    *(ls(filters=each, all="1") for each in _FILTERS),
    ls(limit="1"),
    ls(limit="2", all="1"),
    *(ls("networks", filters=each) for each in ({"driver": ["bridge"]}, {"name": ["ne"]}, {"type": ["custom"]})),
]


@pytest.mark.parametrize("place", ["1.35", pytest.param("real", marks=pytest.mark.cluster)], indirect=True)
@pytest.mark.parametrize(
    "script", [LIFE, ENDS, NETWORKS, LINKS, LISTS], ids=["life", "ends", "networks", "links", "lists"]
)
async def test_a_life_is_the_same_on_both(script: list[Step], sides: tuple[ClusterSide, ClusterSide]) -> None:
    await compare(script, *sides)
