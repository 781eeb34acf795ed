"""The search for a hole in a policy: a client in a sandbox tries everything, and the engine says what became of it.

    python -m tests.bench.policy_search --minutes 60

Requests of `policy_grammar` go through `dockerserver | policy tests/data/policy/sandbox.toml | docker` to a real
engine. After each of them, nothing of bob's may have changed, what is new must be within alice's policy, no answer may
show what is bob's, and what is bob's must be answered as what does not exist.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import unquote

import trio

from swarmlib import Chain, NotFound, connect
from tests.bench.attacking import Findings, arguments
from tests.bench.policy_grammar import Attack, attack
from tests.bench.responses import answers
from tests.support.engines import engine
from tests.support.paths import DATA
from tests.support.policy_world import OWNER, SECRET, World, said

_FREE: Final = frozenset(
    {
        *(
            "AutoRemove",
            "Init",
            "ReadonlyRootfs",
            "CapDrop",
            "ConsoleSize",
            "CpuShares",
            "Dns",
            "DnsOptions",
            "DnsSearch",
        ),
        *(
            "ExtraHosts",
            "Tmpfs",
            "MemorySwappiness",
            "Memory",
            "MemorySwap",
            "MemoryReservation",
            "NanoCpus",
            "CpuQuota",
        ),
        *("CpuPeriod", "VolumeDriver", "ContainerIDFile"),
    }
)
"""The fields of HostConfig that alice may set as she likes; the other ones are as in a container that sets nothing."""
_OWN: Final[Mapping[str, frozenset[Any]]] = {
    "IpcMode": frozenset({"private", "shareable", "none"}),
    "CgroupnsMode": frozenset({"private"}),
    "PidsLimit": frozenset({None, 0}),
}
_LOG_OPTIONS: Final = frozenset({"max-size", "max-file", "labels", "env", "tag", "mode", "compress"})
_IMAGES: Final = ("busybox", "busybox:latest", "docker.io/library/busybox", "docker.io/library/busybox:latest")


class Search:
    """Sends attacks, and looks at what became of each."""

    def __init__(self, world: World, address: str, findings: Findings, verbose: bool) -> None:
        self._world = world
        self._address = address
        self._findings = findings
        self._verbose = verbose

    async def prepare(self) -> None:
        """Make everything, and a container that asks for nothing, which the others are compared with."""
        await self._world.make()
        plain = await self._world.engine.spawn({"Image": "busybox", "HostConfig": {"NetworkMode": "none"}})
        found = await self._world.engine.get("containers", plain.id)
        self._plain, self._image = found["HostConfig"], found["Image"]
        await plain.rm()
        self._before = await self._world.snapshot()
        self._learn_names()

    def _learn_names(self) -> None:
        """Note which objects are bob's: they may not change, and their ids may not be shown."""
        self._bobs = {key: value for key, value in self._before.items() if "bob" in value or key[0] == "images"}
        network = next(id for (kind, id), value in self._before.items() if kind == "networks" and "bobnet" in value)
        self._world.names |= {"bobnet_id": network, "bobnet_short": network[:12]}
        names = self._world.names
        owned = f'"{OWNER}":"bob"'
        self._canaries = [SECRET, "BOBSECRET", owned, names["victim_id"], network, names["bobimage_id"][7:]]

    async def one(self, seed: int) -> None:
        """One attack by its seed."""
        names = {**self._world.names, "srv": str(self._world.srv), "n": f"s{seed}x", "now": str(int(time.time()))}
        tried = attack(Random(seed), names)
        data = await said(self._address, tried.data)
        if self._verbose:
            print(tried.data, data, sep="\n")
        after = await self._world.snapshot()
        await self._look(seed, tried, data, after)
        if tried.twin and after == self._before:
            await self._compare_with_twin(seed, tried, data)
        if after != self._before:
            self._before = await self._world.undo(self._before)
            self._learn_names()

    async def _look(self, seed: int, tried: Attack, data: bytes, after: Mapping[tuple[str, str], str]) -> None:
        def found(what: str, detail: object) -> None:
            self._findings.add(f"{tried.kind}: {what}", seed, f"{detail}; {tried.data[:700]!r} -> {data[:200]!r}")

        for key, value in self._bobs.items():
            if after.get(key) != value:
                found(f"bob's {key[0]} changed", after.get(key, "gone"))
        for kind, id in after.keys() - self._before.keys():
            async for flaw in _Flaws(self._world, self._plain, self._image).of(kind, id):
                found(flaw.partition(":")[0], flaw)
        for canary in self._canaries:
            if canary in data.decode("latin-1") and canary not in _unescaped(tried.data):
                found("an answer shows what is bob's", canary)
        if b"a bug in" in data:
            found("a bug is answered", "")
        statuses = answers(data, ended=True, bodyless=tried.data.startswith(b"HEAD")).statuses
        self._findings.differ(f"{tried.kind.partition(' ')[0]} answered {statuses}", seed)

    async def _compare_with_twin(self, seed: int, tried: Attack, data: bytes) -> None:
        other = await said(self._address, tried.twin)
        name, nobody = (each.encode() for each in tried.named)
        if _told(data, name) != _told(other, nobody):
            self._findings.add(f"{tried.kind}: bob's is answered unlike nobody's", seed, f"{data!r} / {other!r}")


