"""Transcript tests: what is sent to a chain, and what must come back.

    from swarmlib.testing import script as s

    await (s.expect("exec") << s.ls("containers", all="1") >> s.set([]) >> s.ack())

`<<` sends a request, `>>` states its next reply, one after another from left to right. The words are the verbs, with
the arguments of the methods of `swarmlib.Client`; `ack`, `error`, `set` and `log` are the replies.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

import trio

from ..asking import dispatch
from ..bytes_stream import BytesStream
from ..chain import Chain
from ..client.caller import WORKLOADS
from ..errors import BadAnswer, Invalid, SwarmError
from ..reply import Ack, Error, Log, Reply, Set
from ..reply_pair import ReplyReceiver, open_reply
from ..request import Request, Sender
from ..service import Backend
from ..values import as_json
from ..verbs import Verb
from .matching import ANY, mismatch, shown, subset

__all__ = [
    "ANY",
    "ack",
    "attach",
    "connect",
    "error",
    "expect",
    "file",
    "get",
    "log",
    "ls",
    "rm",
    "set",
    "spawn",
    "start",
    "stop",
    "subset",
    "watch",
]

_CONVERSATIONS: Final = frozenset({Verb.ATTACH, Verb.WATCH})
_VERBS: Final = frozenset(Verb)
_REPLIES: Final = frozenset({Ack.kind, Set.kind, Log.kind, Error.kind})
_UNSAID: Final = object()
_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Step:
    """One word of a script: a request after `<<`, or a reply after `>>`."""

    word: str
    words: tuple[Any, ...] = ()
    value: Any = _UNSAID
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The parameters of a request, or the details of a reply."""
    stream: bytes | None = None

    @property
    def verb(self) -> Verb:
        """The verb of a request."""
        return Verb(self.word)

    def request(self) -> Request:
        """Return the request that this step sends. Bytes are its upload; a `connect` sends them on its stream."""
        if self.word not in _VERBS:
            raise TypeError(f"{self.word} is a reply: write it after >>")
        if not all(isinstance(word, str) for word in self.words):
            raise TypeError(f"{self.word} after << takes a path, not {self.words!r}")
        upload = None if self.stream is None or self.verb is Verb.CONNECT else BytesStream(self.stream)
        body = None if self.value is _UNSAID else as_json(self.value)
        return Request(self.verb, self.words, self.params, body, upload=upload)

    def expected(self) -> _Expected:
        """Return the reply that this step expects."""
        if self.word not in _REPLIES:
            raise TypeError(f"{self.word} is a request: write it after <<")
        if len(self.words) > 1:
            raise TypeError(f"{self.word} after >> takes one value, not {self.words!r}")
        value = self.words[0] if self.words else self.value
        return _Expected(self.word, value, self.params, self.stream)


@dataclass(frozen=True)
class _Expected:
    kind: str
    value: Any
    details: Mapping[str, Any]
    stream: bytes | None

    def __str__(self) -> str:
        return _line(self.kind, self.value, self.details, self.stream)

    def mismatch(self, got: _Got) -> str | None:
        """Return how a reply differs from the expected one; None if it doesn't."""
        if got.kind != self.kind:
            return f"expected {self.kind}, got {got.kind}"
        if self.value is not _UNSAID and (problem := mismatch(self.value, got.value)):
            return problem
        if problem := mismatch(subset(dict(self.details)), got.details, "details"):
            return problem
        return None if self.stream is None else mismatch(self.stream, got.stream, "stream")


@dataclass(frozen=True)
class _Got:
    """The parts of a received reply that a script compares."""

    kind: str
    value: Any
    details: dict[str, Any]
    stream: bytes | None = None

    def __str__(self) -> str:
        return _line(self.kind, _UNSAID if self.value is None else self.value, self.details, self.stream)


def _line(kind: str, value: Any, details: Mapping[str, Any], stream: bytes | None) -> str:
    """Return a reply as a script would write it."""
    parts = [kind] if value is _UNSAID else [kind, shown(value)]
    parts += [f"{name}={shown(each)}" for name, each in details.items()]
    return " ".join(parts if stream is None else [*parts, f"stream={stream!r}"])


@dataclass
class _Exchange:
    request: Step
    replies: list[_Expected] = field(default_factory=list[_Expected])

    def __str__(self) -> str:
        words = [self.request.word, "/".join(map(str, self.request.words))]
        value = [] if self.request.value in (_UNSAID, None) else [shown(self.request.value)]
        return " ".join(part for part in [*words, *value] if part)


