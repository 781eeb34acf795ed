"""What two tenants have on engines, and what becomes of it: for tests that attack the one's policy as the other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from swarmlib import Client, NotFound
from tests.support.engines import busybox_tar, docker

OWNER: Final = "swarmlib.tenant"
SECRET: Final = "hunter2"
"""In the environment of bob's container, which nobody else may see."""
_KEPT: Final = ("Image", "Cmd", "Env", "User", "Labels")


@dataclass
class World:
    """alice's and bob's objects on the first engine, and whatever else there is on all of them.

    clients: one for each engine. srv: the folder that alice may bind.
    """

    hosts: Sequence[str]
    clients: Sequence[Client]
    srv: Path
    names: dict[str, str] = field(default_factory=dict[str, str])
    """The ids of the objects, by the names that the study's probes have for them."""

    @property
    def engine(self) -> Client:
        """The engine that has the objects."""
        return self.clients[0]

    async def make(self) -> None:
        """Make all objects anew."""
        (self.srv / "data").mkdir(parents=True, exist_ok=True)
        if not (self.srv / "link-to-root").is_symlink():
            (self.srv / "link-to-root").symlink_to("/")
        await self._clear()
        await trio.to_thread.run_sync(self._images)
        for name in ("bob", "alice"):
            await self.engine.spawn({"Name": f"{name}net", "Internal": True, "Labels": {OWNER: name}}, "networks")
        await self.engine.spawn({"Name": "bobvol", "Labels": {OWNER: "bob"}}, "volumes")
        await self._containers()

    def _images(self) -> None:
        docker(self.hosts[0], "tag", "busybox", "evil", check=True)
        change = f"LABEL {OWNER}=bob"
        docker(
            self.hosts[0], "import", "-m", "BOBSECRET", "-c", change, "-", "bobimage", input=busybox_tar(), check=True
        )

    async def _containers(self) -> None:
        for name, owner, command in (
            ("victim", "bob", "sleep 100000"),
            ("mine", "alice", "sleep 100000"),
            ("stopped", "alice", "true"),
        ):
            body = {"Image": "busybox", "Cmd": command.split(), "Labels": {OWNER: owner}}
            secret = {"Env": [f"SECRET={SECRET}"]} if owner == "bob" else {}
            host = {"HostConfig": {"NetworkMode": f"{owner}net"}}
            made = await self.engine.spawn({**body, **secret, **host}, name=name)
            if "sleep" in command:
                await made.start()
            self.names |= {f"{name}_id": made.id, f"{name}_short": made.id[:12], f"{name}_p3": made.id[:5]}
        linked = {"Image": "busybox", "Cmd": ["true"], "Labels": {OWNER: "alice"}}
        await self.engine.spawn({**linked, "HostConfig": {"Links": ["victim:db"]}}, name="linked")
        image = (await self.engine.get("images", "bobimage"))["Id"]
        run = await self.engine.spawn({"Cmd": ["sleep", "1"]}, "containers", "victim", "exec")
        self.names |= {"bobimage_id": image, "bobimage_short": image[7:19], "exec_victim": run.id, "zeros": "0" * 64}

    async def _clear(self) -> None:
        for client in self.clients:
            for found in await client.ls(all=True):
                await client.rm("containers", found["Id"], force=True, v=True)
            for found in await client.ls("networks"):
                if found["Name"] not in ("bridge", "host", "none"):
                    await client.rm("networks", found["Id"])
            for found in await client.ls("volumes"):
                await client.rm("volumes", found["Name"], force=True)

    async def snapshot(self) -> dict[tuple[str, str], str]:
        """What there is on all engines: each object's kind and id, with all of it that may not change."""
        found = dict[tuple[str, str], str]()
        for client in self.clients:
            for each in await client.ls(all=True):
                found["containers", each["Id"]] = _shown(await _container(client, each["Id"]))
            for each in await client.ls("images"):
                found["images", each["Id"]] = _shown(sorted(each["RepoTags"] or []))
            for each in await client.ls("volumes"):
                found["volumes", each["Name"]] = _shown([each["Driver"], each["Labels"], each["Options"]])
            for each in await client.ls("networks"):
                found["networks", each["Id"]] = _shown([each["Name"], each["Labels"], each["Options"]])
        return found

    async def undo(self, before: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
        """Remove what is new, and make all objects anew where one of them has changed; return what there is then."""
        now = await self.snapshot()
        for kind, id in sorted(now.keys() - before.keys()):  # containers come first
            for client in self.clients:
                if kind in ("containers", "networks", "volumes"):
                    await _gone(client, kind, id)
        now = await self.snapshot()
        if now == before:
            return now
        await self.make()
        return await self.snapshot()


async def _container(client: Client, id: str) -> Any:
    found = await client.get("containers", id)
    state = [found["State"][each] for each in ("StartedAt", "Running", "Paused")]
    config = [found["Config"][each] for each in _KEPT]
    return [found["Name"], state, config, found["HostConfig"], sorted(found["NetworkSettings"]["Networks"] or {})]


async def _gone(client: Client, kind: str, id: str) -> None:
    try:
        await client.rm(kind, id, **({"force": True, "v": True} if kind == "containers" else {}))
    except NotFound:
        return  # another engine has it


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


async def said(address: str, data: bytes, quiet: float = 0.7) -> bytes:
    """Send bytes to a unix socket, and return what comes until the other side ends it, or is quiet for some seconds."""
    got = bytearray()
    async with await trio.open_unix_socket(address) as stream:
        try:
            await stream.send_all(data)
            while len(got) < 4_000_000:
                with trio.move_on_after(quiet if got else 10 * quiet) as patience:
                    piece = await stream.receive_some()
                if patience.cancelled_caught or not piece:
                    break
                got += piece
        except trio.BrokenResourceError:
            pass  # it was cut; what came before counts
    return bytes(got)
