"""Engines in memory, for tests and benchmarks of balance: they list, inspect, send events and fail as real ones do."""

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

from swarmlib import UNSENT, BytesStream, Conflict, NotFound, Request, Sender, Server, SwarmError, Unavailable
from swarmlib_backends.balance.history import nanoseconds
from swarmlib_backends.dockerapi.events import fits

_ids = count(1)
_FAR_FUTURE = "9999999999"
_KEPT_EVENTS = 256


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def _passes(event: Any, filters: dict[str, list[str]]) -> bool:
    """Whether an event is told; garbage, which a test sends, always is."""
    try:
        return fits(event, filters)
    except (AttributeError, KeyError, TypeError):
        return True


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
            "ImageID": self.body.get("ImageID", ""),
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
    images_made: dict[str, float] = field(default_factory=dict[str, float])
    """When, by id."""
    networks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    execs: set[str] = field(default_factory=set[str])
    trouble: list[SwarmError] = field(default_factory=list[SwarmError])
    wrong: SwarmError | None = None
    """What it says of each `set`, before it looks for the object."""
    frozen: bool = False
    delay: float = 0.0
    """Seconds that it takes over each call."""
    slow: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds that it takes over the calls of a path besides."""
    info: dict[str, Any] = field(default_factory=dict[str, Any])
    version: str = "1.41"
    asked: list[str] = field(default_factory=list[str])
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    refused: dict[str, SwarmError] = field(default_factory=dict[str, SwarmError])
    """What it says of a watch with one of these filters."""
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

    async def _enter(self, request: Request) -> None:
        self.asked.append(f"{request.verb} {'/'.join(request.path)}".strip())
        if not self.frozen:
            await trio.sleep(self.delay + self.slow.get("/".join(request.path), 0))
        if self.frozen:
            await trio.sleep_forever()
        if self.trouble:
            raise self.trouble[0]

    async def ls(self, request: Request) -> Any:
        await self._enter(request)
        match request.path:
            case ("containers",):
                return self._listed(request)
            case ("images",):
                return self._listed_images(request)
            case ("networks",):
                return self._all_networks()
            case _:
                return {"Volumes": list(self.volumes.values()), "Warnings": None}

    def _all_networks(self) -> list[dict[str, Any]]:
        own = [{"Name": name, "Id": f"{self.label}-{name}"} for name in ("bridge", "host", "none")]
        return own + list(self.networks.values())

    def _listed(self, request: Request) -> list[Any]:
        filters: dict[str, list[str]] = orjson.loads(request.params.get("filters") or "{}")
        wanted = [
            box
            for box in sorted(self.boxes.values(), key=lambda box: -box.created)
            if ("all" in request.params or box.state == "running")
            and ("id" not in filters or any(box.id.startswith(id) for id in filters["id"]))
            and ("name" not in filters or any(name in box.name for name in filters["name"]))
        ]
        bounds = {name: self._find(filters[name][0]) for name in ("before", "since") if name in filters}
        if "before" in bounds:
            wanted = [box for box in wanted if box.created < bounds["before"].created]
        if "since" in bounds:
            wanted = [box for box in wanted if box.created > bounds["since"].created]
        limit = int(request.params.get("limit") or 0)
        return [box.summary() for box in (wanted[:limit] if limit > 0 else wanted)]

    def _listed_images(self, request: Request) -> list[Any]:
        filters: dict[str, list[str]] = orjson.loads(request.params.get("filters") or "{}")
        after = max((self._inspected_image(ref)["at"] for ref in filters.get("since", [])), default=0.0)
        found = [self._inspected_image(id) for id in self.images]
        return [
            {"Id": each["Id"], "RepoTags": each["RepoTags"], "Created": int(each["at"])}
            for each in found
            if each["at"] > after
        ]

    def _inspected_image(self, ref: str) -> dict[str, Any]:
        for id, tags in self.images.items():
            if ref == id or ref in tags:
                at = self.images_made.get(id, 1.0)
                return {"Id": id, "RepoTags": tags, "at": at, "Created": stamp(at), "Of": self.label}
        raise NotFound(f"No such image: {ref}")

    def _find(self, ref: str) -> Box:
        for box in self.boxes.values():
            if ref in (box.id, box.name) or box.id.startswith(ref):
                return box
        raise NotFound(f"No such container: {ref}")

    async def get(self, request: Request) -> Any:
        await self._enter(request)
        match request.path:
            case ():
                own = {"Containers": len(self.boxes), "NCPU": 2, "MemTotal": 2**31, "Warnings": None, "Driver": "sim"}
                return own | self.info
            case ("version",):
                return {"ApiVersion": self.version}
            case ("df",):
                return {"LayersSize": 1}
            case ("search",):
                return [{"name": "busybox"}]
            case ("ping", *_):
                return {}
            case ("containers", ref):
                return self._find(ref).inspected()
            case ("images", ref):
                return self._inspected_image(ref)
            case ("networks", ref) if found := [each for each in self._all_networks() if ref in each.values()]:
                return found[0]
            case ("volumes", name) if name in self.volumes:
                return self.volumes[name]
            case ("exec", id) if id in self.execs:
                return {"ID": id}
            case _:
                raise NotFound(f"No such {request.path[0].removesuffix('s')}: {'/'.join(request.path[1:])}")

    async def spawn(self, request: Request) -> Any:
        await self._enter(request)
        body: dict[str, Any] = request.json or {}
        match request.path:
            case ("images",):
                assert request.reply
                await request.reply.set({"status": f"pulling on {self.label}"})
                await self._enter(request)
                return None
            case ("networks",):
                made = {"Name": body["Name"], "Id": f"{self.label}-{body['Name']}", "Labels": body.get("Labels")}
                made["Scope"] = "swarm" if body.get("Driver") == "overlay" else "local"
                self.networks[made["Id"]] = made
                self.tell_of("network", "create", made["Id"], {"name": made["Name"]})
                return {"Id": made["Id"]}
            case ("volumes",):
                self.volumes[body["Name"]] = body
                self.tell_of("volume", "create", body["Name"], {})
                return body
            case ("containers", ref, "exec"):
                self.execs.add(id := f"exec-{self._find(ref).name}")
                return {"Id": id}
            case _:
                return self._create(request, body)

    def _create(self, request: Request, body: dict[str, Any]) -> Any:
        image = body.get("Image", "busybox")
        if not any(tag in (image, f"{image}:latest") for tags in self.images.values() for tag in tags):
            raise NotFound(f"No such image: {image}")
        name = request.params.get("name") or f"box{next(_ids)}"
        self._check_free(name)
        return {"Id": self.add(name, running=False, **body).id}

    def _check_free(self, name: str) -> None:
        for box in self.boxes.values():
            if box.name == name:
                raise Conflict(f'Conflict. The container name "/{name}" is already in use by container "{box.id}".')

    async def start(self, request: Request) -> None:
        await self._enter(request)
        box = self._find(request.path[1])
        box.state, box.started = "running", time.time()
        self.tell("start", box)

    async def stop(self, request: Request) -> None:
        await self._enter(request)
        box = self._find(request.path[1])
        box.state, box.finished = "exited", time.time()
        self.tell("die", box)

    async def set(self, request: Request) -> None:
        await self._enter(request)
        if self.wrong is not None:
            raise self.wrong
        match request.path:
            case ("auth",):
                return
            case ("networks", ref, _) if ref not in ("bridge", "host", "none", *self.networks):
                raise NotFound(f"network {ref} not found")
            case ("networks", *_):
                self._find(request.json["Container"])
            case _:
                box = self._find(request.path[1])
                self._check_free(request.params["name"])
                box.name = request.params["name"]
                self.tell("rename", box)

    async def rm(self, request: Request) -> Any:
        await self._enter(request)
        if request.path[0] == "images":
            return self._untag(request.path[1])
        if request.path == ("containers",):
            gone = [box for box in self.boxes.values() if box.state != "running"]
            for box in gone:
                self.remove(box)
            return {"ContainersDeleted": [box.id for box in gone] or None, "SpaceReclaimed": len(gone)}
        self.remove(self._find(request.path[1]))
        return None

    def _untag(self, tag: str) -> Any:
        id = next((id for id, tags in self.images.items() if tag in tags), None)
        if id is None:
            raise NotFound(f"No such image: {tag}")
        if self.wrong is not None:
            raise self.wrong
        self.images[id] = [each for each in self.images[id] if each != tag]
        return [{"Untagged": tag}]

    async def watch(self, request: Request) -> None:
        await self._enter(request)
        assert request.reply
        filters: dict[str, list[str]] = orjson.loads(request.params.get("filters") or "{}")
        if refusal := next((self.refused[name] for name in filters if name in self.refused), None):
            raise refusal
        await request.reply.ack()
        since, until = (nanoseconds(request.params.get(name) or _FAR_FUTURE) for name in ("since", "until"))
        sender, receiver = trio.open_memory_channel[dict[str, Any]](1000)
        for event in [each for each in self.told[-_KEPT_EVENTS:] if since <= each["timeNano"] <= until]:
            sender.send_nowait(event)
        if "until" in request.params:
            sender.close()
        else:
            self.watchers.append(sender)
        try:
            async with receiver:
                async for event in receiver:
                    if _passes(event, filters):
                        await request.reply.set(event)
        finally:
            if sender in self.watchers:
                self.watchers.remove(sender)

    async def file(self, request: Request) -> Any:
        await self._enter(request)
        assert request.reply
        if request.upload is None:
            names = request.params.get("names", request.path[1:])
            tags = [tag for tags in self.images.values() for tag in tags if any(name in tag for name in names)]
            await request.reply.ack(stream=BytesStream(orjson.dumps(tags)))
            return
        data = b""
        while piece := await request.upload.receive_some():
            data += piece
        self.images[f"sha256:{len(self.images)}".ljust(71, "0")] = orjson.loads(data)
