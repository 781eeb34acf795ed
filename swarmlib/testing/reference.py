"""A whole service in memory: the leaf that the conformance kit puts behind what it checks, and a fake for tests.

Its workloads do what their image is called: `idle` runs until it is stopped, `talks` writes LINES and ends, `echoes`
gives back what it is sent. It can be told to fail, hold or drop the calls to one of them, and says what is under way.
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

from ..channel import Reply, Sender
from ..errors import Conflict, Invalid, NotFound, SwarmError, Unsupported
from ..message import Message, Path, Verb
from ..names import check_path
from ..service import Server

LINES: Final = (b"first", b"", b"\xff third")
"""What a `talks` writes: the last one is no UTF-8, and one is empty."""
FLOOD: Final = 2000
"""How many values a `watch` of a workload's stats gives, of `FLOOD_BYTES` each: as many at once as are taken."""
FLOOD_BYTES: Final = 16 * 1024
_READ: Final = 64 * 1024


class Trouble(Enum):
    """What may happen to a call, besides an error."""

    HELD = "it is never answered"
    DROPPED = "it is forgotten, and its reply channel with it"


@dataclass
class Workload:
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
        """As it is told when asked."""
        return {"Status": self.status, "Running": self.status == "running", "ExitCode": 0}

    @property
    def output(self) -> tuple[bytes, ...]:
        """The lines that it has written by its end."""
        return LINES if self.body.get("Image") == "talks" else ()

    def end(self) -> None:
        """It runs no more."""
        self.status = "exited"
        self.ended.set()

    def forget_archive(self) -> None:
        """Close and forget its archive, if it has one."""
        if self.archive is not None:
            self.archive.close()
            self.archive = None


