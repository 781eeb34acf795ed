"""`debug`: a line on stderr for each request that passes, and one for its outcome (`debug_lines` writes them)."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Any, ClassVar, TextIO

import trio

from swarmlib import Ack, Error, Filter, Invalid, Json, Log, Meta, Reply, Request, Set, Tap, option
from swarmlib.chain import place
from swarmlib.reply import FINAL
from swarmlib.terminal import Unbuffered, stderr
from swarmlib.verbs import CONVERSATIONS

from . import redact
from .debug_lines import AsText, as_json
from .patterns import fitting
from .stream_wrappers import CountingWrapper


@dataclass
class Debug(Filter):
    """Prints a line for each request and one for its outcome to stderr, without secrets.

    Each call has a number, which its further lines carry too: the answer, with its time since the request and its size,
    and the end of a stream, with the bytes that passed in each direction. Ids are shortened. In a member of `balance`,
    and where several debug stages are open, lines have a name: --label, or else the member's and the stage's number. On
    a terminal, lines are coloured (unless $NO_COLOR is set) and cut to its width.

    Values, parameters and headers are shown only where the Engine API puts no secret; all others are ***: environment
    variables, labels, options of drivers, the words of commands, and every field that this version does not know.
    When stderr is not read fast enough, the oldest lines are dropped, and a line says how many; traffic never waits.
    """

    json: bool = option("print one JSON object per line", default=False)
    filter: list[str] = option(
        "print only requests whose 'verb path' matches, such as 'ls*'", default=[], metavar="PATTERN"
    )
    values: bool = option("print the values too, not only their sizes", default=False)
    label: str = option("name of this stage in its lines", default="", metavar="NAME")
    out: TextIO | None = field(default=None, repr=False)
    """Where lines are written, unbuffered; by default to `sys.stderr` as it is when the stage opens, from a queue."""

    _open: ClassVar[set[int]] = set()
    """The stages that are open in this process."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Set up this stage's own numbers and filter."""
        self._numbers = itertools.count(1)
        self._fits = fitting(self.filter, otherwise=True)
        self._out = Unbuffered(self.out) if self.out else stderr()
        self._form: Callable[[dict[str, Any]], str] = as_json if self.json else AsText(self.out or sys.stderr)
        self._chain, self._number = place()
        self._open.add(id(self))
        try:
            yield
        finally:
            self._open.remove(id(self))

    async def send(self, request: Request) -> None:
        """Show the request, and have its replies shown; forward it."""
        if not self._fits(request):
            await self.next.send(request)
            return
        call = _Call(self, next(self._numbers), request)
        self.write({"call": call.number, **_asked(request, self.values)})
        request.reply.on_gone(call.gone)
        upload = None if request.upload is None else call.counted(request.upload, "in", "out")
        await self.next.send(request.replace(reply=Tap(request.reply, call.see), upload=upload))

    def write(self, line: dict[str, Any]) -> None:
        """Write one line. If that fails (stderr closed), the traffic goes on without it."""
        name = {"stage": self._shown_name} if self._shown_name else {}
        self._out.write(self._form({"time": datetime.now().astimezone(), **name, **line}))

    @property
    def _shown_name(self) -> str:
        if self.label or len(self._open) == 1:
            return self.label or self._chain
        return f"{self._chain}:{self._number}" if self._chain else f"debug{self._number}"


class _Call:
    """One call in progress."""

    __slots__ = ("_answered", "_asked", "_began", "_held", "_stage", "number")

    def __init__(self, stage: Debug, number: int, asked: Request) -> None:
        self.number = number
        self._stage = stage
        self._asked = asked
        self._began = perf_counter()
        self._answered = False
        self._held: dict[str, Any] = {}
        """The line about an object, until it is known whether only the final reply follows."""

    def see(self, reply: Reply) -> Reply:
        """Show a reply, and return it unchanged; but an object that only the final reply follows is shown with that."""
        self._answered = self._answered or isinstance(reply, FINAL)
        line = self._replied(reply)
        if isinstance(reply, Set) and self._asked.verb not in CONVERSATIONS:
            line, self._held = self._held, line
        elif isinstance(reply, Ack):
            line = {**self._held, **line}
            if reply.stream is not None:
                reply = reply.replace(stream=self.counted(reply.stream, "out", "in"))
        if line:
            self.write(line)
        return reply

    def _replied(self, reply: Reply) -> dict[str, Any]:
        line: dict[str, Any] = {"reply": reply.kind}
        if isinstance(reply, Error):
            shown = redact.error(reply.error, redact.secrets_of(self._asked))
            return {**line, "error": reply.error.code, "message": shown.message}
        if reply.details:
            line["details"] = redact.params(reply.details)
        if isinstance(reply, Log):
            line["bytes"] = len(reply.line)
        elif reply.value is not None:
            _add_value(line, reply.value, self._stage.values)
        if isinstance(reply, Ack) and reply.stream is not None:
            line["stream"] = True
        return line

    def gone(self) -> None:
        """Show that the caller disconnected before the answer."""
        if not self._answered:
            self.write({"reply": "gone"})

    def write(self, line: dict[str, Any]) -> None:
        """Write a line about the call."""
        asked = " ".join(filter(None, (self._asked.verb.value, "/".join(self._asked.path))))
        self._stage.write({"call": self.number, "asked": asked, "ms": self._age(), **line})

    def counted(self, stream: trio.abc.ReceiveStream, received: str, sent: str) -> trio.abc.ReceiveStream:
        """Return a stream whose end is shown, with the bytes that have passed.

        received, sent: what each direction is called, seen from the workload: `in` or `out`.
        """
        return _Counted(stream, self, received, sent).alike

    def _age(self) -> float:
        return round((perf_counter() - self._began) * 1000, 2)


class _Counted(CountingWrapper):
    """A stream of a call, whose bytes are counted."""

    def __init__(self, inner: trio.abc.ReceiveStream, call: _Call, received: str, sent: str) -> None:
        super().__init__(inner)
        self._call = call
        self._received, self._sent = received, sent
        self._passed = {"in": 0, "out": 0}
        self._closed = False

    async def received(self, count: int) -> None:
        """See `CountingWrapper`."""
        self._passed[self._received] += count

    async def sending(self, count: int) -> None:
        """See `CountingWrapper`."""
        self._passed[self._sent] += count

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        if not self._closed:
            self._closed = True
            self._call.write({"reply": "closed", **{way: size for way, size in self._passed.items() if size}})
        await super().aclose()


def _asked(request: Request, values: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"verb": request.verb.value, "path": request.path}
    if request.params:
        line["params"] = redact.params(request.params)
    line |= _about(redact.meta(request.meta))
    if request.body is not None:
        _add_value(line, request.body, values)
    if request.upload is not None:
        line["stream"] = True
    return line


def _about(meta: Meta) -> dict[str, Any]:
    """Return what is known about a call; empty values are left out."""
    known = {"caller": meta.caller, "version": meta.version, "headers": meta.headers}
    return {name: each for name, each in known.items() if each}


def _add_value(line: dict[str, Any], value: Json, values: bool) -> None:
    try:
        line["bytes"] = len(value.raw)
        if values:
            line["value"] = redact.value(value.data)
    except Invalid:  # refusing what is not JSON is left to the stage that decodes it
        line.setdefault("bytes", None)
