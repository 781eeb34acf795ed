"""`record`: what passes goes into a file, for `replay` and for who wants to know later."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, cast

import trio

from swarmlib import Filter, Invalid, Message, Path, Reply, Sender, Tap, Verb, argument, option
from swarmlib.message import FINAL
from swarmlib.wire.codec import RefKind

from . import redact
from .dockerapi.rows import WHOLE
from .recording import PIECE, What, Writer, bytes_of
from .streams import Passage

_log: Final = logging.getLogger("swarmlib")


@dataclass
class Record(Filter):
    """Writes every message and reply to a file, with the bytes of their streams and the time of each.

    The file is its owner's alone (mode 0600), and good at any moment: each record is written whole, with a checksum,
    within moments; where the disk is behind, the traffic waits for it. Secrets are not in it: of values, arguments,
    headers and errors it holds what `debug --values` shows, and *** for the rest, which a replay then answers. Requests
    that differ only in what is hidden are the same to a replay. What a program reads and writes is in the file as it
    is, a terminal's passwords too, and so are the files that are copied out of containers. Of uploads (build contexts,
    archives) and of requests that are passed on whole (BuildKit's), whose streams hold credentials, no bytes are
    recorded. Where the file can't be written any more, or the disk hangs for seconds, the traffic goes on without it,
    and the log says so.

    record session.swarm
    """

    file: str = argument("the file to write")
    append: bool = option("go on with a file that exists", default=False)
    force: bool = option("begin a file that exists anew", default=False)

    def __post_init__(self) -> None:
        if self.append and self.force:
            raise Invalid("--append goes on with a file and --force begins it anew: give one of them")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the file open."""
        self._writer = Writer(self.file, append=self.append, force=self.force)
        self._numbers = count(self._writer.calls + 1)
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):  # it takes CLOSE_SECONDS at most
                await trio.to_thread.run_sync(self._writer.close)

    async def send(self, message: Message) -> None:
        """Record a message, and have what comes of it recorded; pass it on."""
        await self.record(message, self.next)

    async def record(self, message: Message, to: Sender, below: Path = ()) -> None:
        """Record a message that goes `to` a channel, whose paths begin `below`."""
        await self.room()
        call = _Call(self, next(self._numbers), (*below, *message.path))
        call.asked(message)
        att, ret = message.att, message.ret
        if att is not None:
            att = _Upload(att, call).alike
        if ret is not None:
            ret.on_gone(call.gone)
            ret = _Told(ret, call)
        await to.send(message.but(att=att, ret=ret))

    def put(self, what: What, call: int, data: bytes = b"") -> None:
        """Have a record written."""
        self._writer.put(what, call, data)

    async def room(self) -> None:
        """Wait until the file takes more: before each piece of traffic that may come in any number."""
        await self._writer.room()


class _Call:
    """One call under way. It holds no reply channel: a channel that is dropped must be noticed as dropped."""

    def __init__(self, stage: Record, number: int, path: Path) -> None:
        self._stage = stage
        self._number = number
        self._path = path
        self._ended = False

    def asked(self, request: Message) -> None:
        self._asked = Message(request.verb, args=request.args, value=request.value)
        self._put_message(What.ASK, request.but(path=self._path))

    def replied(self, reply: Message) -> Message:
        """Record a reply; it goes on with its stream and its channel tapped."""
        self._put_message(What.REPLY, reply)
        if reply.att is not None:
            reply = reply.but(att=_Conversation(reply.att, self).alike)
        if reply.channel is not None:
            reply = reply.but(channel=_Object(reply.channel, self._stage, self._path_of(reply)))
        return reply

    def _path_of(self, ack: Message) -> Path:
        """Where the object is to which an `ack` gives a channel: what was attached to, or what was spawned there."""
        made = cast("dict[str, Any]", ack.json or {})
        return (*self._path, str(made["Id"])) if "Id" in made else self._path

    def ended(self) -> None:
        self._over(What.END)

    def gone(self) -> None:
        self._over(What.GONE)

    def _over(self, how: What) -> None:
        """Record which was first: the end of the replies, or of the caller."""
        if not self._ended:
            self._ended = True
            self._put(how)

    def passed(self, what: What, data: bytes | bytearray | memoryview = b"") -> None:
        """Record a stream's bytes, or what else became of it."""
        if self._path == WHOLE.path(""):
            return
        for start in range(0, len(data) or 1, PIECE):
            self._put(what, bytes(data[start : start + PIECE]))

    async def room(self) -> None:
        """See `Record.room`."""
        await self._stage.room()

    def _put_message(self, what: What, message: Message) -> None:
        try:
            secrets = redact.secrets_of(self._asked) if message.verb is Verb.ERROR else ()
            data = bytes_of(redact.message(message, secrets), _kind(message.att))
        except Invalid as exc:
            _log.warning("record: call %d, %s: not recorded: %s", self._number, what, exc)
        else:
            self._put(what, data)

    def _put(self, what: What, data: bytes = b"") -> None:
        self._stage.put(what, self._number, data)


class _Told(Tap):
    """A reply channel whose end is recorded too. A final reply waits for nothing."""

    def __init__(self, inner: Reply, call: _Call) -> None:
        super().__init__(inner, call.replied)
        self._call = call

    async def _deliver(self, reply: Message) -> None:
        if reply.verb not in FINAL:
            await self._call.room()
        await super()._deliver(reply)

    async def _finish(self) -> None:
        self._call.ended()
        await super()._finish()


class _Object(trio.abc.SendChannel[Message]):
    """The channel to an object, by which messages would pass unseen."""

    def __init__(self, inner: Sender, stage: Record, path: Path) -> None:
        self._inner = inner
        self._stage = stage
        self._path = path

    async def send(self, value: Message) -> None:
        await self._stage.record(value, self._inner, self._path)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Upload(Passage):
    """A request's attachment: what is received of it, the caller has sent. Only its end is recorded: a replay compares
    none of its bytes, and build contexts and archives hold what nobody looked through for secrets.
    """

    def __init__(self, inner: trio.abc.ReceiveStream, call: _Call) -> None:
        super().__init__(inner)
        self._call = call

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await super().receive_some(max_bytes)
        if not data:
            self._call.passed(What.SENT)
        return data


class _Conversation(Passage):
    """The stream that an `ack` brought. What is sent is recorded first: its answer may come before it is all sent."""

    def __init__(self, inner: trio.abc.ReceiveStream, call: _Call) -> None:
        super().__init__(inner)
        self._call = call

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        await self._call.room()
        try:
            data = await super().receive_some(max_bytes)
        except trio.BrokenResourceError:
            self._call.passed(What.BROKE)
            raise
        self._call.passed(What.RECEIVED, data)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._call.room()
        if data:
            self._call.passed(What.SENT, data)
        await super().send_all(data)

    async def send_eof(self) -> None:
        self._call.passed(What.SENT)
        await super().send_eof()


def _kind(att: trio.abc.ReceiveStream | None) -> RefKind | None:
    if att is None:
        return None
    return RefKind.DUPLEX if isinstance(att, trio.abc.HalfCloseableStream) else RefKind.STREAM
