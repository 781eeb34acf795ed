"""What a creation asks for in canonical form, and what an engine made of the same bytes: they agree on every field.

python -m tests.bench.made --minutes 10
python -m tests.bench.made --seed 4711            one body, with all that was seen of it

Bodies have values for every field of a container that an engine shows again, in all the spellings that Go takes for the
same. A field that a body does not set must be as in an object for which nothing was asked.
`CHANGED` lists the fields that an engine makes something else of, each with its reason. No container is started.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Final, cast

from swarmlib import Json, Request, SwarmError, Verb
from swarmlib_backends.dockerapi import schema
from swarmlib_backends.dockerapi.canonical import canonical
from tests.bench.attack_bodies import folded, object_of
from tests.support.engines import engine
from tests.support.same_answers import Place

SHIPPED: Final[Mapping[str, Any]] = json.loads(schema.DATA.read_text())
TYPES: Final[Mapping[str, Any]] = SHIPPED["types"]

_NANOSECONDS: Final = [0, 1_000_000, 5_000_000_000]
_TEXTS: Final = ["", "a", "\u017f\u212a", "\U0001f680", "two words", "\\u0041"]
_MAPS: Final = [{}, {"a": "1"}, {"A": "1", "a": "2"}, {"\u017f": "", "k": "\u212a"}]
_LISTS: Final = [[], None, ["A=1"], ["A=1", "a=2", "A=3"], ["\u212a=\u017f"]]
_RATES: Final = [[], [{"Path": "/dev/null", "Rate": 1024}], [{"Path": "/dev/zero", "Rate": 1}]]
_FLAG: Final = [True, False, None]

VALUES: Final[Mapping[str, list[Any]]] = {
    "Hostname": ["", "h", "host-1"],
    "Domainname": ["", "example.org"],
    "User": ["", "root", "0:0", "nobody"],
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), _FLAG),
    **dict.fromkeys(("NetworkDisabled", "ArgsEscaped"), _FLAG),
    "ExposedPorts": [{}, {"80/tcp": {}}, {"53/udp": {}, "80/tcp": None}],
    "Env": _LISTS,
    "Cmd": [["a"], ["b", "c d"], "c", [], None],
    "Entrypoint": [["e"], "e", [], [""], None],
    "Shell": [["/bin/sh", "-c"], "sh", []],
    "OnBuild": [["RUN true"], []],
    "Healthcheck": [
        {"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Retries": 2},
        {"Test": ["NONE"]},
        {"TEST": ["CMD-SHELL", "x"], "timeout": 2_000_000_000, "StartPeriod": 1_000_000},
    ],
    "Volumes": [{}, {"/v": {}}, {"/v": None, "/w": {}}],
    "WorkingDir": ["", "/a", "/a/b"],
    "MacAddress": ["", "02:42:ac:11:00:09"],
    "Labels": _MAPS,
    "StopSignal": ["", "SIGINT", "9"],
    "StopTimeout": [0, 5, -1, None],
}
"""What is asked for of a container, by the field."""
HOST: Final[Mapping[str, list[Any]]] = {
    "CpuShares": [0, 2, 1024],
    "Memory": [0, 8 << 20],
    "MemoryReservation": [0, 7 << 20],
    "MemorySwap": [0, -1, 16 << 20],
    "MemorySwappiness": [-1, 0, 50, None],
    "KernelMemory": [0, 6 << 20],
    "KernelMemoryTCP": [0, 6 << 20],
    "CgroupParent": ["", "/parent"],
    "BlkioWeight": [0, 10, 500],
    "BlkioWeightDevice": [[], [{"Path": "/dev/null", "Weight": 20}]],
    **dict.fromkeys(
        ("BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"), _RATES
    ),
    "CpuPeriod": [0, 100000],
    "CpuQuota": [0, 50000],
    "CpuRealtimePeriod": [0, 1000000],
    "CpuRealtimeRuntime": [0, 1000],
    "CpusetCpus": ["", "0"],
    "CpusetMems": ["", "0"],
    "NanoCpus": [0, 500_000_000],
    "Devices": [[], [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "cgrouppermissions": "rw"}]],
    "DeviceCgroupRules": [[], ["c 1:3 rwm"]],
    "DeviceRequests": [[], [{"Driver": "none", "count": -1, "Capabilities": [["gpu", "x"]], "DeviceIDs": None}]],
    "OomKillDisable": _FLAG,
    "Init": _FLAG,
    "PidsLimit": [0, 10, -1, None],
    "Ulimits": [[], [{"Name": "nofile", "Soft": 10, "Hard": 20}]],
    "CpuCount": [0, 1],
    "CpuPercent": [0, 1],
    "IOMaximumIOps": [0, 1],
    "IOMaximumBandwidth": [0, 1],
    "Binds": [[], None, ["/tmp:/b"], ["/etc:/b:ro", "named:/c"], ["/tmp:/b:z,nocopy"]],
    "ContainerIDFile": _TEXTS,
    "LogConfig": [{}, {"Type": "json-file", "Config": {"max-size": "1m"}}, {"type": "none", "config": None}],
    "NetworkMode": ["", "none", "host", "bridge", "default"],
    "PortBindings": [{}, {"80/tcp": [{"HostPort": "8080"}]}, {"53/udp": [{"HostIp": "127.0.0.1"}, {}], "1/tcp": None}],
    "RestartPolicy": [{}, {"Name": "always"}, {"name": "on-failure", "MAXIMUMRETRYCOUNT": 3}, {"Name": "no"}],
    "AutoRemove": _FLAG,
    "VolumeDriver": ["", "local"],
    "VolumesFrom": [[], ["other"], ["other:ro"]],
    "Mounts": [
        [],
        [
            {
                "Type": "bind",
                "Source": "/tmp",
                "Target": "/m",
                "readonly": True,
                "BindOptions": {"Propagation": "rprivate"},
            }
        ],
        [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096, "MODE": 448}}],
        [{"Type": "volume", "Source": "vol", "Target": "/m", "VolumeOptions": {"NoCopy": True, "labels": {"A": "a"}}}],
        [
            {
                "TYPE": "volume",
                "Target": "/m",
                "volumeoptions": {"DriverConfig": {"Name": "local", "Options": {"type": "tmpfs"}}},
            }
        ],
    ],
    "CapAdd": [[], ["SYS_ADMIN"], "NET_ADMIN", ["cap_chown", "ALL"]],
    "CapDrop": [[], ["CHOWN"], "all"],
    "CgroupnsMode": ["", "host", "private"],
    "Dns": [[], ["9.9.9.9"]],
    "DnsOptions": [[], ["ndots:1"]],
    "DnsSearch": [[], ["example.org"], ["."]],
    "ExtraHosts": [[], ["a:10.0.0.1"], ["b:host-gateway"]],
    "GroupAdd": [[], ["5", "wheel"]],
    "IpcMode": ["", "host", "none", "private", "shareable", "container:other"],
    "Cgroup": ["", "x"],
    "Links": [[], ["other:db"]],
    "OomScoreAdj": [0, 500, -500],
    "PidMode": ["", "host", "container:other"],
    "Privileged": _FLAG,
    "PublishAllPorts": _FLAG,
    "ReadonlyRootfs": _FLAG,
    "SecurityOpt": [[], ["no-new-privileges"], ["seccomp=unconfined", "label=disable"]],
    "StorageOpt": [{}, None],
    "Tmpfs": [{}, {"/t": "size=1m"}, {"/t": "", "/u": "ro"}],
    "UTSMode": ["", "host"],
    "UsernsMode": ["", "host"],
    "ShmSize": [0, 1 << 20],
    "Sysctls": [{}, {"net.ipv4.ip_forward": "1"}],
    "Runtime": ["", "runc"],
    "ConsoleSize": [[0, 0], [24, 80]],
    "Isolation": ["", "default"],
    "MaskedPaths": [None, [], ["/proc/x"]],
    "ReadonlyPaths": [None, [], ["/proc/y"]],
}
"""What is asked for in a container's HostConfig, by the field."""
ENDPOINTS: Final[list[Any]] = [
    {},
    {"EndpointsConfig": {"app": {"Aliases": ["x", "y"], "IPAMConfig": {"IPv4Address": "10.77.0.9"}}}},
    {"endpointsconfig": {"app": {"links": ["other:db"], "DriverOpts": {"a": "b"}}}},
]
"""What is asked for as NetworkingConfig; then the container is in the network `app`."""


