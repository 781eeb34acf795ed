"""Replies, and how they travel back to who asked.

A request carries the sending half of a reply pair (`ReplySender`); the contract of its life is this table, and
`ReplySender.send` is the one place that enforces it:

    state      set, log       ack        error     aclose
    waiting    waiting        answered   failed    closed, after an `error` in the caller's hands
    answered   answered       refused    failed    closed
    failed     refused        refused    refused   closed
    closed     ClosedResourceError                 closed

So every request gets exactly one final reply. An `error` after the `ack` ends a conversation that had begun (the
replies of `attach` and `watch`): it broke off, and the caller must not take its end for a good one.

When the caller goes away (its end is closed, or it was cancelled inside `async with`), `on_gone` callbacks run at once:
that is how work is cancelled in every stage.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Final, TypeAlias

import trio

from .errors import SwarmError, Unavailable
from .values import Json, as_json

CLEANUP_SECONDS: Final = 5.0
"""How long any one cleanup that must run (a last reply, a stage's closing) may take before it is cancelled."""

REPLY_CAPACITY: Final = 16
"""Replies that wait in a pair before its sender is held back."""


@dataclass(slots=True, repr=False)
class Ack:
    """The final reply of success.

    Attributes:
        value: what the service says of what it did; an object where there was none before.
        details: small facts about the reply, such as a header; the values are what msgpack can carry.
        stream: a byte stream that the reply gives: a `HalfCloseableStream` for a conversation (`connect`), any receive
            stream for bytes one way (`file`). Who receives the reply closes it.
    """

    kind: ClassVar[str] = "ack"
    value: Json | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stream: trio.abc.ReceiveStream | None = None

    @property
    def json(self) -> Any:
        """The decoded value; None where the reply has none.

        Raises:
            Invalid, BadAnswer: the value is not JSON (see `Json`).
        """
        return None if self.value is None else self.value.data

    def replace(
        self,
        *,
        value: Json | None = None,
        details: Mapping[str, Any] | None = None,
        stream: trio.abc.ReceiveStream | None = None,
    ) -> Ack:
        """A copy with some fields changed."""
        return Ack(
            self.value if value is None else value,
            self.details if details is None else details,
            self.stream if stream is None else stream,
        )

    def __repr__(self) -> str:
        """Its kind and size only: reprs end in tracebacks and logs, where no secret may be."""
        return f"<Ack {self.value!r} details={list(self.details)}>"


@dataclass(slots=True, repr=False)
class Set:
    """An object: the answer, or one of several."""

    kind: ClassVar[str] = "set"
    value: Json | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def json(self) -> Any:
        """The decoded value. Raises as `Ack.json`."""
        return None if self.value is None else self.value.data

    def replace(self, *, value: Json | None = None, details: Mapping[str, Any] | None = None) -> Set:
        """A copy with some fields changed."""
        return Set(self.value if value is None else value, self.details if details is None else details)

    def __repr__(self) -> str:
        """See `Ack.__repr__`."""
        return f"<Set {self.value!r} details={list(self.details)}>"


@dataclass(slots=True, repr=False)
class Log:
    """One line of text, without its line end. `details` say which stream of a program it is from, and when it came."""

    kind: ClassVar[str] = "log"
    line: bytes = b""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def replace(self, *, line: bytes | None = None, details: Mapping[str, Any] | None = None) -> Log:
        """A copy with some fields changed."""
        return Log(self.line if line is None else line, self.details if details is None else details)

    def __repr__(self) -> str:
        """See `Ack.__repr__`."""
        return f"<Log {len(self.line)} bytes details={list(self.details)}>"


@dataclass(slots=True, repr=False)
class Error:
    """The final reply of failure; after an `Ack`, the word that the conversation broke off."""

    kind: ClassVar[str] = "error"
    error: SwarmError

    def __repr__(self) -> str:
        """See `Ack.__repr__`."""
        return f"<Error {self.error.code}>"


Reply: TypeAlias = Ack | Set | Log | Error
FINAL: Final = (Ack, Error)
"""The replies of which every request gets exactly one."""
_OTHERS: Final = (Set, Log)


async def discard(reply: Reply) -> None:
    """Close what a reply brings that nobody takes: its stream."""
    if isinstance(reply, Ack) and reply.stream is not None:
        await trio.aclose_forcefully(reply.stream)


class ContractError(RuntimeError):
    """A backend broke the reply contract: it answered twice, or replied after the end."""


class _State(Enum):
    WAITING = "waiting"
    ANSWERED = "answered"
    FAILED = "failed"
    CLOSED = "closed"


class ReplySender(trio.abc.SendChannel[Reply]):
    """The end of a reply pair that the answering side holds.

    A subclass says where replies go (`_deliver`) and when nobody listens any more (`gone`, `on_gone`).

    It knows its owner: the channel that has the request now, and answers it or passes it on. One that finds at the end
    of its `send` that it still is the owner ends the call, so that a request which a stage has dropped is answered.
    """

    def __init__(self) -> None:
        self._state = _State.WAITING
        self._owner: object = None

    def pass_to(self, owner: object) -> None:
        """Make `owner` the owner of the call."""
        self._owner = owner

    def is_with(self, owner: object) -> bool:
        """Whether the call is `owner`'s still: it has not been passed on."""
        return self._owner is owner

    @property
    def answered(self) -> bool:
        """Whether the final reply has been given, or can't be any more."""
        return self._state is not _State.WAITING

    @property
    def over(self) -> bool:
        """Whether no reply may follow any more."""
        return self._state in (_State.FAILED, _State.CLOSED)

    @property
    @abstractmethod
    def gone(self) -> bool:
        """Whether the caller went away."""

    @abstractmethod
    def on_gone(self, callback: Callable[[], object]) -> None:
        """Have `callback` called, in the caller's task, when it goes away, or now if it has; it must not block."""

    @abstractmethod
    async def _deliver(self, reply: Reply) -> None:
        """Hand over a reply that the contract allows."""

    @abstractmethod
    async def _finish(self) -> None:
        """No more replies will come. Called once; must not wait for the caller."""

    async def send(self, value: Reply) -> None:
        """Send one reply; waits while the caller is behind (backpressure), but never for a final reply.

        Raises:
            ContractError: this reply may not follow those before it.
            trio.ClosedResourceError: this end is closed.
            trio.BrokenResourceError: the caller went away.
        """
        state = self._state
        if state is _State.CLOSED:
            raise trio.ClosedResourceError("this reply channel is closed")
        if state is _State.FAILED:
            raise ContractError(f"{value!r} after an error")
        if type(value) is Ack:
            if state is _State.ANSWERED:
                raise ContractError("a second `ack`")
            self._state = _State.ANSWERED
        elif type(value) is Error:
            self._state = _State.FAILED
        elif type(value) not in _OTHERS:
            raise ContractError(f"{value!r} is no reply")
        await self._deliver(value)

    async def aclose(self) -> None:
        """End the replies. Without a final reply before it, the caller gets `unavailable`. Twice is harmless, and so
        is a caller that goes away meanwhile.
        """
        if self._state is _State.CLOSED:
            return
        try:
            if self._state is _State.WAITING and not self.gone:
                await self.error(Unavailable("the service ended the call without an answer"))
            self._state = _State.CLOSED
            self._owner = None  # it has ended: nothing is left to be answered
            await self._finish()
        except trio.BrokenResourceError:  # not `suppress`, which would cost each call 2 µs
            self._state = _State.CLOSED

    async def abandon(self, by: str) -> None:
        """End the replies for the stage named `by`, which has dropped the request: without an answer, the caller gets
        `unavailable`.
        """
        if not self.answered and not self.gone:
            with suppress(trio.BrokenResourceError):
                await self.error(Unavailable(f"{by or 'a stage'} dropped the request without an answer", backend=by))
        await self.aclose()

    async def ack(
        self,
        value: Any = None,
        *,
        details: Mapping[str, Any] | None = None,
        stream: trio.abc.ReceiveStream | None = None,
    ) -> None:
        """Send the final reply of success; `value` is JSON data or `Json`."""
        await self.send(Ack(as_json(value), details or {}, stream))

    async def set(self, value: Any, *, details: Mapping[str, Any] | None = None) -> None:
        """Send an object; `value` is JSON data or `Json`."""
        await self.send(Set(as_json(value), details or {}))

    async def log(self, line: bytes, *, details: Mapping[str, Any] | None = None) -> None:
        """Send one line of text, without its line end."""
        await self.send(Log(line, details or {}))

    async def error(self, error: SwarmError) -> None:
        """Send the final reply of failure; after an `ack`, say that the conversation broke off."""
        await self.send(Error(error))


class ReplyReceiver(trio.abc.ReceiveChannel[Reply]):
    """The end of a reply pair that the caller holds; leaving its `async with` tells every stage that it went away."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._buffer: deque[Reply] = deque()
        self._reader: trio.lowlevel.Task | None = None
        self._writers: trio.lowlevel.ParkingLot | None = None
        self._failed = False
        self._ended = False
        self._callbacks: list[Callable[[], object]] = []
        self.gone: bool = False

    async def receive(self) -> Reply:
        """The next reply.

        Raises:
            trio.EndOfChannel: there is none any more.
            trio.ClosedResourceError: this end is closed.
            trio.BusyResourceError: another task is receiving.
        """
        if not self._buffer:
            await self._wait()
        if self.gone:
            raise trio.ClosedResourceError("this end of the reply pair is closed")
        if not self._buffer:
            raise trio.EndOfChannel
        reply = self._buffer.popleft()
        if self._writers:
            self._writers.unpark()
        return reply

    async def _wait(self) -> None:
        if self._reader is not None:
            raise trio.BusyResourceError("another task is receiving from this reply pair")
        if self._ended or self.gone:
            await trio.lowlevel.checkpoint()
            return
        self._reader = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._reader = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _wake_reader(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            trio.lowlevel.reschedule(reader)

    async def put(self, reply: Reply) -> None:
        """Take a reply from the other end, waiting while `capacity` are unread. A final one never waits."""
        if len(self._buffer) >= self._capacity and type(reply) not in FINAL:
            await self._room()
        if self.gone:
            raise trio.BrokenResourceError("the caller went away")
        self._buffer.append(reply)
        self._wake_reader()
        if type(reply) is Error:
            self._failed = True
            self._wake_writers()

    async def _room(self) -> None:
        """Wait while `capacity` are unread. What waits when an error or the end comes is refused."""
        if self._writers is None:
            self._writers = trio.lowlevel.ParkingLot()
        while len(self._buffer) >= self._capacity and not (self.gone or self._failed or self._ended):
            await self._writers.park()
        if self._ended and not self.gone:
            raise trio.ClosedResourceError("this reply channel was closed meanwhile")
        if self._failed and not self.gone:
            raise ContractError("an error was sent meanwhile")

    def _wake_writers(self) -> None:
        if self._writers:
            self._writers.unpark_all()

    def end(self) -> None:
        """Take the other end's word that no more will come."""
        self._ended = True
        self._wake_reader()
        self._wake_writers()

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `ReplySender.on_gone`."""
        if self.gone:
            callback()
        else:
            self._callbacks.append(callback)

    async def aclose(self) -> None:
        """Go away: the work for the call is cancelled, what is unread is closed. Twice is harmless."""
        for reply in self.leave():
            await discard(reply)

    def leave(self) -> Collection[Reply]:
        """Go away, as `aclose` does, at once. Gives what is unread: the streams in it are the caller's to close."""
        if self.gone:
            return ()
        self.gone = True
        unread, self._buffer = self._buffer, deque()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:  # also after the end: a stage that failed may have left work in those behind it
            callback()
        self._wake_reader()
        self._wake_writers()
        return unread


class _PairedSender(ReplySender):
    """The answering end of a pair in memory."""

    def __init__(self, replies: ReplyReceiver) -> None:
        super().__init__()
        self._replies = replies

    @property
    def gone(self) -> bool:
        return self._replies.gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        self._replies.on_gone(callback)

    async def _deliver(self, reply: Reply) -> None:
        await self._replies.put(reply)

    async def _finish(self) -> None:
        self._replies.end()


def open_reply(capacity: int = REPLY_CAPACITY) -> tuple[ReplySender, ReplyReceiver]:
    """A reply pair: give the first to the request as `reply`, receive from the second inside `async with`."""
    replies = ReplyReceiver(capacity)
    return _PairedSender(replies), replies


class Tap(ReplySender):
    """A reply channel that shows each reply to `see` on its way to `inner`, in the task of who sends it.

    What `see` returns goes on in its place (the same reply, another, or None to hold back a `set` or `log`).
    """

    def __init__(self, inner: ReplySender, see: Callable[[Reply], Reply | None]) -> None:
        super().__init__()
        self._inner = inner
        self._see = see

    def pass_to(self, owner: object) -> None:
        """See `ReplySender.pass_to`."""
        self._inner.pass_to(owner)

    def is_with(self, owner: object) -> bool:
        """See `ReplySender.is_with`."""
        return self._inner.is_with(owner)

    @property
    def gone(self) -> bool:
        """Whether the caller went away."""
        return self._inner.gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `ReplySender.on_gone`."""
        self._inner.on_gone(callback)

    async def _deliver(self, reply: Reply) -> None:
        seen = self._see(reply)
        if seen is not None:
            await self._inner.send(seen)

    async def _finish(self) -> None:
        await self._inner.aclose()


class _Nobody(ReplySender):
    """The end of a pair whose caller is gone. It keeps no state: many requests share it."""

    def pass_to(self, owner: object) -> None:
        """Nobody is to be told, so nobody need own it."""

    def is_with(self, owner: object) -> bool:
        return False

    async def send(self, value: Reply) -> None:
        raise trio.BrokenResourceError("nobody waits for this reply")

    async def aclose(self) -> None:
        """Nobody is told."""

    @property
    def gone(self) -> bool:
        return True

    def on_gone(self, callback: Callable[[], object]) -> None:
        callback()

    async def _deliver(self, reply: Reply) -> None:
        raise AssertionError(reply)

    async def _finish(self) -> None:
        raise AssertionError


NOBODY: Final[ReplySender] = _Nobody()
"""Where the replies of a request go that nobody has sent."""
