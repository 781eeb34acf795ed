"""A whole service in memory: the leaf that the conformance kit puts behind a backend under test, and a fake for tests.

Its workloads do what their image is called: `idle` runs until it is stopped, `talks` writes LINES and ends, `echoes`
returns what it is sent. It can be told to fail, hold or drop the calls to one of them, and knows the calls under way.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import IO, Any, Final, Self, cast

import trio
from trio.testing import lockstep_stream_one_way_pair

from ..client.keywords import ContainerFields
from ..errors import Conflict, Invalid, NotFound, SwarmError, Unsupported
from ..names import Path, check_path
from ..reply_channel import ReplySender
from ..request import Request
from ..service import Server
from ..values import Json
from ..verbs import Verb

LINES: Final = (b"first", b"", b"\xff third")
"""The lines that a `talks` writes: one is empty, and the last is not UTF-8."""
FLOOD: Final = 2000
"""How many values of `FLOOD_BYTES` each a `watch` of a workload's stats sends, as fast as they are taken."""
FLOOD_BYTES: Final = 16 * 1024
_READ: Final = 64 * 1024
_SHOWN: Final = ContainerFields.__annotations__.keys() - {"HostConfig", "NetworkingConfig"}
"""The fields that it keeps for tests to see; others have no meaning here, and are left out."""


class Trouble(Enum):
    """What can be made to happen to a call, besides an error."""

    HELD = "the request is never answered"
    DROPPED = "the request and its reply channel are dropped"


@dataclass
class ReferenceWorkload:
    """One object of the service."""

    id: str
    name: str
    body: dict[str, Any]
    status: str = "created"
    ended: trio.Event = field(default_factory=trio.Event)
    archive: IO[bytes] | None = None
    """The tar that was last put into it."""

    @property
    def state(self) -> dict[str, Any]:
        """Its state, as `get` returns it."""
        return {"Status": self.status, "Running": self.status == "running", "ExitCode": 0}

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self.body.get("Labels") or {}

    @property
    def summary(self) -> dict[str, Any]:
        """What lists show of it."""
        about = {"Image": self.body.get("Image", ""), "Labels": self.labels}
        return {"Id": self.id, "Names": [f"/{self.name}"], "State": self.status, **about}

    @property
    def output(self) -> tuple[bytes, ...]:
        """The lines that it has written when it ends."""
        return LINES if self.body.get("Image") == "talks" else ()

    def end(self) -> None:
        """Mark it as ended."""
        self.status = "exited"
        self.ended.set()

    def forget_archive(self) -> None:
        """Close and forget its archive, if it has one."""
        if self.archive is not None:
            self.archive.close()
            self.archive = None