class Script:
    """What is sent, and what must come back; run it with `await`.

    Replies belong to the request before them. All must come, in this order: any other reply is a mismatch. After a
    request's last expected reply its replies must end, unless it is an `attach` or a `watch`, which is left then; a
    request without expected replies is sent, and left at once. Only the stated parts of a reply are compared: `ack()`
    fits every ack, `ack(None)` one without a value, and there may be more `details` than are named.

    A script that is never awaited causes a RuntimeWarning. Awaiting it raises:
        AssertionError: a reply differs, none comes within `seconds`, or there is one too many; both sides are printed.
        SwarmError: the chain can't be opened.
    """

    def __init__(self, chain: str | Chain | Backend | Sender, seconds: float = _SECONDS) -> None:
        self._chain = chain
        self._seconds = seconds
        self._exchanges: list[_Exchange] = []
        self._due = False

    def __lshift__(self, request: Step) -> Script:
        self._due = False
        request.request()  # so that a reply in this place is refused at once
        self._exchanges.append(_Exchange(request))
        self._due = True
        return self

    def __rshift__(self, reply: Step) -> Script:
        self._due = False
        if not self._exchanges:
            raise TypeError("a script begins with a request: expect(chain) << ls() >> …")
        self._exchanges[-1].replies.append(reply.expected())
        self._due = True
        return self

    def __await__(self) -> Generator[Any, Any, None]:
        self._due = False
        return self._run().__await__()

    def __del__(self) -> None:
        if getattr(self, "_due", False):  # as for a coroutine: a test that lacks the `await` must not pass
            warnings.warn(f"the script `{self._exchanges[0]}` … was never awaited", RuntimeWarning, stacklevel=1)

    async def _run(self) -> None:
        async with _opened(self._chain) as sender:
            for exchange in self._exchanges:
                await _Run(exchange, self._seconds).run(sender)


@asynccontextmanager
async def _opened(chain: str | Chain | Backend | Sender) -> AsyncGenerator[Sender]:
    if isinstance(chain, trio.abc.SendChannel):
        yield chain
        return
    async with (Chain(chain) if isinstance(chain, Backend) else Chain.read(chain)).open() as sender:
        yield sender


class _Run:
    """One exchange under way."""

    def __init__(self, exchange: _Exchange, seconds: float) -> None:
        self._exchange = exchange
        self._seconds = seconds
        self._got: list[_Got] = []

    async def run(self, sender: Sender) -> None:
        request = self._exchange.request.request()
        reply, replies = open_reply()
        async with replies:
            with trio.move_on_after(self._seconds) as patience:
                await dispatch(sender, request.replace(reply=reply))
            if patience.cancelled_caught:
                raise self._failure(f"the request was not taken within {self._seconds:g} s", 0)
            for number, expected in enumerate(self._exchange.replies):
                got = await self._next(replies, "no reply")
                if problem := "the replies ended" if got is None else expected.mismatch(got):
                    raise self._failure(problem, number)
            if self._exchange.replies and self._exchange.request.verb not in _CONVERSATIONS:
                await self._must_end(replies)

    async def _must_end(self, replies: ReplyReceiver) -> None:
        if await self._next(replies, "the replies did not end") is not None:
            raise self._failure("unexpected reply", len(self._exchange.replies))

    async def _next(self, replies: ReplyReceiver, late: str) -> _Got | None:
        """Return the next reply, or None at the end."""
        with trio.move_on_after(self._seconds):
            try:
                self._got.append(await self._read(await replies.receive()))
            except trio.EndOfChannel:
                return None
            return self._got[-1]
        raise self._failure(f"{late} within {self._seconds:g} s", len(self._got))

    async def _read(self, reply: Reply) -> _Got:
        stream = reply.stream if isinstance(reply, Ack) else None
        details = {} if isinstance(reply, Error) else dict(reply.details)
        return _Got(reply.kind, _value(reply), details, None if stream is None else await self._all_of(stream))

    async def _all_of(self, stream: trio.abc.ReceiveStream) -> bytes | None:
        """Return all bytes of a stream, if the script states what they should be; close it in any case."""
        async with stream:
            if not any(expected.stream is not None for expected in self._exchange.replies):
                return None
            given = self._exchange.request.stream
            async with trio.open_nursery() as nursery:
                if given is not None and isinstance(stream, trio.abc.HalfCloseableStream):
                    nursery.start_soon(_send, stream, given)
                return b"".join([bytes(piece) async for piece in stream])

    def _failure(self, problem: str, at: int) -> AssertionError:
        expected = _side("expected", self._exchange, [str(reply) for reply in self._exchange.replies], at)
        got = _side("got", self._exchange, [str(reply) for reply in self._got], at)
        return AssertionError(f"{problem}\n{expected}\n{got}")


