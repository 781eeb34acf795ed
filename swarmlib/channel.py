"""Senders, reply pairs and taps: how messages travel (design, section 5).

Everything you send to is a `trio.abc.SendChannel[Message]`. A request carries the sending half of a reply pair in
`message.ret`; the contract of its life is this table, and `Reply.send` is the one place that enforces it:

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
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Final, TypeAlias

import trio

from .errors import SwarmError, Unavailable, Unsupported
from .message import FINAL, REPLIES, Json, Message, Verb

Sender: TypeAlias = trio.abc.SendChannel[Message]

CLEANUP_SECONDS: Final = 5.0
"""How long any one cleanup that must run (a last reply, a stage's closing) may take before it is cancelled."""

REPLY_CAPACITY: Final = 16
"""Replies that wait in a pair before its sender is held back."""


class ContractError(RuntimeError):
    """A backend broke the reply contract: it answered twice, or replied after the end."""


class _State(Enum):
    WAITING = "waiting"
    ANSWERED = "answered"
    FAILED = "failed"
    CLOSED = "closed"


class Reply(trio.abc.SendChannel[Message]):
    """The end of a reply pair that the answering side holds.

    A subclass says where replies go (`_deliver`) and when nobody listens any more (`gone`, `on_gone`).
    """

    def __init__(self) -> None:
        self._state = _State.WAITING

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
    async def _deliver(self, reply: Message) -> None:
        """Hand over a reply that the contract allows."""

    @abstractmethod
    async def _finish(self) -> None:
        """No more replies will come. Called once; must not wait for the caller."""

    async def send(self, value: Message) -> None:
        """Send one reply; waits while the caller is behind (backpressure), but never for a final reply.

        Raises:
            ContractError: this reply may not follow those before it.
            trio.ClosedResourceError: this end is closed.
            trio.BrokenResourceError: the caller went away.
        """
        state = self._state
        verb = value.verb
        if state is _State.CLOSED:
            raise trio.ClosedResourceError("this reply channel is closed")
        if verb is Verb.ACK or verb is Verb.ERROR:
            if state is _State.FAILED or (verb is Verb.ACK and state is _State.ANSWERED):
                raise ContractError(f"a second final reply: {verb}")
            self._state = _State.ANSWERED if verb is Verb.ACK else _State.FAILED
        elif state is _State.FAILED or verb not in REPLIES:
            raise ContractError(f"{verb} can't be sent as a reply {'after an error' if state is _State.FAILED else ''}")
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
            await self._finish()
        except trio.BrokenResourceError:  # not `suppress`, which would cost each call 2 µs
            self._state = _State.CLOSED

    async def ack(
        self,
        value: Any = None,
        *,
        channel: Sender | None = None,
        att: trio.abc.ReceiveStream | None = None,
        **args: Any,
    ) -> None:
        """Send the final reply of success; `value` is JSON data or `Json`."""
        await self.send(Message(Verb.ACK, (), args, as_json(value), channel=channel, att=att))

    async def set(self, value: Any, **args: Any) -> None:
        """Send an object; `value` is JSON data or `Json`."""
        await self.send(Message(Verb.SET, (), args, as_json(value)))

    async def log(self, line: bytes, **args: Any) -> None:
        """Send one line of text, without its line end."""
        await self.send(Message(Verb.LOG, (), args, line))

    async def error(self, error: SwarmError) -> None:
        """Send the final reply of failure; after an `ack`, say that the conversation broke off."""
        await self.send(Message(Verb.ERROR, error.path, {}, error))


def as_json(value: Any) -> Json | None:
    """JSON data as `Json`; `Json` and None as they are."""
    return value if value is None or isinstance(value, Json) else Json.of(value)


class Replies(trio.abc.ReceiveChannel[Message]):
    """The end of a reply pair that the caller holds; leaving its `async with` tells every stage that it went away."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._buffer: deque[Message] = deque()
        self._reader: trio.lowlevel.Task | None = None
        self._writers: trio.lowlevel.ParkingLot | None = None
        self._failed = False
        self._ended = False
        self._callbacks: list[Callable[[], object]] = []
        self.gone: bool = False

    async def receive(self) -> Message:
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

    async def put(self, reply: Message) -> None:
        """Take a reply from the other end, waiting while `capacity` are unread. A final one never waits."""
        if len(self._buffer) >= self._capacity and reply.verb not in FINAL:
            await self._room()
        if self.gone:
            raise trio.BrokenResourceError("the caller went away")
        self._buffer.append(reply)
        self._wake_reader()
        if reply.verb is Verb.ERROR:
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
        """See `Reply.on_gone`."""
        if self.gone:
            callback()
        else:
            self._callbacks.append(callback)

    async def aclose(self) -> None:
        """Go away: the work for the call is cancelled, what is unread is closed. Twice is harmless."""
        for reply in self.leave():
            if reply.att is not None:
                await trio.aclose_forcefully(reply.att)

    def leave(self) -> Collection[Message]:
        """Go away, as `aclose` does, at once. Gives what is unread: the attachments in it are the caller's to close."""
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


class _PairedReply(Reply):
    """The answering end of a pair in memory. Only the message holds it: when it is dropped, the caller is told."""

    def __init__(self, replies: Replies) -> None:
        super().__init__()
        self._replies = replies

    @property
    def gone(self) -> bool:
        return self._replies.gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        self._replies.on_gone(callback)

    async def _deliver(self, reply: Message) -> None:
        await self._replies.put(reply)

    async def _finish(self) -> None:
        self._replies.end()

    def __del__(self) -> None:
        replies: Replies | None = getattr(self, "_replies", None)
        if replies is not None and self._state is not _State.CLOSED and not replies.gone:
            _dropped(replies, answered=self.answered)


def _dropped(replies: Replies, *, answered: bool) -> None:
    if not answered:
        error = Unavailable("a stage dropped the request without an answer")
        replies._buffer.append(Message(Verb.ERROR, value=error))  # pyright: ignore[reportPrivateUsage]
    replies.end()


def open_reply(capacity: int = REPLY_CAPACITY) -> tuple[Reply, Replies]:
    """A reply pair: give the first to the request as `ret`, receive from the second inside `async with`."""
    replies = Replies(capacity)
    return _PairedReply(replies), replies


class Tap(Reply):
    """A reply channel that shows each reply to `see` on its way to `inner`, in the task of who sends it.

    What `see` returns goes on in its place (the same reply, another, or None to hold back a `set` or `log`).
    """

    def __init__(self, inner: Reply, see: Callable[[Message], Message | None]) -> None:
        super().__init__()
        self._inner = inner
        self._see = see

    @property
    def gone(self) -> bool:
        """Whether the caller went away."""
        return self._inner.gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `Reply.on_gone`."""
        self._inner.on_gone(callback)

    async def _deliver(self, reply: Message) -> None:
        seen = self._see(reply)
        if seen is not None:
            await self._inner.send(seen)

    async def _finish(self) -> None:
        await self._inner.aclose()


class Nowhere(trio.abc.SendChannel[Message]):
    """What stands after the last stage: it answers every request `not_implemented`."""

    async def send(self, value: Message) -> None:
        """Answer `value`; a one-way message has nobody to tell, and ends here."""
        if value.ret is not None:
            where = f" for {'/'.join(value.path)}" if value.path else ""
            await value.ret.error(Unsupported(f"no backend of this chain answers {value.verb}{where}", path=value.path))
            await value.ret.aclose()

    async def aclose(self) -> None:
        """Nothing to close."""


class Below(trio.abc.SendChannel[Message]):
    """A channel to one object: what is sent here goes to `service` with the object's path in front."""

    def __init__(self, service: Sender, path: tuple[str, ...]) -> None:
        self._service = service
        self.path = path

    async def send(self, value: Message) -> None:
        """Send to the object; what `service.send` raises, this raises."""
        await self._service.send(value.but(path=self.path + value.path))

    async def aclose(self) -> None:
        """Nothing of its own to close: the service stays open."""
