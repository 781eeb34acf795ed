"""Scripts of calls for the differential test: they share few names, so that calls interact, and make all mistakes."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st

from swarmlib import Verb
from tests.support.differential import BROKEN, Step

NAMES = ("one", "two")
LONG = ["sleep", "1000"]
SHORT = (
    ["true"],
    ["false"],
    ["echo", "hello"],
    ["sh", "-c", "echo out; echo err >&2; exit 3"],
    ["sh", "-c", "printf a; printf b; echo; echo c && echo d || echo e"],
    ["sh", "-c", "nosuch"],
    ["cat"],
    ["sh", "-c", "echo $A $B; test -f /nosuch || exit 9"],
)
REFS = (*NAMES, "@one", "@one:20", "nosuch", "0" * 64)
SIGNALS = ("KILL", "SIGKILL", "9", "TERM", "SIGTERM", "15", "HUP", "USR1", "INT", "NOSUCH", "0", "99")
HOSTS: tuple[dict[str, Any], ...] = (
    {},
    {"NetworkMode": "host"},
    {"NetworkMode": "none"},
    {"NetworkMode": "net"},
    {"NetworkMode": "container:one"},
    {"NetworkMode": "container:nosuch"},
    {"AutoRemove": True},
    {"Memory": 50_000_000},
    {"Memory": 1000},
    {"Memory": 50_000_000, "MemorySwap": 10_000_000},
    {"MemorySwap": 10_000_000},
    {"NanoCpus": 1_500_000_000},
    {"NanoCpus": 99_000_000_000},
    {"NanoCpus": -1},
    {"CpusetCpus": "0"},
    {"CpusetCpus": "77"},
    {"CpusetCpus": "x"},
    {"RestartPolicy": {"Name": "no"}},
    {"RestartPolicy": {"Name": "oops"}},
    {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 2}},
    {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -2}},
    {"AutoRemove": True, "RestartPolicy": {"Name": "always"}},
    {"Binds": ["vol:/data"]},
    {"Binds": ["vol:/data:ro", "/tmp:/host"]},
    {"Binds": ["vol:data"]},
    {"Mounts": [{"Type": "volume", "Source": "vol", "Target": "/data"}]},
    {"Mounts": [{"Type": "volume", "Target": "/data"}]},
    {"Mounts": [{"Type": "tmpfs", "Target": "/data"}]},
    {"Mounts": [{"Type": "oops", "Target": "/data"}]},
    {"Mounts": [{"Type": "volume", "Target": "data"}]},
    {"VolumesFrom": ["one"]},
    {"VolumesFrom": ["nosuch"]},
    {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
    {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}},
    {"PortBindings": {"80/tcp": [{"HostPort": "x"}]}},
    {"ShmSize": -1},
)
EXTRAS: tuple[dict[str, Any], ...] = (
    {},
    {"Labels": {"tier": "web"}},
    {"Labels": {"tier": "db", "x": ""}},
    {"Env": ["A=1", "B=2"]},
    {"Env": ["=oops"]},
    {"ExposedPorts": {"80/tcp": {}, "90/udp": {}}},
    {"Volumes": {"/anonymous": {}}},
    {"Hostname": "box"},
    {"WorkingDir": "/tmp"},
    {"WorkingDir": "relative"},
    {"User": "nosuch"},
    {"User": "root"},
    {"StopSignal": "SIGUSR1"},
    {"StopSignal": "oops"},
    {"Tty": True},
    {"Entrypoint": ["echo", "entry"]},
    {"Entrypoint": []},
    {"Healthcheck": {"Test": ["NONE"]}},
    {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 5}},
    {"Healthcheck": {"Test": ["CMD", "true"], "Retries": -5}},
    {"Domainname": "example.org"},
    {"NetworkingConfig": {"EndpointsConfig": {"net": {"Aliases": ["alias"]}}}},
    {"NetworkingConfig": {"EndpointsConfig": {"net": {}, "bridge": {}}}},
)
LIST_FILTERS: tuple[Any, ...] = (
    {"status": ["running"]},
    {"status": ["exited", "created"]},
    {"status": ["oops"]},
    {"exited": ["0"]},
    {"exited": ["137", "3"]},
    {"exited": ["x"]},
    {"name": ["on"]},
    {"name": ["^one$"]},
    {"name": ["/two"]},
    {"name": ["nosuch"]},
    {"label": ["tier"]},
    {"label": ["tier=web"]},
    {"label": ["tier", "x"]},
    {"ancestor": ["busybox"]},
    {"ancestor": ["nosuch"]},
    {"before": ["one"]},
    {"since": ["one"]},
    {"since": ["nosuch"]},
    {"network": ["bridge"]},
    {"network": ["net"]},
    {"volume": ["vol"]},
    {"volume": ["/data"]},
    {"publish": ["8080"]},
    {"publish": ["80"]},
    {"expose": ["80/tcp"]},
    {"expose": ["10-90/udp"]},
    {"health": ["none"]},
    {"health": ["oops"]},
    {"is-task": ["true"]},
    {"is-task": ["oops"]},
    {"oops": ["x"]},
)
UPDATES: tuple[dict[str, Any], ...] = (
    {},
    {"Memory": 60_000_000},
    {"Memory": 60_000_000, "MemorySwap": 120_000_000},
    {"Memory": 1},
    {"NanoCpus": 99_000_000_000},
    {"CpuShares": 512},
    {"RestartPolicy": {"Name": "oops"}},
    {"RestartPolicy": {"Name": "no"}},
)
EXECS: tuple[dict[str, Any], ...] = (
    {"Cmd": ["echo", "in"], "AttachStdout": True},
    {"Cmd": ["sh", "-c", "echo out; echo err >&2; exit 4"], "AttachStdout": True, "AttachStderr": True},
    {"Cmd": ["sh", "-c", "echo out; echo err >&2"], "AttachStderr": True},
    {"Cmd": ["nosuch"], "AttachStdout": True, "AttachStderr": True},
    {"Cmd": ["echo", "tty"], "AttachStdout": True, "Tty": True},
    {"Cmd": ["sh", "-c", "echo $E $A"], "AttachStdout": True, "Env": ["E=5"]},
    {"Cmd": []},
    {},
)


def filters(value: Any) -> dict[str, str]:
    return {"filters": orjson.dumps(value).decode()}


def of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


names = st.sampled_from(NAMES)
refs = st.sampled_from((*NAMES * 4, *REFS))
_images = of(*("busybox",) * 12, "nosuch", "busybox:latest", "UPPER", "@busybox:latest")
_commands = st.one_of(of(LONG), of(LONG), st.sampled_from(SHORT), st.sampled_from([[name] for name in BROKEN]))


@st.composite
def _creates(draw: st.DrawFn, *, plain: bool = False) -> list[Step]:
    host = {} if plain else draw(st.one_of(of({}), st.sampled_from(HOSTS)))
    extra = {} if plain else draw(st.one_of(of({}), st.sampled_from(EXTRAS)))
    command = draw(_commands)
    if extra.get("Tty") and command == ["cat"]:
        command = ["true"]  # a terminal without a user has no end
    body = {"Image": "busybox" if plain else draw(_images), "Cmd": command, "HostConfig": host, **extra}
    return [Step(Verb.SPAWN, ("containers",), {"name": draw(names)}, body)]


def _on(
    verb: Verb, *path: str, args: st.SearchStrategy[Any] | None = None, **more: Any
) -> st.SearchStrategy[list[Step]]:
    """A call on some container."""
    body = more.pop("body", st.none())
    return st.builds(
        lambda ref, given, value: [Step(verb, ("containers", ref, *path), given, value, **more)],
        refs,
        of({}) if args is None else args,
        body,
    )


def _runs(ref: str) -> list[Step]:
    """Run it to its end, if it is one that ends by itself; the harness waits for nothing else."""
    return [Step(Verb.START, ("containers", ref)), Step(Verb.WATCH, ("containers", ref, "wait"), kind="wait")]


def _exec(ref: str, body: dict[str, Any]) -> list[Step]:
    kind = "raw" if body.get("Tty") else "lines"
    start = Step(Verb.CONNECT, ("exec", "@exec"), {}, {"Detach": False, "Tty": bool(body.get("Tty"))}, kind=kind)
    return [
        Step(Verb.SPAWN, ("containers", ref, "exec"), {}, body),
        start,
        Step(Verb.GET, ("exec", "@exec")),
    ]


_logs = of(
    {"stdout": "1"}, {"stderr": "1"}, {"stdout": "1", "stderr": "1"}, {"stdout": "1", "stderr": "1", "tail": "1"}, {},
    {"stdout": "1", "tail": "0"}, {"stdout": "1", "since": "oops"}, {"stdout": "1", "since": "99999999999"},
)  # fmt: skip
_graces = of({"t": "0"})
_archives = of({"path": "/etc"}, {"path": "/tmp"}, {"path": "/nosuch"}, {"path": "/tmp/file"}, {})

_containers = st.one_of(
    _creates(),
    _creates(),
    _creates(plain=True),
    st.builds(_runs, refs),
    st.builds(_runs, refs),
    _on(Verb.STOP, args=_graces),
    _on(Verb.STOP, "kill", args=st.sampled_from(SIGNALS).map(lambda name: {"signal": name})),
    _on(Verb.SET, "restart", args=_graces),
    _on(Verb.SET, "pause"),
    _on(Verb.SET, "unpause"),
    _on(Verb.SET, "rename", args=of({"name": "one"}, {"name": "two"}, {"name": "a b"}, {}, {"name": "x"})),
    _on(Verb.RM, args=of({}, {"force": "1"}, {"v": "1"}, {"force": "1", "v": "1"})),
    _on(Verb.SET, "update", body=st.sampled_from(UPDATES)),
    _on(Verb.SET, "resize", args=of({"h": "10", "w": "20"}, {"h": "x", "w": "1"})),
    _on(Verb.GET, "top", kind="top"),
    _on(Verb.GET, "changes"),
    _on(Verb.GET, "archive", args=of({"path": "/tmp"}, {"path": "/nosuch"}, {})),
    _on(Verb.CONNECT, "logs", args=_logs, kind="lines"),
    _on(Verb.WATCH, "wait", args=of({}, {"condition": "not-running"}, {"condition": "oops"}), kind="wait"),
    _on(Verb.FILE, "archive", args=_archives, kind="tar"),
    _on(Verb.FILE, "archive", args=of({"path": "/tmp"}, {"path": "/nosuch"}), upload=True),
    st.builds(_exec, refs, st.sampled_from(EXECS)),
    of([Step(Verb.RM, ("containers",))], [Step(Verb.RM, ("containers",), filters({"label": ["tier=web"]}))]),
    st.sampled_from(LIST_FILTERS).map(lambda each: [Step(Verb.LS, ("containers",), {"all": "1", **filters(each)})]),
    of({}, {"limit": "1"}, {"limit": "x"}, {"limit": "-1"}).map(lambda args: [Step(Verb.LS, ("containers",), args)]),
)

_NETWORKS: tuple[dict[str, Any], ...] = (
    {"Name": "net", "CheckDuplicate": True},
    {"Name": "net", "CheckDuplicate": True, "Labels": {"k": "v"}, "Internal": True},
    {"Name": "other", "CheckDuplicate": True, "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}},
    {"Name": "net", "CheckDuplicate": True, "IPAM": {"Config": [{"Subnet": "10.77.0.0/16", "Gateway": "10.77.0.1"}]}},
    {"Name": "other", "IPAM": {"Config": [{"Subnet": "x"}]}},
    {"Name": "bridge"},
    {"Name": ""},
    {"Name": "other", "Driver": "host"},
    {"Name": "other", "Driver": "nosuch"},
    {"Name": "other", "Driver": "overlay"},
)
_ENDPOINTS: tuple[dict[str, Any], ...] = (
    {},
    {"Aliases": ["alias"]},
    {"IPAMConfig": {"IPv4Address": "10.77.0.99"}},
)
_networks_named = of("net", "net", "other", "bridge", "host", "none", "nosuch")
_NETWORK_FILTERS: tuple[Any, ...] = (
    {},
    {"name": ["net"]},
    {"driver": ["bridge"]},
    {"type": ["custom"]},
    {"type": ["oops"]},
    {"dangling": ["true"]},
    {"dangling": ["oops"]},
    {"label": ["k=v"]},
    {"scope": ["local"]},
    {"oops": ["x"]},
)
_VOLUMES: tuple[dict[str, Any], ...] = (
    {"Name": "vol"},
    {"Name": "vol", "Labels": {"k": "v"}},
    {"Name": "v"},
    {"Name": "a/b"},
    {"Name": "vol", "Driver": "nosuch"},
    {"Name": "vol", "DriverOpts": {"oops": "1"}},
)
_VOLUME_FILTERS: tuple[Any, ...] = (
    {"dangling": ["true"]},
    {"dangling": ["oops"]},
    {"name": ["vo"]},
    {"label": ["k=v"]},
    {"driver": ["local"]},
    {"oops": ["x"]},
)
_IMAGE_FILTERS: tuple[Any, ...] = (
    {"dangling": ["true"]},
    {"dangling": ["oops"]},
    {"reference": ["tag*"]},
    {"reference": ["busybox"]},
    {"before": ["nosuch"]},
    {"label": ["k"]},
    {"oops": ["x"]},
)


def _connect(network: str, container: str, given: dict[str, Any]) -> list[Step]:
    body = {"Container": container, "EndpointConfig": given}
    return [Step(Verb.SET, ("networks", network, "connect"), {}, body)]


def _disconnect(network: str, container: str) -> list[Step]:
    return [Step(Verb.SET, ("networks", network, "disconnect"), {}, {"Container": container})]


def _listed(place: str, kind: str = "value") -> Any:
    return lambda each: [Step(Verb.LS, (place,), filters(each), kind=kind)]


def _tag(ref: str, repo: str, tag: str) -> list[Step]:
    return [Step(Verb.SET, ("images", ref, "tag"), {"repo": repo, "tag": tag})]


def _commit(ref: str, body: dict[str, Any]) -> list[Step]:
    return [Step(Verb.SPAWN, ("commit",), {"container": ref, "repo": "committed", "comment": "c"}, body)]


_networks = st.one_of(
    st.sampled_from(_NETWORKS).map(lambda body: [Step(Verb.SPAWN, ("networks",), {}, body)]),
    of([Step(Verb.SPAWN, ("networks",), {}, _NETWORKS[0])], [Step(Verb.RM, ("networks",))]),
    _networks_named.map(lambda name: [Step(Verb.RM, ("networks", name))]),
    st.builds(_connect, _networks_named, of(*NAMES, "nosuch"), st.sampled_from(_ENDPOINTS)),
    st.builds(_disconnect, _networks_named, of(*NAMES, "nosuch")),
    st.sampled_from(_NETWORK_FILTERS).map(_listed("networks", "unordered")),
)
_volumes_named = of("vol", "nosuch")
_volumes = st.one_of(
    st.sampled_from(_VOLUMES).map(lambda body: [Step(Verb.SPAWN, ("volumes",), {}, body)]),
    st.builds(lambda name, args: [Step(Verb.RM, ("volumes", name), args)], _volumes_named, of({}, {"force": "1"})),
    _volumes_named.map(lambda name: [Step(Verb.GET, ("volumes", name))]),
    of([Step(Verb.RM, ("volumes",))]),
    st.sampled_from(_VOLUME_FILTERS).map(_listed("volumes")),
)
_image_refs = of("busybox", "tagged:one", "tagged", "other", "committed", "nosuch", "UPPER", "@tagged:one")
_removed_refs = of("tagged:one", "tagged:two", "other:one", "committed", "nosuch")
_images_calls = st.one_of(
    st.builds(_tag, of("busybox", "busybox", "tagged:one", "nosuch"), of("tagged", "other", "UPPER"), of("one", "two")),
    _removed_refs.map(lambda ref: [Step(Verb.RM, ("images", ref))]),
    _image_refs.map(lambda ref: [Step(Verb.GET, ("images", ref), kind="image")]),
    of("busybox", "tagged:one", "nosuch").map(lambda ref: [Step(Verb.GET, ("images", ref, "history"))]),
    st.builds(_commit, names, of({}, {"Labels": {"k": "v"}, "Cmd": ["true"]})),
    st.sampled_from(_IMAGE_FILTERS).map(_listed("images")),
    of([Step(Verb.RM, ("images",))]),
)

_calls = st.one_of(_containers, _containers, _containers, _networks, _volumes, _images_calls)
scripts = st.builds(
    lambda first, rest: [step for call in (first, *rest) for step in call],
    _creates(plain=True),
    st.lists(_calls, min_size=4, max_size=12),
)
"""Scripts; the first call makes a container that an engine makes."""
