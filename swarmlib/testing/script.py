"""Transcript tests: what is sent to a chain, and what must come back.

    from swarmlib.testing import script as s

    await (s.expect("exec") << s.ls("containers", all="1") >> s.set([]) >> s.ack())

`<<` sends a request, `>>` says its next reply; one after another, from left to right. The words are the verbs, with the
arguments that the methods of `swarmlib.Client` have; `ack`, `error`, `set` and `log` are the replies.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

import trio

from ..chain import Chain
from ..channel import Replies, Sender, as_json, open_reply
from ..client import WORKLOADS
from ..errors import Invalid, SwarmError
from ..message import Json, Message, Verb
from ..request import dispatch
from ..service import Backend
from ..streams import BytesStream
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
_UNSAID: Final = object()
_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Step:
    """One word of a script: a request after `<<`, or a reply after `>>`."""

    verb: Verb
    words: tuple[Any, ...] = ()
    value: Any = _UNSAID
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    att: bytes | None = None

    def request(self) -> Message:
        """The message that it sends. A stream is given by its bytes; of a `connect` they are sent on what it gives."""
        if self.verb in (Verb.ACK, Verb.ERROR):
            raise TypeError(f"{self.verb} is a reply: it stands after >>")
        if not all(isinstance(word, str) for word in self.words):
            raise TypeError(f"{self.verb} after << takes the words of a path, not {self.words!r}")
        att = None if self.att is None or self.verb is Verb.CONNECT else BytesStream(self.att)
        value = None if self.value is _UNSAID else self.value
        return Message(self.verb, self.words, self.args, value if isinstance(value, bytes) else as_json(value), att=att)

    def expected(self) -> _Expected:
        """The reply that it expects."""
        if self.verb not in (Verb.ACK, Verb.ERROR, Verb.SET, Verb.LOG):
            raise TypeError(f"{self.verb} is a request: it stands after <<")
        if len(self.words) > 1:
            raise TypeError(f"{self.verb} after >> takes one value, not {self.words!r}")
        value = self.words[0] if self.words else self.value
        return _Expected(self.verb, value, self.args, self.att)


@dataclass(frozen=True)
class _Expected:
    verb: Verb
    value: Any
    args: Mapping[str, Any]
    att: bytes | None

    def __str__(self) -> str:
        return _line(self.verb, self.value, self.args, self.att)

    def mismatch(self, got: _Got) -> str | None:
        """What of a reply is not as expected; None where all is."""
        if got.verb is not self.verb:
            return f"expected {self.verb}, got {got.verb}"
        if self.value is not _UNSAID and (problem := mismatch(self.value, got.value)):
            return problem
        if problem := mismatch(subset(dict(self.args)), got.args, "args"):
            return problem
        return None if self.att is None else mismatch(self.att, got.att, "att")


@dataclass(frozen=True)
class _Got:
    """A reply that came, as far as a script looks at it."""

    verb: Verb
    value: Any
    args: dict[str, Any]
    att: bytes | None = None

    def __str__(self) -> str:
        return _line(self.verb, _UNSAID if self.value is None else self.value, self.args, self.att)


def _line(verb: Verb, value: Any, args: Mapping[str, Any], att: bytes | None) -> str:
    """A reply as a script would say it."""
    parts = [verb.value] if value is _UNSAID else [verb.value, shown(value)]
    parts += [f"{name}={shown(each)}" for name, each in args.items()]
    return " ".join(parts if att is None else [*parts, f"att={att!r}"])


@dataclass
class _Exchange:
    request: Step
    replies: list[_Expected] = field(default_factory=list[_Expected])

    def __str__(self) -> str:
        words = [self.request.verb.value, "/".join(map(str, self.request.words))]
        value = [] if self.request.value in (_UNSAID, None) else [shown(self.request.value)]
        return " ".join(part for part in [*words, *value] if part)


class Script:
    """What is sent, and what must come back; run by `await`.

    Replies belong to the request before them. They must be all, in this order: what comes besides them, or in place of
    one, is a mismatch. After a request's last expected reply its replies must end, unless it is an `attach` or a
    `watch`, which is left then; a request without expected replies is sent, and left at once. Of a reply only what is
    said is compared: `ack()` fits every ack, `ack(None)` one without a value, and `args` may be more than are named.

    One that is never awaited is a RuntimeWarning. Awaiting it raises:
        AssertionError: a reply is another, none comes within `seconds`, or one too many; both sides are printed.
        SwarmError: the chain can't be opened.
    """

    def __init__(self, chain: str | Chain | Backend | Sender, seconds: float = _SECONDS) -> None:
        self._chain = chain
        self._seconds = seconds
        self._exchanges: list[_Exchange] = []
        self._due = False

    def __lshift__(self, request: Step) -> Script:
        self._due = False
        request.request()  # so that a reply in this place is refused where it stands
        self._exchanges.append(_Exchange(request))
        self._due = True
        return self

    def __rshift__(self, reply: Step) -> Script:
        self._due = False
        if not self._exchanges:
            raise TypeError("a script begins with a request: expect(chain) << ls() >> …")
        if self._exchanges[-1].request.verb is Verb.LOG:
            raise TypeError("a log goes one way: nothing answers it")
        self._exchanges[-1].replies.append(reply.expected())
        self._due = True
        return self

    def __await__(self) -> Generator[Any, Any, None]:
        self._due = False
        return self._run().__await__()

    def __del__(self) -> None:
        if getattr(self, "_due", False):  # as of a coroutine: a test without its `await` must not pass
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
        message = self._exchange.request.request()
        if message.verb is Verb.LOG:
            await sender.send(message)
            return
        ret, replies = open_reply()
        async with replies:
            with trio.move_on_after(self._seconds) as patience:
                await dispatch(sender, message.but(ret=ret), ret)
            del ret  # only the stages hold it now
            if patience.cancelled_caught:
                raise self._failure(f"the request was not taken within {self._seconds:g} s", 0)
            for number, expected in enumerate(self._exchange.replies):
                got = await self._next(replies, "no reply")
                if problem := "the replies ended" if got is None else expected.mismatch(got):
                    raise self._failure(problem, number)
            if self._exchange.replies and self._exchange.request.verb not in _CONVERSATIONS:
                await self._must_end(replies)

    async def _must_end(self, replies: Replies) -> None:
        if await self._next(replies, "the replies did not end") is not None:
            raise self._failure("a reply too many", len(self._exchange.replies))

    async def _next(self, replies: Replies, late: str) -> _Got | None:
        """The next reply, or None at the end."""
        with trio.move_on_after(self._seconds):
            try:
                self._got.append(await self._read(await replies.receive()))
            except trio.EndOfChannel:
                return None
            return self._got[-1]
        raise self._failure(f"{late} within {self._seconds:g} s", len(self._got))

    async def _read(self, reply: Message) -> _Got:
        att = None if reply.att is None else await self._stream(reply.att)
        return _Got(reply.verb, _value(reply), dict(reply.args), att)

    async def _stream(self, att: trio.abc.ReceiveStream) -> bytes | None:
        """All that a stream gives, if the script says what that should be; it is closed in any case."""
        async with att:
            if not any(expected.att is not None for expected in self._exchange.replies):
                return None
            given = self._exchange.request.att
            async with trio.open_nursery() as nursery:
                if given is not None and isinstance(att, trio.abc.HalfCloseableStream):
                    nursery.start_soon(_send, att, given)
                return b"".join([bytes(piece) async for piece in att])

    def _failure(self, problem: str, at: int) -> AssertionError:
        expected = _side("expected", self._exchange, [str(reply) for reply in self._exchange.replies], at)
        got = _side("got", self._exchange, [str(reply) for reply in self._got], at)
        return AssertionError(f"{problem}\n{expected}\n{got}")


def _value(reply: Message) -> Any:
    """A reply's value as data; bytes where it is no JSON."""
    if isinstance(reply.value, SwarmError):
        return {"code": reply.value.code, "message": reply.value.message}
    if not isinstance(reply.value, Json):
        return reply.value
    try:
        return reply.value.data
    except Invalid:
        return reply.value.raw


