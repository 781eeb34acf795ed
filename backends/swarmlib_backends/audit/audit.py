"""The stage `audit`: a line about each call, at its end, in a file whose lines are chained."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final

import trio

from swarmlib import (
    Ack,
    Error,
    Filter,
    Reply,
    ReplySender,
    Request,
    Tap,
    Unavailable,
    argument,
    option,
)
from swarmlib.refusing import as_error
from swarmlib.reply import FINAL
from swarmlib.verbs import CONVERSATIONS

from ..dockerapi.canonical import canonical
from ..queues import counted
from ..reopening import reopened
from ..stream_wrappers import CountingWrapper
from .journal import STDOUT, Journal, check
from .line import Line
from .writer import Writer

_RUN_BYTES: Final = 4


@dataclass
class Audit(Filter):
    """Writes a line of JSON about each call at its end: who did what to which object, and what came of it.

    Each line holds the SHA-256 of the line before, so that `swarmd audit verify FILE` finds one that was changed,
    removed or moved. Secrets are left out. Only the file's owner can read it, if it is new (mode 0600). If it is
    renamed, as logrotate does, a new one is begun, which continues the chain.

    With `--sync`, the line is on the disk before the client has the end of the answer; a line that can't be written
    makes the call fail, and no further call is carried out until it can. Without, calls never wait for the disk, and
    lines that can't be written are counted. A stream or a watch has its line at its end.

    audit /var/log/swarmlib/audit.log --sync
    """

    file: str = argument(f"file to write; {STDOUT} is standard output")
    sync: bool = option("have each line on the disk before its call ends; let no call pass without", default=False)

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        check(self.file)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the file open."""
        run = secrets.token_hex(_RUN_BYTES)
        self._ids = map(f"{run}-{{}}".format, count(1))
        """The ids of calls: of this run, and their numbers in it."""
        journal = await trio.to_thread.run_sync(partial(Journal, self.file, durable=self.sync))
        self._writer = Writer(journal, self.file, sync=self.sync)
        async with self._writer.running(), counted(self.name, self._writer.unwritten):
            with reopened(self._writer.wake):
                yield

    async def send(self, request: Request) -> None:
        """Have the end of a call written; forward it."""
        request = canonical(request)
        if self.sync:
            self._writer.check()
        call = _Call(self._writer, next(self._ids), request)
        request.reply.on_gone(call.closed)
        if request.upload is not None:
            request = request.replace(upload=_Upload(request.upload, call).alike)
        try:
            with call.notes:
                if not self.sync:
                    request.reply.watch(call)
                    await self.next.send(request)
                    return
                await self.next.send(request.replace(reply=_Told(request.reply, call)))
        except Exception as exc:
            if not self.sync:
                raise
            error = as_error(exc, "", request)
            told = await call.replied(Error(error))
            assert isinstance(told, Error)
            raise told.error from exc


class _Call(Line):
    """One call in progress. Without `--sync` it watches the replies where they are sent; see `Watcher`."""

    _streams = _over = False
    """Whether a stream goes on after the replies; whether the line was given to the writer."""

    def __init__(self, writer: Writer, id: str, request: Request) -> None:
        super().__init__(id, request)
        self._writer = writer
        self._lasts = request.verb in CONVERSATIONS

    def see(self, reply: Reply) -> Reply:
        """Take a reply into account; return it."""
        if self.has_ended:
            return reply
        self.add(reply)
        if type(reply) in FINAL:
            if isinstance(reply, Ack) and (self._lasts or reply.stream is not None):
                return self._going_on(reply)
            self.end()
        return reply

    def delivered(self) -> None:
        """Have the line written if the call has ended, now that its client need not wait for this."""
        if self.has_ended:
            self.broke()

    def closed(self) -> None:
        """Have the line written unless a stream goes on: the replies end, or the client has disconnected before."""
        if not self._over and not self._streams:
            self.broke()

    async def replied(self, reply: Reply) -> Reply:
        """Take a reply into account, and write the line if it is the end; return the reply that the client gets."""
        self.add(reply)
        if isinstance(reply, Ack) and (self._lasts or reply.stream is not None):
            return self._going_on(reply)
        if type(reply) in FINAL:
            try:
                await self.written()
            except Unavailable as exc:
                return Error(exc)
        return reply

    def _going_on(self, reply: Ack) -> Ack:
        """Return an answer that is not the end: more replies follow it, or its stream has the call's end."""
        if reply.stream is None:
            return reply
        self._streams = True
        return reply.replace(stream=_Conversation(reply.stream, self).alike)

    async def written(self) -> None:
        """Write the line, if that was not done yet.

        Raises:
            Unavailable: it can't be written, with `--sync`.
        """
        if not self._over:
            self._over = True
            self.end()
            await self._writer.write(self)

    async def finished(self) -> None:
        """Write the line at the end of the replies, unless a stream goes on. Raise as `written`."""
        if not self._streams:
            await self.written()

    def broke(self) -> None:
        """Have the line written of a call whose end the client does not wait for."""
        if not self._over:
            self._over = True
            self.end()
            self._writer.put(self)


class _Told(Tap):
    """A reply channel whose end waits until the line is written."""

    def __init__(self, inner: ReplySender, call: _Call) -> None:
        super().__init__(inner, lambda reply: reply)
        self._call = call

    async def _deliver(self, reply: Reply) -> None:
        await super()._deliver(await self._call.replied(reply))

    async def _finish(self) -> None:
        try:
            await self._call.finished()
        except Unavailable as exc:
            await super()._deliver(Error(exc))
        await super()._finish()


class _Upload(CountingWrapper):
    """A request's upload, whose bytes are counted."""

    def __init__(self, inner: trio.abc.ReceiveStream, call: _Call) -> None:
        super().__init__(inner)
        self._call = call

    async def received(self, count: int) -> None:
        self._call.received += count


class _Conversation(CountingWrapper):
    """The stream of an `ack`, whose bytes are counted, and whose end has the call's line."""

    def __init__(self, inner: trio.abc.ReceiveStream, call: _Call) -> None:
        super().__init__(inner)
        self._call = call

    async def received(self, count: int) -> None:
        self._call.sent += count
        if not count:
            await self._end()

    async def sending(self, count: int) -> None:
        self._call.received += count

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            self._call.broke()

    async def _end(self) -> None:
        try:
            await self._call.written()
        except Unavailable as exc:
            raise trio.BrokenResourceError(exc.message) from exc
