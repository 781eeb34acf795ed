"""Engines in memory, for tests and benchmarks of balance: they list, inspect, tell events and fail as real ones do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Self

import orjson
import trio

from swarmlib import UNSENT, BytesStream, Conflict, Message, NotFound, Sender, Server, SwarmError, Unavailable

_ids = count(1)
_FAR_FUTURE = "9999999999"


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


@dataclass
class Box:
    """A container."""

    id: str
    name: str
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    state: str = "created"
    created: float = field(default_factory=time.time)
    started: float = 0.0
    finished: float = 0.0

    @property
    def status(self) -> str:
        """As an engine says it for what was started in the last minute."""
        if self.state == "running":
            return f"Up {max(2, int(time.time() - self.started))} seconds"
        return f"Exited (0) {max(2, int(time.time() - self.finished))} seconds ago" if self.finished else "Created"

    def summary(self) -> dict[str, Any]:
        return {
            "Id": self.id,
            "Names": [f"/{self.name}"],
            "Image": self.body.get("Image", "busybox"),
            "Created": int(self.created),
            "State": self.state,
            "Status": self.status,
            "Labels": self.body.get("Labels") or {},
        }

    def inspected(self) -> dict[str, Any]:
        state = {
            "Running": self.state == "running",
            "StartedAt": stamp(self.started),
            "FinishedAt": stamp(self.finished) if self.finished else "0001-01-01T00:00:00Z",
        }
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "Created": stamp(self.created),
            "State": state,
            "Config": {key: value for key, value in self.body.items() if key != "HostConfig"},
            "HostConfig": self.body.get("HostConfig") or {},
            "Mounts": self.body.get("mounts") or [],
        }


@dataclass
class Engine(Server):
    """An engine; it fails with the first of `trouble`, and while `frozen` never answers."""

    label: str
    boxes: dict[str, Box] = field(default_factory=dict[str, Box])
    images: dict[str, list[str]] = field(default_factory=lambda: {"sha256:" + "0" * 64: ["busybox:latest"]})
    networks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    trouble: list[SwarmError] = field(default_factory=list[SwarmError])
    frozen: bool = False
    delay: float = 0.0
    """Seconds that it takes over each call."""
    info: dict[str, Any] = field(default_factory=dict[str, Any])
    version: str = "1.41"
    asked: list[str] = field(default_factory=list[str])
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    quiet: bool = False
    """It tells no events."""
    watchers: list[trio.MemorySendChannel[dict[str, Any]]] = field(
        default_factory=list["trio.MemorySendChannel[dict[str, Any]]"]
    )

    @property
    def name(self) -> str:
        return self.label

    def _bound_to(self, next: Sender) -> Self:
        self.next = next  # no copy: the test holds the stage itself
        return self

    # For tests.

    def add(self, name: str, id: str = "", *, running: bool = True, **body: Any) -> Box:
        """A container that is there, or comes by another way than ours."""
        now = time.time()
        box = Box(id or f"{next(_ids):08x}".ljust(64, "0"), name, body, created=now, started=now)
        box.state = "running" if running else "created"
        self.boxes[box.id] = box
        self.tell("create", box)
        return box

    def remove(self, box: Box) -> None:
        del self.boxes[box.id]
        self.tell("destroy", box)

    def tell(self, action: str, box: Box, kind: str = "container", **attributes: str) -> None:
        about = {"name": box.name, **(box.body.get("Labels") or {}), **attributes}
        self.tell_of(kind, action, box.id, about)

    def tell_of(self, kind: str, action: str, id: str, attributes: dict[str, str]) -> None:
        now = time.time_ns()
        event = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": id, "Attributes": attributes},
            "time": now // 10**9,
            "timeNano": now,
        }
        if not self.quiet:
            self.told.append(event)
            for watcher in self.watchers:
                watcher.send_nowait(event)

    def cut(self) -> None:
        """Break the event streams."""
        while self.watchers:
            self.watchers.pop().close()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Down for a while: nothing can be reached."""
        self.trouble.insert(0, Unavailable("connection refused", details={UNSENT: True}))
        self.cut()
        try:
            yield
        finally:
            del self.trouble[0]

    # The verbs.

    async def _enter(self, message: Message) -> None:
        self.asked.append(f"{message.verb} {'/'.join(message.path)}".strip())
        if self.frozen:
            await trio.sleep_forever()
        await trio.sleep(self.delay)
        if self.trouble:
            raise self.trouble[0]

    async def ls(self, message: Message) -> Any:
        await self._enter(message)
        match message.path:
            case ("containers",):
                return self._listed(message)
            case ("images",):
                return [{"Id": id, "RepoTags": tags, "Created": 1} for id, tags in self.images.items()]
            case ("networks",):
                return self._all_networks()
            case _:
                return {"Volumes": list(self.volumes.values()), "Warnings": None}

    def _all_networks(self) -> list[dict[str, Any]]:
        own = [{"Name": name, "Id": f"{self.label}-{name}"} for name in ("bridge", "host", "none")]
        return own + list(self.networks.values())

    def _listed(self, message: Message) -> list[Any]:
        filters: dict[str, list[str]] = orjson.loads(message.args.get("filters") or "{}")
        wanted = [
            box
            for box in sorted(self.boxes.values(), key=lambda box: -box.created)
            if ("all" in message.args or box.state == "running")
            and ("id" not in filters or any(box.id.startswith(id) for id in filters["id"]))
            and ("name" not in filters or any(name in box.name for name in filters["name"]))
        ]
        bounds = {name: self._find(filters[name][0]) for name in ("before", "since") if name in filters}
        if "before" in bounds:
            wanted = [box for box in wanted if box.created < bounds["before"].created]
        if "since" in bounds:
            wanted = [box for box in wanted if box.created > bounds["since"].created]
        limit = int(message.args.get("limit") or 0)
        return [box.summary() for box in (wanted[:limit] if limit else wanted)]

    def _find(self, ref: str) -> Box:
        for box in self.boxes.values():
            if ref in (box.id, box.name) or box.id.startswith(ref):
                return box
        raise NotFound(f"No such container: {ref}")

    async def get(self, message: Message) -> Any:
        await self._enter(message)
        match message.path:
            case ():
                own = {"Containers": len(self.boxes), "NCPU": 2, "MemTotal": 2**31, "Warnings": None, "Driver": "sim"}
                return own | self.info
            case ("version",):
                return {"ApiVersion": self.version}
            case ("ping", *_):
                return {}
            case ("containers", ref):
                return self._find(ref).inspected()
            case ("networks", ref) if found := [each for each in self._all_networks() if ref in each.values()]:
                return found[0]
            case _:
                raise NotFound(f"No such {message.path[0].removesuffix('s')}: {'/'.join(message.path[1:])}")

    async def spawn(self, message: Message) -> Any:
        await self._enter(message)
        body: dict[str, Any] = message.json or {}
        match message.path:
            case ("images",):
                assert message.ret
                await message.ret.set({"status": f"pulling on {self.label}"})
                return None
            case ("networks",):
                made = {"Name": body["Name"], "Id": f"{self.label}-{body['Name']}", "Labels": body.get("Labels")}
                self.networks[made["Id"]] = made
                self.tell_of("network", "create", made["Id"], {"name": made["Name"]})
                return {"Id": made["Id"]}
            case ("volumes",):
                self.volumes[body["Name"]] = body
                self.tell_of("volume", "create", body["Name"], {})
                return body
            case ("containers", ref, "exec"):
                return {"Id": f"exec-{self._find(ref).name}"}
            case _:
                return self._create(message, body)

    def _create(self, message: Message, body: dict[str, Any]) -> Any:
        image = body.get("Image", "busybox")
        if not any(tag in (image, f"{image}:latest") for tags in self.images.values() for tag in tags):
            raise NotFound(f"No such image: {image}")
        name = message.args.get("name") or f"box{next(_ids)}"
        if any(box.name == name for box in self.boxes.values()):
            raise Conflict(f"{name} is taken")
        return {"Id": self.add(name, running=False, **body).id}

    async def start(self, message: Message) -> None:
        await self._enter(message)
        box = self._find(message.path[1])
        box.state, box.started = "running", time.time()
        self.tell("start", box)

    async def stop(self, message: Message) -> None:
        await self._enter(message)
        box = self._find(message.path[1])
        box.state, box.finished = "exited", time.time()
        self.tell("die", box)

    async def set(self, message: Message) -> None:
        await self._enter(message)
        box = self._find(message.path[1])
        box.name = message.args.get("name", box.name)
        self.tell("rename", box)

    async def rm(self, message: Message) -> Any:
        await self._enter(message)
        if message.path == ("containers",):
            gone = [box for box in self.boxes.values() if box.state != "running"]
            for box in gone:
                self.remove(box)
            return {"ContainersDeleted": [box.id for box in gone] or None, "SpaceReclaimed": len(gone)}
        self.remove(self._find(message.path[1]))
        return None

    async def watch(self, message: Message) -> None:
        await self._enter(message)
        assert message.ret
        await message.ret.ack()
        seconds, _, fraction = str(message.args.get("since") or _FAR_FUTURE).partition(".")
        since = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        sender, receiver = trio.open_memory_channel[dict[str, Any]](1000)
        for event in [each for each in self.told if each["timeNano"] >= since]:
            sender.send_nowait(event)
        self.watchers.append(sender)
        try:
            async with receiver:
                async for event in receiver:
                    await message.ret.set(event)
        finally:
            if sender in self.watchers:
                self.watchers.remove(sender)

    async def file(self, message: Message) -> Any:
        await self._enter(message)
        assert message.ret
        if message.att is None:
            tags = next(tags for tags in self.images.values() if any(message.path[1] in tag for tag in tags))
            await message.ret.ack(att=BytesStream(orjson.dumps(tags)))
            return
        data = b""
        while piece := await message.att.receive_some():
            data += piece
        self.images[f"sha256:{len(self.images)}".ljust(71, "0")] = orjson.loads(data)