class Reference(Server):
    """A service in memory, for tests. Its openings share one state: who made it holds it, and looks into it."""

    def __init__(self) -> None:
        self.workloads: dict[str, Workload] = {}
        self.under_way: list[Message] = []
        """The calls that have not ended, conversations among them."""
        self.logged: list[bytes] = []
        """The lines that came one way."""
        self.flooded = 0
        """How many values of FLOOD have been sent."""
        self.holds_all = False
        """Whether every call is held."""
        self._trouble: dict[str, SwarmError | Trouble | None] = {}
        self._watchers: list[trio.MemorySendChannel[dict[str, Any]]] = []
        self._changed = trio.Event()

    def _bound_to(self, next: Sender) -> Self:
        self.next = next  # no copy: see the class
        return self

    # For tests.

    def add(self, name: str, image: str = "idle") -> Workload:
        """A workload of any name, by another way than `spawn`."""
        made = Workload(secrets.token_hex(8), name, {"Image": image})
        self.workloads[made.id] = made
        return made

    def trouble(self, ref: str, what: SwarmError | Trouble | None) -> None:
        """From now on every call that names an object so (by id or by name) fails, is held or is dropped; None ends
        that.
        """
        self._trouble[ref] = what

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until something is so; it is looked at whenever a call begins or ends here."""
        while not ready():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # The verbs.

    def handlers(self) -> Mapping[Verb, Any]:
        """Each verb, with its trouble, and counted while it is under way."""
        return {verb: partial(self._tracked, handler) for verb, handler in super().handlers().items()}

    async def _tracked(self, handler: Callable[[Message], Any], message: Message) -> Any:
        trouble = Trouble.HELD if self.holds_all else self._trouble.get(message.path[1] if message.path[1:] else "")
        if trouble is Trouble.DROPPED:
            return await self.hand_on(message, _Oblivion())
        self.under_way.append(message)
        self._tell()
        try:
            if isinstance(trouble, SwarmError):
                raise trouble
            if trouble is Trouble.HELD:
                await trio.sleep_forever()
            return await handler(message)
        finally:
            self.under_way[:] = [each for each in self.under_way if each is not message]
            self._tell()

    async def ls(self, message: Message) -> list[Any]:
        """All workloads; without `all`, those that run."""
        self._at(message, ("containers",))
        return [
            {"Id": each.id, "Names": [f"/{each.name}"], "State": each.status, "Image": each.body.get("Image", "")}
            for each in self.workloads.values()
            if message.args.get("all") or each.status == "running"
        ]

    async def get(self, message: Message) -> Any:
        """The service's state, or a workload's."""
        if not message.path:
            return {"Name": "reference", "Containers": len(self.workloads)}
        found = self._find(message)
        return {
            "Id": found.id,
            "Name": f"/{found.name}",
            "State": found.state,
            "Config": {**found.body, "Tty": True},
        }

    async def spawn(self, message: Message) -> Any:
        """A workload, of the image `idle`, `talks` or `echoes`."""
        self._at(message, ("containers",))
        body = message.json
        if not isinstance(body, dict):
            raise Invalid("the body of a spawn should be a JSON object")
        id = secrets.token_hex(8)
        name = str(message.args.get("name") or f"box_{id[:6]}")
        check_path((name,))
        if any(each.name == name for each in self.workloads.values()):
            raise Conflict(f"the name {name} is taken")
        made = self.workloads[id] = Workload(id, name, cast("dict[str, Any]", body))
        self._happened("create", made)
        return {"Id": id, "Warnings": []}

    async def start(self, message: Message) -> None:
        """Start a workload; a `talks` ends at once."""
        found = self._find(message)
        found.status, found.ended = "running", found.ended if found.status == "created" else trio.Event()
        self._happened("start", found)
        if found.output:
            found.end()

    async def stop(self, message: Message) -> None:
        """Stop a workload."""
        found = self._find(message)
        found.end()
        self._happened("die", found)

    async def set(self, message: Message) -> None:
        """Rename a workload."""
        found = self._find(message, "rename")
        found.name = str(message.args.get("name", ""))

    async def rm(self, message: Message) -> None:
        """Remove a workload that doesn't run."""
        found = self._find(message)
        if found.status == "running":
            raise Conflict(f"{found.name} is running: stop it first")
        del self.workloads[found.id]
        found.forget_archive()
        self._happened("destroy", found)

    async def log(self, message: Message) -> None:
        """A line, one way; it is kept in `logged`."""
        if isinstance(message.value, bytes):
            self.logged.append(message.value)

    async def watch(self, message: Message) -> None:
        """The service's events; or of a workload its `stats`, a flood, or its end (`wait`)."""
        ret = message.reply
        match message.path:
            case ():
                await self._send_events(ret)
            case ("containers", _, "stats"):
                self._find(message, "stats")
                await self._flood(ret)
            case _:
                found = self._find(message, "wait")
                await ret.ack()
                await found.ended.wait()
                await ret.set({"StatusCode": 0})

    async def _send_events(self, ret: Reply) -> None:
        send, receive = trio.open_memory_channel[dict[str, Any]](1000)
        self._watchers.append(send)
        try:
            await ret.ack()
            async for event in receive:
                await ret.set(event)
        finally:
            self._watchers.remove(send)

    async def _flood(self, ret: Reply) -> None:
        padding = "x" * FLOOD_BYTES
        await ret.ack()
        for number in range(FLOOD):
            await ret.set({"number": number, "padding": padding})
            self.flooded = number + 1

    async def attach(self, message: Message) -> None:
        """A workload's lines, and its state when it ends."""
        found, ret = self._find(message), message.reply
        await ret.ack()
        await found.ended.wait()
        for line in found.output:
            await ret.log(line, stream="stdout")
        await ret.set(found.state)

    async def connect(self, message: Message) -> None:
        """A workload's stdio, which gives back what it is sent; or its `logs`."""
        if message.path[2:] == ("logs",):
            await message.reply.ack(att=_Output(self._find(message, "logs")))
            return
        found = self._find(message)
        if found.body.get("Image") != "echoes":
            await message.reply.ack(att=_Output(found))
            return
        send, receive = lockstep_stream_one_way_pair()
        await message.reply.ack(att=trio.StapledStream(send, receive))

    async def file(self, message: Message) -> None:
        """A tar into a workload's `archive`, or the one that was put there last out of it."""
        found = self._find(message, "archive")
        if message.att is None:
            if found.archive is None:
                raise NotFound(f"nothing was put into {found.name} yet", path=message.path)
            await message.reply.ack(att=_Archive(found.archive))
            return
        found.forget_archive()
        found.archive = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the workload
        async with message.att as given:
            async for data in given:
                found.archive.write(data)

    def _happened(self, action: str, workload: Workload) -> None:
        about = {"ID": workload.id, "Attributes": {"name": workload.name}}
        event = {"Type": "container", "Action": action, "Actor": about}
        for watcher in self._watchers:
            watcher.send_nowait(event)

    @staticmethod
    def _at(message: Message, place: Path) -> None:
        if message.path != place:
            raise Unsupported(f"there is no {message.verb} for {'/'.join(message.path)}", path=message.path)

    def _find(self, message: Message, *part: str) -> Workload:
        """The workload that `message` speaks of, and of it the `part` that it must speak of."""
        if message.path[:1] != ("containers",) or len(message.path) < 2:
            raise Unsupported(f"there is no {message.verb} for {'/'.join(message.path)}", path=message.path)
        ref = message.path[1]
        found = self.workloads.get(ref) or next((w for w in self.workloads.values() if w.name == ref), None)
        if found is None:
            raise NotFound(f"there is no workload {ref[:100]}", path=message.path)
        self._at(message, ("containers", ref, *part))
        return found

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Close the archives at the end."""
        try:
            yield
        finally:
            for each in self.workloads.values():
                each.forget_archive()


class _Oblivion(trio.abc.SendChannel[Message]):
    """Forgets what it is sent."""

    async def send(self, value: Message) -> None:
        del value

    async def aclose(self) -> None:
        """Nothing to close."""


class _Output(trio.abc.HalfCloseableStream):
    """A workload's lines once it has ended, as a terminal would show them. It reads nothing."""

    def __init__(self, workload: Workload) -> None:
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
