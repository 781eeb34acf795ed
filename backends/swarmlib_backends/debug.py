"""`debug`: a line on stderr for each request that passes, and one for each reply.

#7 > ls containers {"all": "1"}
#7 < set 1.84 ms 530 B
#7 < ack 1.91 ms
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Final, TextIO

from swarmlib import Ack, Error, Filter, Invalid, Json, Log, Meta, Reply, Request, Tap, option
from swarmlib.reply import FINAL
from swarmlib.terminal import Unbuffered, escaped, stderr

from . import redact
from .patterns import fitting

_dumped: Final = partial(json.dumps, default=lambda other: other.decode("latin-1"))  # headers are bytes


@dataclass
class Debug(Filter):
    """Prints a line for each request and each reply to stderr, without secrets.

    Each call has a number, which its replies carry too, and every reply its time since the request. Sizes are
    those of the JSON value; an attached stream shows as `+stream`.

    Values, parameters and headers are shown only where the Engine API puts no secret; all others are ***: environment
    variables, labels, options of drivers, the words of commands, and every field that this version does not know.
    When stderr is not read fast enough, the oldest lines are dropped, and a line says how many; traffic never waits.
    """

    json: bool = option("print one JSON object per line", default=False)
    filter: list[str] = option(
        "print only requests whose 'verb path' matches, such as 'ls*'", default=[], metavar="PATTERN"
    )
    values: bool = option("print the values too, not only their sizes", default=False)
    out: TextIO | None = field(default=None, repr=False)
    """Where lines are written, unbuffered; by default to `sys.stderr` as it is when the stage opens, from a queue."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Set up this stage's own numbers and filter."""
        self._numbers = itertools.count(1)
        self._fits = fitting(self.filter, otherwise=True)
        self._out = Unbuffered(self.out) if self.out else stderr()
        self._form: Callable[[dict[str, Any]], str] = _dumped if self.json else _plain
        yield

    async def send(self, request: Request) -> None:
        """Show the request, and have its replies shown; forward it."""
        if not self._fits(request):
            await self.next.send(request)
            return
        number = next(self._numbers)
        self.write(_asked(number, request, self.values))
        call = _Call(self, number, request)
        request.reply.on_gone(call.gone)
        await self.next.send(request.replace(reply=Tap(request.reply, call.see)))

    def write(self, line: dict[str, Any]) -> None:
        """Write one line. If that fails (stderr closed), the traffic goes on without it."""
        self._out.write(self._form(line))


class _Call:
    """One call in progress."""

    __slots__ = ("_answered", "_asked", "_began", "_number", "_stage")

    def __init__(self, stage: Debug, number: int, asked: Request) -> None:
        self._stage = stage
        self._number = number
        self._asked = asked
        self._began = perf_counter()
        self._answered = False

    def see(self, reply: Reply) -> Reply:
        """Show a reply, and return it unchanged."""
        self._answered = self._answered or isinstance(reply, FINAL)
        line: dict[str, Any] = {"call": self._number, "reply": reply.kind, "ms": self._age()}
        if isinstance(reply, Error):
            line["error"] = reply.error.code
            line["message"] = redact.error(reply.error, redact.secrets_of(self._asked)).message
        else:
            if reply.details:
                line["details"] = redact.params(reply.details)
            if isinstance(reply, Log):
                line["bytes"] = len(reply.line)
            elif reply.value is not None:
                _add_value(line, reply.value, self._stage.values)
            if isinstance(reply, Ack) and reply.stream is not None:
                line["stream"] = True
        self._stage.write(line)
        return reply

    def gone(self) -> None:
        """Show that the caller disconnected before the answer."""
        if not self._answered:
            self._stage.write({"call": self._number, "reply": "gone", "ms": self._age()})

    def _age(self) -> float:
        return round((perf_counter() - self._began) * 1000, 2)


def _asked(number: int, request: Request, values: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"call": number, "verb": request.verb.value, "path": request.path}
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


def _plain(line: dict[str, Any]) -> str:
    if "verb" in line:
        parts = [f"#{line['call']} >", line["verb"], _printable("/".join(line["path"]))]
    else:
        parts = [f"#{line['call']} <", line["reply"], f"{line['ms']:.2f} ms"]
    if "error" in line:
        parts.append(f"{line['error']}: {_printable(line['message'])}")
    parts += [_shown(line[name]) for name in ("params", "details") if name in line]
    if about := {name: line[name] for name in ("caller", "version", "headers") if name in line}:
        parts.append(_shown(about))
    if "bytes" in line:
        parts.append("not JSON" if line["bytes"] is None else f"{line['bytes']} B")
    if "stream" in line:
        parts.append("+stream")
    if "value" in line:
        parts.append(_shown(line["value"]))
    return " ".join(part for part in parts if part)


def _printable(text: str) -> str:
    """Return `text` in a form that can't break the line or control the terminal."""
    return text if text.isprintable() else f'"{escaped(text)}"'


def _shown(data: Any) -> str:
    return escaped(_dumped(data))
