"""`record`: writes all traffic to a file, for `replay` and for later inspection."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

import trio

from swarmlib import Ack, Error, Filter, Invalid, Reply, ReplySender, Request, Tap, argument, option
from swarmlib.reply import FINAL

from . import redact
from .dockerapi.rows import WHOLE
from .recording import PIECE, What, Writer, check_writable, reply_bytes, request_bytes
from .stream_wrappers import StreamWrapper

_log: Final = logging.getLogger(__name__)


@dataclass
class Record(Filter):
    """Writes every request and reply to a file, with the bytes of their streams and the time of each.

    Only its owner can read the file (mode 0600). It is valid at any moment: each record is written whole, with a
    checksum and without delay; if the disk is slow, the traffic waits for it. Of values, parameters, headers and
    errors, the file holds what `debug --values` shows, and *** in place of the rest, which a replay then answers. A
    replay can't distinguish requests that differ only in hidden values. What programs read and write is recorded
    unchanged, including passwords typed in a terminal, and so are files copied out of containers. No bytes are recorded
    of uploads (build contexts, archives) and of requests that are forwarded unchanged (BuildKit's), since their streams
    hold credentials. If the file can't be written any more, or the disk hangs for seconds, the traffic continues
    without the recording, and a warning is logged.

    record session.swarm
    """

    file: str = argument("file to write")
    append: bool = option("append to an existing file", default=False)
    force: bool = option("overwrite an existing file", default=False)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if self.append and self.force:
            raise Invalid("--append and --force can't be used together")

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        check_writable(self.file, append=self.append, force=self.force)

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

    async def send(self, request: Request) -> None:
        """Record a request, and have its replies and streams recorded; forward it."""
        await self.room()
        call = _Call(self, next(self._numbers), request)
        upload = None if request.upload is None else _Upload(request.upload, call).alike
        request.reply.on_gone(call.gone)
        await self.next.send(request.replace(upload=upload, reply=_Told(request.reply, call)))

    def put(self, what: What, call: int, data: bytes = b"") -> None:
        """Have a record written."""
        self._writer.put(what, call, data)

    async def room(self) -> None:
        """Wait until the file takes more: call this before each of an unbounded number of records."""
        await self._writer.room()


class _Call:
    """One call in progress."""

    def __init__(self, stage: Record, number: int, asked: Request) -> None:
        self._stage = stage
        self._number = number
        self._asked = asked
        self._ended = False
        self._put_message(What.ASK, lambda: request_bytes(redact.request(self._asked), upload=asked.upload is not None))

    def replied(self, reply: Reply) -> Reply:
        """Record a reply; return it with its stream tapped."""
        secrets = redact.secrets_of(self._asked) if isinstance(reply, Error) else ()
        self._put_message(What.REPLY, lambda: reply_bytes(redact.reply(reply, secrets)))
        if isinstance(reply, Ack) and reply.stream is not None:
            return reply.replace(stream=_Conversation(reply.stream, self).alike)
        return reply

    def ended(self) -> None:
        self._over(What.END)

    def gone(self) -> None:
        self._over(What.GONE)

    def _over(self, how: What) -> None:
        """Record which came first: the end of the replies, or of the caller."""
        if not self._ended:
            self._ended = True
            self._put(how)

    def passed(self, what: What, data: bytes | bytearray | memoryview = b"") -> None:
        """Record a stream's bytes, or its end or break."""
        if self._asked.path == WHOLE.path(""):
            return
        for start in range(0, len(data) or 1, PIECE):
            self._put(what, bytes(data[start : start + PIECE]))

    async def room(self) -> None:
        """See `Record.room`."""
        await self._stage.room()

    def _put_message(self, what: What, data: Callable[[], bytes]) -> None:
        try:
            self._put(what, data())
        except Invalid as exc:
            _log.warning("record: call %d, %s: not recorded: %s", self._number, what, exc)

    def _put(self, what: What, data: bytes = b"") -> None:
        self._stage.put(what, self._number, data)


class _Told(Tap):
    """A reply channel whose end is recorded too. A final reply does not wait for room."""

    def __init__(self, inner: ReplySender, call: _Call) -> None:
        super().__init__(inner, call.replied)
        self._call = call

    async def _deliver(self, reply: Reply) -> None:
        if not isinstance(reply, FINAL):
            await self._call.room()
        await super()._deliver(reply)

    async def _finish(self) -> None:
        self._call.ended()
        await super()._finish()


class _Upload(StreamWrapper):
    """A request's upload: what is received from it was sent by the caller. Only its end is recorded: a replay does not
    compare its bytes, and build contexts and archives may hold secrets that nobody has removed.
    """

    def __init__(self, inner: trio.abc.ReceiveStream, call: _Call) -> None:
        super().__init__(inner)
        self._call = call

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await super().receive_some(max_bytes)
        if not data:
            self._call.passed(What.SENT)
        return data


class _Conversation(StreamWrapper):
    """The stream of an `ack`. Data is recorded before it is sent, as its answer may come before it is all sent."""

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
