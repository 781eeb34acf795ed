"""A grammar of requests that reach beyond alice's policy, each in some disguise: what a client in a sandbox may try."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from urllib.parse import quote

import orjson

from swarmlib_backends.dockerapi import schema
from swarmlib_backends.dockerapi.rows import ROWS, Row
from tests.bench.attack_bodies import folded, object_of
from tests.support.policy_world import OWNER

_TYPES: Final[dict[str, Any]] = orjson.loads(schema.DATA.read_bytes())
_BIND: Final[Any] = {"Type": "bind", "Source": "/etc", "Target": "/x"}
_DEVICE: Final = {"PathOnHost": "/dev/mem", "PathInContainer": "/dev/mem", "CgroupPermissions": "rwm"}
_DRIVER: Final = {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/etc"}}
_HOST: Final[dict[str, list[Any]]] = {
    "Privileged": [True],
    "Binds": [
        *(["/etc:/x"], ["//etc:/x"], ["bobvol:/x"], ["{srv}/link-to-root:/x"], ["{srv}/../../..:/x"], ["{srv}:/x"]),
        *(["{srv}/data:/x:rshared"], ["{srv}/data:/x"], ["{srv}/link-to-root/etc:/x"], ["{srv}/data/:/x"], ["/:/x:ro"]),
    ],
    "Mounts": [
        *([_BIND], [{**_BIND, "Type": "BIND"}], [{**_BIND, "Source": "{srv}/link-to-root"}], [{**_BIND, "Type": ""}]),
        [{**_BIND, "Source": "{srv}/data", "BindOptions": {"Propagation": "rshared"}}],
        [{"Type": "volume", "Source": "{n}v", "Target": "/x", "VolumeOptions": {"DriverConfig": _DRIVER}}],
        [{"Type": "volume", "Source": "bobvol", "Target": "/x"}],
        [{"Type": "tmpfs", "Target": "/x"}],
        [{"Type": "image", "Source": "bobimage", "Target": "/x"}],
    ],
    "CapAdd": [["ALL"], ["sys_admin"], ["CAP_NET_ADMIN"], "SYS_PTRACE"],
    "PidMode": ["host", "container:victim", "container:{victim_id}"],
    "IpcMode": ["host", "container:victim", "container:{victim_short}", "shareable"],
    "UTSMode": ["host"],
    "UsernsMode": ["host"],
    "CgroupnsMode": ["host"],
    "NetworkMode": [
        *("host", "bobnet", "{bobnet_id}", "{bobnet_short}", "container:victim", "container:{victim_p3}", "bridge"),
        *("alicenet", "default", "none", "Host", "host "),
    ],
    "Devices": [[_DEVICE]],
    "DeviceCgroupRules": [["a *:* rwm"]],
    "DeviceRequests": [[{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]],
    "SecurityOpt": [["seccomp=unconfined"], ["seccomp:unconfined"], ["apparmor=unconfined"], ["label=disable"], ["x"]],
    "MaskedPaths": [[]],
    "ReadonlyPaths": [[]],
    "Sysctls": [{"net.ipv4.ip_forward": "1"}],
    "GroupAdd": [["docker"], ["0"]],
    "Runtime": ["io.containerd.runtime.v1.linux", "runc"],
    "Links": [["victim:db"], ["linked/db:db"], ["{victim_id}:db"], ["mine:db"]],
    "PortBindings": [{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "22"}]}, {"80/tcp": [{}]}, {"80/tcp": None}],
    "PublishAllPorts": [True],
    "LogConfig": [{"Type": "syslog"}, {"Config": {"max-size": "1k"}}, {"Type": "json-file", "Config": {"labels": "a"}}],
    "RestartPolicy": [{"Name": "always"}, {"Name": "on-failure", "MaximumRetryCount": 3}],
    "OomScoreAdj": [-1000, 500],
    "OomKillDisable": [True],
    "CgroupParent": ["/", "/docker"],
    "StorageOpt": [{"size": "500G"}],
    "Ulimits": [[{"Name": "nofile", "Soft": 1 << 20, "Hard": 1 << 20}]],
    "ShmSize": [1 << 30],
    "CpusetCpus": ["0"],
    "VolumesFrom": [["victim"], ["{victim_short}:ro"], ["linked/db"], ["mine"]],
    "VolumeDriver": ["local", "nfs"],
    "PidsLimit": [-1, 0],
    "Memory": [1 << 26, 0],
    "BlkioWeight": [500],
    "AutoRemove": [False],
}
_CONFIG: Final[dict[str, list[Any]]] = {
    "Image": ["bobimage", "{bobimage_id}", "{bobimage_short}", "evil", "evil:latest", "docker.io/library/busybox"],
    "Labels": [{OWNER: "bob"}, {OWNER.title(): "bob"}, {}, None, {"a": "b"}],
    "Volumes": [{"/x": {}}, {"/etc:/x": {}}],
    "User": ["0", "root"],
    "NetworkingConfig": [
        {"EndpointsConfig": {"bobnet": {}}},
        {"EndpointsConfig": {"{bobnet_id}": {}}},
        {"EndpointsConfig": {"alicenet": {"Links": ["victim:db"]}}},
        {"EndpointsConfig": {"host": {}}},
        {"EndpointsConfig": {"alicenet": {"Aliases": ["victim"]}}},
        {"EndpointsConfig": {"bridge": {"NetworkID": "{bobnet_id}"}}},
    ],
    "Env": [["A=b"]],
    "MacAddress": ["02:42:ac:11:00:02"],
}
_NETWORK: Final[dict[str, list[Any]]] = {
    "Name": ["{n}", "bobnet", "alicenet", "{bobnet_id}", "bridge", "host"],
    "Driver": ["bridge", "macvlan", "ipvlan", "host", "null", "overlay"],
    "Options": [{"com.docker.network.bridge.name": "docker0"}, {"parent": "lo"}, {}],
    "IPAM": [{"Config": [{"Subnet": "10.99.0.0/16"}]}, {"Driver": "null"}, {"Options": {"a": "b"}}],
    "Labels": [{OWNER: "bob"}, None],
    "CheckDuplicate": [False],
    "Internal": [True],
    "Scope": ["swarm", "host"],
    "ConfigOnly": [True],
    "ConfigFrom": [{"Network": "bobnet"}],
    "Ingress": [True],
    "Attachable": [True],
}
_VOLUME: Final[dict[str, list[Any]]] = {
    "Name": ["{n}", "bobvol", "{n}v", ""],
    "Driver": ["local", "nfs", "some/plugin:latest"],
    "DriverOpts": [
        {"type": "none", "o": "bind", "device": "/"},
        {"type": "overlay", "o": "lowerdir=/etc", "device": "x"},
        {},
    ],
    "Labels": [{OWNER: "bob"}, None],
}
_EXEC: Final[dict[str, list[Any]]] = {
    "Privileged": [True],
    "User": ["0:0"],
    "Env": [["A=b"]],
    "Detach": [True],
    "Tty": [True],
    "WorkingDir": ["/"],
}
_JUICE: Final = (
    *("host", "/", "/etc", "container:victim", "bobvol", "bobnet", "victim", "{victim_id}", "{srv}/data", "unconfined"),
    *("ALL", "local", "none", "bind", "", "bobimage", "busybox", "{srv}/link-to-root:/x", "/etc:/x", "victim:db"),
)
_OF_BOB: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("victim", "{victim_id}", "{victim_short}", "{victim_p3}", "linked/db", "/victim", "VICTIM"),
    "networks": ("bobnet", "{bobnet_id}", "{bobnet_short}"),
    "volumes": ("bobvol",),
    "images": ("bobimage", "{bobimage_id}", "{bobimage_short}", "bobimage:latest"),
    "exec": ("{exec_victim}",),
}
_NOBODY: Final = "f0" * 32
_PARAMS: Final[Mapping[str, str]] = {
    "ContainerLogs": "stdout=1",
    "ContainerStats": "stream=0",
    "ContainerArchive": "path=/etc/passwd",
    "ContainerArchiveInfo": "path=/etc/passwd",
    "PutContainerArchive": "path=/",
    "ContainerDelete": "force=1",
    "ContainerStop": "t=0",
    "ContainerRestart": "t=0",
    "ContainerRename": "name={n}",
    "ContainerResize": "h=1&w=1",
    "ExecResize": "h=1&w=1",
    "ContainerAttach": "logs=1&stdout=1",
    "ContainerWait": "condition=removed",
    "ImageTag": "repo=busybox&tag=latest",
    "ImageDelete": "force=1",
    "VolumeDelete": "force=1",
}
_FILTERS: Final = (
    *({"label": ["swarmlib.tenant=bob"]}, {"label": {"swarmlib.tenant=bob": True}}, {"name": ["victim"]}, {"id": [""]}),
    *({"since": ["victim"]}, {"before": {"victim": True}}, {"network": ["bobnet"]}, {"volume": ["bobvol"]}, {}),
    *({"label!": ["swarmlib.tenant=alice"]}, {"LABEL": ["x"]}, {"container": ["victim"]}, {"dangling": ["false"]}),
    *({"label": []}, {"label": None}, {"label": [""]}, {"until": ["1s"]}, {"ancestor": ["bobimage"]}, {"x": ["y"]}),
)
_FILTERED: Final = (
    *(("GET", "/containers/json?all=1"), ("GET", "/networks?"), ("GET", "/volumes?"), ("GET", "/images/json?")),
    *(("POST", "/containers/prune?"), ("POST", "/networks/prune?"), ("POST", "/volumes/prune?")),
    *(("GET", "/events?since=0&until={now}"), ("POST", "/images/prune?"), ("GET", "/system/df?")),
)
_QUERIES: Final = (
    *("/commit?container=victim&repo={n}", "/commit?container={mine_id}&repo=busybox", "/build?networkmode=host&t={n}"),
    *("/images/create?fromImage=bobimage", "/images/create?fromSrc=-&repo=busybox", "/images/bobimage/tag?repo={n}"),
    *("/containers/{mine_id}/rename?name={victim_short}", "/containers/{mine_id}/rename?name={n}&name=evil"),
    *("/plugins/pull?remote=x", "/swarm/leave?force=1", "/auth", "/session", "/images/get?names=bobimage"),
    *("/containers/{stopped_id}/start?checkpoint=x&checkpoint-dir=/etc", "/containers/{mine_id}/checkpoints"),
)
_VERSIONS: Final = ("/v1.41", "", "/v1.24", "/v1.18", "/v01.41", "/v1.41.0", "/v1.99")
_TYPED: Final = ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-7")


@dataclass(frozen=True)
class Attack:
    """A request, and the same about an object that nobody has, whose answer must be the same."""

    kind: str
    data: bytes
    twin: bytes = b""
    named: tuple[str, str] = ("", "")
    """What the two name."""


def attack(random: Random, names: Mapping[str, str]) -> Attack:
    """Make an attack; names: what to put in the place of `{NAME}` everywhere."""
    kind = random.choices(["create", "network", "volume", "exec", "named", "list", "query"], [10, 3, 3, 2, 5, 3, 1])[0]
    return _Maker(random, names).make(kind)


class _Maker:
    def __init__(self, random: Random, names: Mapping[str, str]) -> None:
        self._random = random
        self._names = names

    def make(self, kind: str) -> Attack:
        if kind == "named":
            return self._named()
        if kind == "list":
            return Attack(kind, self._list())
        if kind == "query":
            form = b"container=victim&repo=evil&filters={}&name=evil&fromImage=evil"
            typed = self._random.choice(["application/json", "application/x-www-form-urlencoded"])
            target = self._filled(self._random.choice(_QUERIES))
            return Attack(kind, self._request("POST", target, b"" if "json" in typed else form, typed))
        return Attack(kind, self._made(kind))

    def _made(self, kind: str) -> bytes:
        random = self._random
        if kind == "create":
            return self._request("POST", f"/containers/create?name={self._names['n']}", self._body(self._create()))
        if kind == "network":
            return self._request(
                "POST",
                "/networks/create",
                self._body([("Name", self._names["n"]), *self._some(_NETWORK, "NetworkCreate")]),
            )
        if kind == "volume":
            return self._request("POST", "/volumes/create", self._body(self._some(_VOLUME, "VolumeCreate")))
        whose = random.choice(["mine", "{mine_id}", "victim", "linked/db"])
        fields = [("Cmd", ["true"]), *self._some(_EXEC, "ContainerExec")]
        return self._request("POST", f"/containers/{self._filled(whose)}/exec", self._body(fields))

    def _create(self) -> list[tuple[str, Any]]:
        host = self._some(_HOST, "HostConfig")
        fields: list[tuple[str, Any]] = [("Image", "busybox"), ("Cmd", ["true"])]
        if self._random.random() < 0.5:
            host.append(("NetworkMode", self._random.choice(["none", "alicenet", "default"])))
        if self._random.random() < 0.4:
            fields += self._some(_CONFIG, "ContainerCreate")
        if self._random.random() < 0.2:
            fields += [host.pop() for _ in host[:1]]  # where engines up to 26 read it
        split = self._random.randint(0, len(host)) if self._random.random() < 0.3 else len(host)
        return [*fields, *(("HostConfig", dict(part)) for part in (host[:split], host[split:]) if part)]

    def _some(self, wishes: dict[str, list[Any]], type_: str) -> list[tuple[str, Any]]:
        """One to three fields, mostly with a value that an engine would take."""
        random = self._random
        if random.random() < 0.25:
            fields = _resolved(_TYPES["types"].get(type_) or _TYPES["rows"][type_])
            return [(name, self._of_type(fields[name], 2)) for name in random.sample(sorted(fields), 1)]
        return [
            (name, random.choice(wishes[name])) for name in random.sample(sorted(wishes), random.choice([1, 1, 2, 3]))
        ]

    def _of_type(self, type_: Any, depth: int) -> Any:
        random = self._random
        type_ = _resolved(type_)
        if isinstance(type_, list):
            return [self._of_type(type_[0], depth - 1) for _ in range(random.randint(0, 2))]
        if isinstance(type_, dict):
            if "*" in type_:
                return {random.choice(_JUICE): self._of_type(type_["*"], depth - 1)}
            chosen = random.sample(sorted(type_), min(len(type_), random.randint(1, 3))) if depth > 0 else []
            return {name: self._of_type(type_[name], depth - 1) for name in chosen}
        if type_ == "boolean":
            return random.random() < 0.8
        return random.choice([0, 1, -1, 100]) if type_ in schema.INTEGERS else random.choice(_JUICE)

    def _body(self, fields: list[tuple[str, Any]]) -> bytes:
        return self._filled(self._object(fields)).encode()

    def _object(self, fields: list[tuple[str, Any]]) -> str:
        random = self._random
        written: list[tuple[str, str]] = []
        for name, value in fields:
            pair = (folded(random, name) if random.random() < 0.12 else name, self._value(value))
            written.append(pair)
            if random.random() < 0.05:  # the same again, with another value: Go takes the last, or merges both
                innocent = random.choice(["null", "false", "[]", "{}", '""', "0"])
                written.insert(random.choice([0, len(written)]), (folded(random, name), innocent))
        return object_of(random, written)

    def _value(self, value: Any) -> str:
        if isinstance(value, dict):
            return self._object(list(value.items()))
        if isinstance(value, list):
            return f"[{','.join(map(self._value, value))}]"
        if isinstance(value, str) and self._random.random() < 0.1:
            return '"' + "".join(f"\\u{ord(each):04x}" for each in self._filled(value)) + '"'
        return json.dumps(value)

    def _named(self) -> Attack:
        random = self._random
        row = random.choice([each for each in ROWS if None in each.shape and each.shape[0] in _OF_BOB])
        name = self._filled(random.choice(_OF_BOB[str(row.shape[0])]))
        nobody = ("/" if name.startswith("/") else "") + _NOBODY[: max(len(name), 12)]
        state = random.getstate()
        data = self._about(row, name)
        random.setstate(state)
        return Attack(f"named {row.name}", data, self._about(row, nobody), (name, nobody))

    def _about(self, row: Row, name: str) -> bytes:
        path = row.template.replace("{id}", quote(name, safe=":/")).replace("{name}", quote(name, safe=":/"))
        body = b""
        if row.name in _TYPES["rows"]:
            body = self._filled(
                json.dumps({"Container": "mine", "Cmd": ["true"]} if row.name != "ExecStart" else {})
            ).encode()
        return self._request(row.method, f"{path}?{self._filled(_PARAMS.get(row.name, ''))}".rstrip("?"), body)

    def _list(self) -> bytes:
        random = self._random
        method, target = random.choice(_FILTERED)
        filters = quote(json.dumps(random.choice(_FILTERS)))
        more = random.choice(["", "", "&filters={}", "&before=victim", "&since=victim", "&limit=5", "&Filters={}"])
        name = random.choice(["filters", "filters", "filters", "FILTERS", "%66ilters"])
        form = random.random() < 0.1 and method == "POST"
        typed = "application/x-www-form-urlencoded" if form else "application/json"
        return self._request(
            method, self._filled(f"{target}&{name}={filters}{more}"), b"filters={}" if form else b"", typed
        )

    def _request(self, method: str, target: str, body: bytes, typed: str = "application/json") -> bytes:
        random = self._random
        version = random.choices(
            ["/v1.41", "", "/v1.24", "/v1.18", "/v01.41", "/v1.41.0", "/v1.99"], [12, 3, 2, 1, 1, 1, 1]
        )[0]
        if body and random.random() < 0.05:
            typed = random.choice(
                ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-7"]
            )
        target = version + target
        if random.random() < 0.1:  # last, as how much is drawn depends on the target's length, and twins differ in that
            at = random.randrange(1, max(2, len(target.partition("?")[0])))
            target = f"{target[:at]}%{ord(target[at]):02x}{target[at + 1 :]}" if target[at] not in "%" else target
        lines = [f"{method} {target} HTTP/1.1", "Host: docker", "Connection: close", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, *([f"Content-Type: {typed}"] if body else []), "", ""]).encode() + body

    def _filled(self, text: str) -> str:
        for name, value in self._names.items():
            text = text.replace(f"{{{name}}}", value)
        return text


def _resolved(type_: Any) -> Any:
    return _TYPES["types"][type_[1:]] if isinstance(type_, str) and type_.startswith("#") else type_