def _side(title: str, exchange: _Exchange, replies: list[str], at: int) -> str:
    """One side of a mismatch, with a mark at the reply in question."""
    lines = [f"{'->' if number == at else '  '} >> {reply}" for number, reply in enumerate(replies)]
    if len(lines) <= at:
        lines.append("-> >> (nothing)")
    return "\n".join([f"{title}:", f"   << {exchange}", *lines])


async def _send(stream: trio.abc.HalfCloseableStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # who reads no further may still have something to say
        await stream.send_all(data)
        await stream.send_eof()


def expect(chain: str | Chain | Backend | Sender, *, seconds: float = _SECONDS) -> Script:
    """Begin a script: `await (expect(chain) << ls() >> set([]) >> ack())`.

    chain: a chain, its text or one backend, which is opened and closed with the script; or the sender of an open one.
    seconds: how long each reply may take.
    """
    return Script(chain, seconds)


# The words. What a request is given, it is given as `swarmlib.Client` is; `set` and `log` are requests and replies.


def ls(*path: str, **args: Any) -> Step:
    """What is in `path`, by default the workloads."""
    return Step(Verb.LS, path or WORKLOADS, args=args)


def get(*path: str, **args: Any) -> Step:
    """An object's state."""
    return Step(Verb.GET, path, args=args)


def spawn(value: Any = None, *path: str, **args: Any) -> Step:
    """Make an object in `path`, by default a workload."""
    return Step(Verb.SPAWN, path or WORKLOADS, value, args)


def start(*path: str, **args: Any) -> Step:
    """Start an object."""
    return Step(Verb.START, path, args=args)


def stop(*path: str, **args: Any) -> Step:
    """Stop an object."""
    return Step(Verb.STOP, path, args=args)


def rm(*path: str, **args: Any) -> Step:
    """Remove an object."""
    return Step(Verb.RM, path, args=args)


def watch(*path: str, **args: Any) -> Step:
    """Changes from now on."""
    return Step(Verb.WATCH, path, args=args)


def attach(*path: str, **args: Any) -> Step:
    """A conversation with an object."""
    return Step(Verb.ATTACH, path, args=args)


def connect(*path: str, value: Any = _UNSAID, att: bytes | None = None, **args: Any) -> Step:
    """A byte stream to an object; `att` is sent on it, then its end, where the reply says `ack(att=…)`."""
    return Step(Verb.CONNECT, path, value, args, att)


def file(*path: str, att: bytes | None = None, **args: Any) -> Step:
    """A tar out of an object; or, with `att`, into it."""
    return Step(Verb.FILE, path, args=args, att=att)


def set(*words: Any, value: Any = _UNSAID, **args: Any) -> Step:
    """After `<<` a change: `set("containers", "web", value={…})`; after `>>` a reply: `set([…])`."""
    return Step(Verb.SET, words, value, args)


def log(*words: Any, value: Any = _UNSAID, **args: Any) -> Step:
    """After `>>` a line: `log(b"hello")`; after `<<` one that is sent: `log("containers", "web", value=b"hello")`."""
    return Step(Verb.LOG, words, value, args)


def ack(*value: Any, att: bytes | None = None, **args: Any) -> Step:
    """The final reply of success; `att` is all that its stream must give."""
    return Step(Verb.ACK, value, args=args, att=att)


def error(code: Any = ANY, message: Any = ANY) -> Step:
    """The final reply of failure: its code (`"not_found"`, or a class of errors), and its message."""
    wanted = cast("type[SwarmError]", code).code if isinstance(code, type) else code
    return Step(Verb.ERROR, ({"code": wanted, "message": message},))