# The bodies.


@dataclass(frozen=True)
class Asked:
    """A creation as it is sent."""

    seed: int
    raw: bytes

    def canonical(self) -> dict[str, Any]:
        """The body's canonical form. Raises SwarmError where it is refused."""
        return cast("dict[str, Any]", canonical(Request(Verb.SPAWN, ("containers",), {}, Json(self.raw))).json)


def asked_of(seed: int) -> Asked:
    """The body of a seed: some fields, respelt, some of them twice; those of HostConfig at the top level now and then.

    They never are at both places: there an engine ignores most of what is at the top level, while the canonical form,
    which is what the gateway sends, has it inside.
    """
    random = Random(seed)
    top = _fields(random, VALUES, random.randint(0, 5))
    host = _fields(random, HOST, random.randint(0, 6))
    if random.random() < 0.2:
        host.append((folded(random, "NetworkMode"), '"app"'))
        top.append((folded(random, "NetworkingConfig"), _respelt(random, random.choice(ENDPOINTS))))
    top.append(("Image", '"busybox"'))
    if random.random() < 0.1:
        top += host
    else:
        hosts = [host[:1], host[1:]] if random.random() < 0.05 else [host]
        top += [(folded(random, "HostConfig"), object_of(random, each)) for each in hosts]
    if random.random() < 0.05:
        top += _fields(random, VALUES, 2)
    random.shuffle(top)
    return Asked(seed, object_of(random, top).encode("utf-8", "surrogatepass"))