def _told(data: bytes, name: bytes) -> bytes:
    """An answer without the name that it is about, and without its length."""
    head, _, body = data.partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0] + body.replace(name, b"NAME").replace(name.lstrip(b"/"), b"NAME")


def _unescaped(data: bytes) -> str:
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), unquote(data.decode("latin-1")))


class _Flaws:
    """What is wrong about an object that alice has made."""

    def __init__(self, world: World, plain: Mapping[str, Any], image: str) -> None:
        self._world = world
        self._plain = plain
        self._image = image

    async def of(self, kind: str, id: str) -> Any:
        """Yield each flaw of an object that is new."""
        if kind == "images":
            yield f"an image is new: {id}"
            return
        try:
            found = await self._world.engine.get(kind, id)
        except NotFound:
            return  # it has removed itself
        labels = found["Config"]["Labels"] if kind == "containers" else found["Labels"]
        anonymous = kind == "volumes" and len(id) == 64 and not labels
        if (labels or {}).get(OWNER) != "alice" and not anonymous:
            yield f"it is not alice's: {labels}"
        if kind == "containers":
            async for flaw in self._of_container(found):
                yield flaw
        elif found["Driver"] != ("local" if kind == "volumes" else "bridge") or found["Options"]:
            yield f"it has a driver or options: {found['Driver']} {found['Options']}"

    async def _of_container(self, found: Any) -> Any:
        if found["Image"] != self._image or found["Config"]["Image"] not in _IMAGES:
            yield f"it has another image: {found['Config']['Image']}"
        for flaw in self._of_host(found["HostConfig"]):
            yield flaw
        for mount in found["Mounts"]:
            async for flaw in self._of_mount(mount):
                yield flaw
        for name, endpoint in found["NetworkSettings"]["Networks"].items():
            if endpoint["Links"] or not await self._may_join(name):
                yield f"it joins a network: {name} {endpoint['Links']}"

    def _of_host(self, host: Mapping[str, Any]) -> Iterator[str]:
        looked_at = _FREE | {"Binds", "Mounts", "NetworkMode", "SecurityOpt", "PortBindings", "RestartPolicy"}
        if host["RestartPolicy"]["Name"] not in ("", "no"):
            yield f"it is restarted: {host['RestartPolicy']}"
        if any((host["PortBindings"] or {}).values()):
            yield f"a port is published: {host['PortBindings']}"
        for name in host.keys() - looked_at:
            if (host[name] or None) != (self._plain.get(name) or None) and not _fits(name, host[name]):
                yield f"{name} is not as usual: {host[name]!r}"
        if any("no-new-privileges" not in each for each in host["SecurityOpt"] or ()):
            yield f"SecurityOpt is not as usual: {host['SecurityOpt']}"

    async def _of_mount(self, mount: Any) -> Any:
        if mount["Type"] == "bind":
            if not (await trio.Path(mount["Source"]).resolve()).is_relative_to(self._world.srv):
                yield f"it binds another's folder: {mount['Source']}"
            if mount["Propagation"] not in ("", "private", "rprivate"):
                yield f"a bind has a propagation: {mount['Propagation']}"
        elif mount["Type"] == "volume":
            volume = await self._world.engine.get("volumes", mount["Name"])
            mine = (volume["Labels"] or {}).get(OWNER) == "alice" or len(mount["Name"]) == 64
            if not mine or volume["Options"] or volume["Driver"] != "local":
                yield f"it has another's volume: {volume}"

    async def _may_join(self, name: str) -> bool:
        if name in ("none", "default", "bridge"):
            return True
        network = await self._world.engine.get("networks", name)
        return network["Labels"].get(OWNER) == "alice"


def _fits(name: str, value: Any) -> bool:
    if name == "LogConfig":
        return value["Type"] == "json-file" and value["Config"].keys() <= _LOG_OPTIONS
    if name == "OomScoreAdj":
        return bool(value >= 0)
    if value == [""]:
        return True  # no rule, device or link has this name, and an engine refuses to start the container
    return (name in _OWN and value in _OWN[name]) or (name == "PidsLimit" and value > 0)


async def _search(given: argparse.Namespace, host: str, folder: Path, findings: Findings) -> int:
    socket = f"{folder}/docker.sock"
    policy = f"policy {DATA}/policy/sandbox.toml"
    async with (
        connect(f"docker {host}") as client,
        Chain(f"dockerserver unix://{socket}", policy, f"docker {host}").open(),
    ):
        search = Search(World([host], [client], folder / "srv"), socket, findings, given.only is not None)
        await search.prepare()
        if given.only is not None:
            await search.one(given.only)
            return 1
        until, count = time.monotonic() + given.minutes * 60, 0
        while time.monotonic() < until:
            await search.one(given.seed + count)
            count += 1
        return count


def main() -> None:
    """Search for as long as is asked for."""
    given = arguments(__doc__).parse_args()
    logging.getLogger("swarmlib_backends.policy").setLevel(logging.CRITICAL)
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="search-", dir="/tmp") as folder, engine() as behind:
        os.environ["SRV"] = f"{folder}/srv"
        count = trio.run(_search, given, behind.host, Path(folder), findings)
        behind.kill()
    sys.exit(findings.report(count))


if __name__ == "__main__":
    main()