@dataclass(eq=False)
class Reference(Server):
    """A service in memory, for tests. All openings share the state of this object, so that its maker can inspect it."""

    workloads: dict[str, ReferenceWorkload] = field(default_factory=dict[str, ReferenceWorkload], init=False)
    under_way: list[Request] = field(default_factory=list[Request], init=False)
    """The calls that have not ended, conversations among them."""
    flooded: int = field(default=0, init=False)
    """How many values of FLOOD have been sent."""
    holds_all: bool = field(default=False, init=False)
    """Whether every call is held."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._trouble: dict[str, SwarmError | Trouble | None] = {}
        self._watchers: list[trio.MemorySendChannel[dict[str, Any]]] = []
        self._changed = trio.Event()

    def make_stage(self) -> Self:
        """Return this stage itself: see the class."""
        return self

    # For tests.

    def add(self, name: str, image: str = "idle") -> ReferenceWorkload:
        """Add a workload with any name, without `spawn`."""
        made = ReferenceWorkload(secrets.token_hex(8), name, {"Image": image})
        self.workloads[made.id] = made
        return made

    def trouble(self, ref: str, what: SwarmError | Trouble | None) -> None:
        """Make every further call that names the object `ref` (an id or a name) fail, be held or be dropped; None ends
        that.
        """
        self._trouble[ref] = what

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready` returns True; it is called whenever a call begins or ends here."""
        while not ready():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # The verbs.

    def handlers(self) -> Mapping[Verb, Any]:
        """Return the handlers, wrapped to cause trouble and to count the calls under way."""
        return {verb: partial(self._tracked, handler) for verb, handler in super().handlers().items()}

    async def _tracked(self, handler: Callable[[Request], Any], request: Request) -> Any:
        trouble = Trouble.HELD if self.holds_all else self._trouble.get(request.path[1] if request.path[1:] else "")
        if trouble is Trouble.DROPPED:
            return await self.forward(request, _Oblivion())
        self.under_way.append(request)
        self._tell()
        try:
            if isinstance(trouble, SwarmError):
                raise trouble
            if trouble is Trouble.HELD:
                await trio.sleep_forever()
            return await handler(request)
        finally:
            self.under_way[:] = [each for each in self.under_way if each is not request]
            self._tell()

    async def ls(self, request: Request) -> list[Any]:
        """List all workloads; without `all`, those that run. The one filter is `label`."""
        self._at(request, ("containers",))
        wanted = _labels_wanted(request.params.get("filters"))
        return [
            each.summary
            for each in self.workloads.values()
            if (request.params.get("all") or each.status == "running")
            and wanted <= {f"{name}={value}" for name, value in each.labels.items()}
        ]

    async def get(self, request: Request) -> Any:
        """Return the service's state, or a workload's."""
        if not request.path:
            return {"Name": "reference", "Containers": len(self.workloads)}
        found = self._find(request)
        return {
            "Id": found.id,
            "Name": f"/{found.name}",
            "State": found.state,
            "Config": {**{name: value for name, value in found.body.items() if name in _SHOWN}, "Tty": True},
        }

    async def spawn(self, request: Request) -> Any:
        """Make a workload of the image `idle`, `talks` or `echoes`."""
        self._at(request, ("containers",))
        body = request.json
        if not isinstance(body, dict):
            raise Invalid("invalid body: expected a JSON object")
        id = secrets.token_hex(8)
        name = str(request.params.get("name") or f"box_{id[:6]}")
        check_path((name,))
        if any(each.name == name for each in self.workloads.values()):
            raise Conflict(f"the name {name} is taken")
        made = self.workloads[id] = ReferenceWorkload(id, name, cast("dict[str, Any]", body))
        self._happened("create", made)
        return {"Id": id, "Warnings": []}

    async def start(self, request: Request) -> None:
        """Start a workload; a `talks` ends at once."""
        found = self._find(request)
        found.status, found.ended = "running", found.ended if found.status == "created" else trio.Event()
        self._happened("start", found)
        if found.output:
            found.end()

    async def stop(self, request: Request) -> None:
        """Stop a workload."""
        found = self._find(request)
        found.end()
        self._happened("die", found)

    async def set(self, request: Request) -> None:
        """Rename a workload."""
        found = self._find(request, "rename")
        found.name = str(request.params.get("name", ""))

    async def rm(self, request: Request) -> None:
        """Remove a workload that doesn't run."""
        found = self._find(request)
        if found.status == "running":
            raise Conflict(f"{found.name} is running: stop it first")
        del self.workloads[found.id]
        found.forget_archive()
        self._happened("destroy", found)

    async def watch(self, request: Request) -> None:
        """Send the service's events; or a workload's `stats` (a flood), or its end (`wait`)."""
        reply = request.reply
        match request.path:
            case ():
                await self._send_events(reply)
            case ("containers", _, "stats"):
                self._find(request, "stats")
                await self._flood(reply)
            case _:
                found = self._find(request, "wait")
                await reply.ack()
                await found.ended.wait()
                await reply.set({"StatusCode": 0})

    async def _send_events(self, reply: ReplySender) -> None:
        send, receive = trio.open_memory_channel[dict[str, Any]](1000)
        self._watchers.append(send)
        try:
            await reply.ack()
            async for event in receive:
                await reply.set(event)
        finally:
            self._watchers.remove(send)

    async def _flood(self, reply: ReplySender) -> None:
        padding = "x" * FLOOD_BYTES
        await reply.ack()
        for number in range(FLOOD):
            await reply.set({"number": number, "padding": padding})
            self.flooded = number + 1

    async def attach(self, request: Request) -> None:
        """Send a workload's lines, and its state when it ends."""
        found, reply = self._find(request), request.reply
        await reply.ack()
        await found.ended.wait()
        for line in found.output:
            await reply.log(line, details={"stream": "stdout"})
        await reply.set(found.state)

    async def connect(self, request: Request) -> None:
        """Open a workload's stdio, which returns what it is sent; or its `logs`."""
        if request.path[2:] == ("logs",):
            await request.reply.ack(stream=_Output(self._find(request, "logs")))
            return
        found = self._find(request)
        if found.body.get("Image") != "echoes":
            await request.reply.ack(stream=_Output(found))
            return
        send, receive = lockstep_stream_one_way_pair()
        await request.reply.ack(stream=trio.StapledStream(send, receive))

    async def file(self, request: Request) -> None:
        """Put a tar into a workload's `archive`, or return the one that was last put there."""
        found = self._find(request, "archive")
        if request.upload is None:
            if found.archive is None:
                raise NotFound(f"no files have been put into {found.name}", path=request.path)
            await request.reply.ack(stream=_Archive(found.archive))
            return
        found.forget_archive()
        found.archive = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the workload
        async with request.upload as given:
            async for data in given:
                found.archive.write(data)

    def _happened(self, action: str, workload: ReferenceWorkload) -> None:
        about = {"ID": workload.id, "Attributes": {"name": workload.name}}
        event = {"Type": "container", "Action": action, "Actor": about}
        for watcher in self._watchers:
            watcher.send_nowait(event)

    @staticmethod
    def _at(request: Request, place: Path) -> None:
        if request.path != place:
            raise Unsupported(f"{request.verb} is not supported for {'/'.join(request.path)}", path=request.path)

    def _find(self, request: Request, *part: str) -> ReferenceWorkload:
        """Return the workload that a request is about, and check that it is about the `part` of it."""
        if request.path[:1] != ("containers",) or len(request.path) < 2:
            raise Unsupported(f"{request.verb} is not supported for {'/'.join(request.path)}", path=request.path)
        ref = request.path[1]
        found = self.workloads.get(ref) or next((w for w in self.workloads.values() if w.name == ref), None)
        if found is None:
            raise NotFound(f"no such workload: {ref[:100]}", path=request.path)
        self._at(request, ("containers", ref, *part))
        return found

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Close the archives at the end."""
        try:
            yield
        finally:
            for each in self.workloads.values():
                each.forget_archive()


def _labels_wanted(filters: Any) -> set[str]:
    """Return the labels that a list asks for, each as `name=value`.

    Raises:
        Invalid: the filters are not JSON. Unsupported: there are other ones.
    """
    given: dict[str, list[str]] = Json(str(filters).encode()).data if filters else {}
    if given.keys() != {"label"} and given:
        raise Unsupported(f"the only filter is label, not {', '.join(sorted(given))}")
    return set(given.get("label", []))


class _Oblivion(trio.abc.SendChannel[Request]):
    """Drops every request."""

    async def send(self, value: Request) -> None:
        del value

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


class _Output(trio.abc.HalfCloseableStream):
    """A workload's lines once it has ended, as a terminal would show them. It ignores what it is sent."""

    def __init__(self, workload: ReferenceWorkload) -> None:
        self._workload = workload
        self._given = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await self._workload.ended.wait()
        given, self._given = self._given, True
        return b"" if given else b"".join(line + b"\r\n" for line in self._workload.output)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class _Archive(trio.abc.ReceiveStream):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        file.seek(0)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._file.read(max_bytes or _READ)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