def _fields(random: Random, values: Mapping[str, list[Any]], number: int) -> list[tuple[str, str]]:
    names = random.sample(sorted(values), number)
    return [(folded(random, name), _respelt(random, random.choice(values[name]))) for name in names]


def _respelt(random: Random, value: Any) -> str:
    return json.dumps(value, ensure_ascii=random.random() < 0.5)


# The comparison.

Made = Callable[[Any, Any, Mapping[str, Any]], bool]
"""Whether an engine may make this of a field: takes what was asked for, what there is, and the whole body."""


def _host(body: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = body.get("HostConfig", {})
    return found


def _unless_asked(*made: Any) -> Made:
    """One of these values, where nothing was asked for."""
    return lambda ours, theirs, _: not ours and theirs in made


def _named_by_the_engine(ours: Any, theirs: Any, body: Mapping[str, Any]) -> bool:
    in_hosts = _host(body).get("NetworkMode") == "host"
    return not ours and (in_hosts or re.fullmatch("[0-9a-f]{12}", theirs) is not None)


def _discarded(ours: Any, theirs: Any, body: Mapping[str, Any]) -> bool:
    return not lean(theirs)


def _unconfined(ours: Any, theirs: Any, body: Mapping[str, Any]) -> bool:
    shared = [_host(body).get(mode, "").partition(":")[0] for mode in ("PidMode", "IpcMode")]
    why = _host(body).get("Privileged") or {"host", "container"} & set(shared)
    return bool(why) and theirs == [*(ours or ()), "label=disable"]


def _of_container(ours: Any, theirs: Any, body: Mapping[str, Any]) -> bool:
    return ours == "container:other" and re.fullmatch("container:[0-9a-f]{64}", theirs) is not None


def _linked(ours: Any, theirs: Any, body: Mapping[str, Any]) -> bool:
    names = [re.sub("^/other:/made[0-9]+/", "other:", each) for each in theirs or ()]
    return names == ours or (not names and _host(body).get("NetworkMode") in ("none", "host", "app"))


def _twice_the_memory(ours: Any, theirs: Any, body: Mapping[str, Any]) -> bool:
    return not ours and theirs == 2 * _host(body).get("Memory", 0)


_SHARED: Final = "a container that shares namespaces, or is privileged, is not confined by SELinux"
_KERNEL: Final = "discarded, with a warning, where the kernel has no such control"
_ID: Final = "the name of the other container becomes its id"

CHANGED: Final[Mapping[str, tuple[Made, str]]] = {
    "Config.Hostname": (_named_by_the_engine, "its short id, or the machine's name in the machine's network"),
    "Config.Cmd": (_unless_asked(None, ["sh"]), "the image's, unless there is an entrypoint"),
    "Config.Entrypoint": (lambda ours, theirs, _: ours == [""] and not theirs, "an empty one resets the image's"),
    "HostConfig.SecurityOpt": (_unconfined, _SHARED),
    "HostConfig.PidMode": (_of_container, _ID),
    "HostConfig.IpcMode": (_of_container, _ID),
    "HostConfig.Links": (_linked, "names are written in full; in other networks than the default, they are not shown"),
    "HostConfig.MemorySwap": (_twice_the_memory, "twice the memory, unless it is asked for"),
    "HostConfig.MemorySwappiness": (lambda ours, theirs, _: ours == -1 and theirs is None, "-1 says that none is set"),
    "HostConfig.PidsLimit": (lambda ours, theirs, _: ours in (0, -1) and theirs is None, "0 and -1 mean no limit"),
    **dict.fromkeys(("HostConfig.BlkioWeight", "HostConfig.BlkioWeightDevice"), (_discarded, _KERNEL)),
    "HostConfig.CpuPercent": (_discarded, "discarded, with a warning: it is for Windows"),
}
"""The fields of which an engine makes something else: what that may be, and the reason."""


def differences(body: Mapping[str, Any], made: Any, plain: Any) -> Iterator[str]:
    """Say which fields of a container differ from its canonical form.

    body: the canonical form. made: what the engine shows of the container.
    plain: what it shows of one for which nothing was asked.
    """
    for section, asked, fields in (
        ("Config", body, TYPES["ContainerConfig"]),
        ("HostConfig", _host(body), TYPES["HostConfig"]),
    ):
        for field in fields:
            ours, theirs, default = asked.get(field), made[section].get(field), plain[section].get(field)
            place = f"{section}.{field}"
            if _agrees(ours, theirs, default) or (place in CHANGED and CHANGED[place][0](ours, theirs, body)):
                continue
            yield f"{place}: asked {ours!r}, made {theirs!r}"
    yield from _differing_endpoints(body, made)


def _differing_endpoints(body: Mapping[str, Any], made: Any) -> Iterator[str]:
    if body.get("NetworkDisabled"):  # an engine leaves it out of all networks
        return
    networks = made["NetworkSettings"]["Networks"]
    for name, endpoint in body.get("NetworkingConfig", {}).get("EndpointsConfig", {}).items():
        for field, ours in endpoint.items():
            theirs = networks.get(name, {}).get(field)
            if field == "Aliases":  # an engine adds the container's short id
                theirs = [each for each in theirs or () if each != made["Id"][:12]]
            if lean(ours) != lean(theirs):
                yield f"NetworkingConfig.{field}: asked {ours!r}, made {theirs!r}"


def _agrees(ours: Any, theirs: Any, default: Any) -> bool:
    return lean(ours) == lean(theirs) or (not lean(ours) and lean(theirs) == lean(default))


def lean(value: Any) -> Any:
    """JSON without what Go leaves out: fields that are empty, which it can't tell from ones that are not there."""
    if isinstance(value, dict):
        found = {name: lean(each) for name, each in cast("dict[str, Any]", value).items()}
        return {name: each for name, each in found.items() if each is not None} or None
    if isinstance(value, list):
        return [lean(each) for each in cast("list[Any]", value)] or None
    return value if value else None


_STRICTER: Final = re.compile(r"duplicate key|more than once, in different spellings|contains a NUL character")
"""What is refused here and not by an engine: what readers of JSON disagree on."""


class Bench:
    """Makes what bodies ask for on an engine, and compares.

    Attributes:
        seen: how often bodies were compared, or refused.
    """

    def __init__(self, place: Place) -> None:
        self.seen: Counter[str] = Counter()
        self._place = place
        place.value("POST", "/networks/create", {"Name": "app", "IPAM": {"Config": [{"Subnet": "10.77.0.0/16"}]}})
        place.value("POST", "/containers/create?name=other", {"Image": "busybox", "HostConfig": {}})
        self._plain = place.value("GET", "/containers/other/json")

    def clear(self) -> None:
        """Remove whatever was made."""
        for target in ("containers/other", "networks/app", "volumes/named", "volumes/vol"):
            self._place.ask("DELETE", f"/v1.41/{target}")

    def one(self, asked: Asked, *, verbose: bool = False) -> list[str]:
        """Make one, and say how it differs from what was asked for."""
        name = f"made{asked.seed}"
        answer = self._place.ask("POST", f"/v1.41/containers/create?name={name}", asked.raw)
        if answer.status != 201:
            self.seen["refused by the engine"] += 1
            return []
        made = self._place.value("GET", f"/containers/{name}/json")
        self._place.ask("DELETE", f"/v1.41/containers/{name}?force=1&v=1")
        if verbose:
            print(asked.raw.decode(), json.dumps(made, indent=1), sep="\n")
        try:
            body = asked.canonical()
        except SwarmError as exc:
            self.seen["refused here"] += 1
            return [] if _STRICTER.search(exc.message) else [f"refused here: {exc.message}"]
        self.seen["compared"] += 1
        return list(differences(body, made, self._plain))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    findings: dict[str, list[tuple[int, str]]] = {}
    with engine() as running:
        bench = Bench(Place(str(running.socket)))
        end = time.monotonic() + 60 * options.minutes
        for seed in count() if options.seed is None else [options.seed]:
            for found in bench.one(asked_of(seed), verbose=options.seed is not None):
                findings.setdefault(found.partition(":")[0], []).append((seed, found))
            if time.monotonic() > end:
                break
    for each in findings.values():
        print(f"{len(each)} times, first by --seed {each[0][0]}: {each[0][1]}")
    print(f"{', '.join(f'{number} {what}' for what, number in bench.seen.items())}; {len(findings)} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