def _value(reply: Reply) -> Any:
    """Return a reply's value as data; as bytes if it is not JSON."""
    if isinstance(reply, Error):
        return {"code": reply.error.code, "message": reply.error.message}
    if isinstance(reply, Log):
        return reply.line
    try:
        return reply.json
    except (Invalid, BadAnswer):
        return None if reply.value is None else reply.value.raw


def _side(title: str, exchange: _Exchange, replies: list[str], at: int) -> str:
    """Format one side of a mismatch, with a mark at the reply in question."""
    lines = [f"{'->' if number == at else '  '} >> {reply}" for number, reply in enumerate(replies)]
    if len(lines) <= at:
        lines.append("-> >> (nothing)")
    return "\n".join([f"{title}:", f"   << {exchange}", *lines])


async def _send(stream: trio.abc.HalfCloseableStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # a peer that reads no further may still send something
        await stream.send_all(data)
        await stream.send_eof()


def expect(chain: str | Chain | Backend | Sender, *, seconds: float = _SECONDS) -> Script:
    """Begin a script: `await (expect(chain) << ls() >> set([]) >> ack())`.

    chain: a chain, its text or one backend, which is opened and closed with the script; or the sender of an open one.
    seconds: how long each reply may take.
    """
    return Script(chain, seconds)


# The words. Requests take the arguments of `swarmlib.Client`'s methods; `set` is a request and a reply.


def ls(*path: str, **params: object) -> Step:
    """List what is in `path`, by default the workloads."""
    return Step(Verb.LS, path or WORKLOADS, params=params)


def get(*path: str, **params: object) -> Step:
    """Return an object's state."""
    return Step(Verb.GET, path, params=params)


def spawn(value: Any = None, *path: str, **params: object) -> Step:
    """Make an object in `path`, by default a workload."""
    return Step(Verb.SPAWN, path or WORKLOADS, value, params)


def start(*path: str, **params: object) -> Step:
    """Start an object."""
    return Step(Verb.START, path, params=params)


def stop(*path: str, **params: object) -> Step:
    """Stop an object."""
    return Step(Verb.STOP, path, params=params)


def rm(*path: str, **params: object) -> Step:
    """Remove an object."""
    return Step(Verb.RM, path, params=params)


def watch(*path: str, **params: object) -> Step:
    """Watch changes from now on."""
    return Step(Verb.WATCH, path, params=params)


def attach(*path: str, **params: object) -> Step:
    """Open a conversation with an object."""
    return Step(Verb.ATTACH, path, params=params)


def connect(*path: str, body: Any = _UNSAID, upload: bytes | None = None, **params: object) -> Step:
    """Open a byte stream to an object; `upload` is sent on it, then its end, if the reply is `ack(stream=…)`."""
    return Step(Verb.CONNECT, path, body, params, upload)


def file(*path: str, upload: bytes | None = None, **params: object) -> Step:
    """Read a tar out of an object; with `upload`, put one into it."""
    return Step(Verb.FILE, path, params=params, stream=upload)


def set(*words: Any, body: Any = _UNSAID, **params: object) -> Step:
    """Change an object, after `<<`: `set("containers", "web", body={…})`; expect a reply, after `>>`: `set([…])`."""
    return Step(Verb.SET, words, body, params)


def log(line: Any = ANY, **details: object) -> Step:
    """Expect a line: `log(b"hello", stream="stdout")`."""
    return Step(Log.kind, (line,), params=details)


def ack(*value: Any, stream: bytes | None = None, **details: object) -> Step:
    """Expect the final reply of success; `stream` is all that its stream must give."""
    return Step(Ack.kind, value, params=details, stream=stream)


def error(code: Any = ANY, message: Any = ANY) -> Step:
    """Expect the final reply of failure: its code (`"not_found"`, or a class of errors), and its message."""
    wanted = cast("type[SwarmError]", code).code if isinstance(code, type) else code
    return Step(Error.kind, ({"code": wanted, "message": message},))
