"""One call of a client on its way through a chain: what is known of it, until it has ended."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from typing import Final

import trio

from swarmlib import Ack, Error, Json, Log, Reply, ReplySender, Request, SwarmError
from swarmlib.reply import FINAL
from swarmlib.verbs import CONVERSATIONS

from ..stream_wrappers import StreamWrapper

INTERNAL: Final = "internal"
UNANSWERED: Final = "unavailable"
"""The outcome of a call whose replies ended without a final one: the channel then says so itself."""
MAX_STEPS: Final = 64
"""The most stages of a call's way that are kept."""
OK: Final = "ok"
GONE: Final = "gone"
"""The outcome of a call whose client disconnected before its end."""


class Call:
    """A call under way, or one that has ended.

    Attributes:
        number: counts the calls.
        asked: the request as it came to the first observed stage.
        began: when, by `perf_counter`.
        steps: the number of each stage that it came to, and the seconds that it took to get there.
        engine: the number of the last stage of a chain that it came to; 0 if it came to none.
        outcome: `OK`, `GONE`, or the code of an error; "" before the final reply.
        error: that error.
        answer: the value of the last reply that has one.
        answered: seconds until the final reply.
        seconds: how long it took, with its streams; until it has ended, 0.
        received, sent: bytes of bodies and streams from the client, and to it.
        streams: whether a stream or a conversation is open.
        over: whether it has ended.
    """

    __slots__ = (
        "_ended",
        "_lasts",
        "answer",
        "answered",
        "asked",
        "began",
        "engine",
        "error",
        "number",
        "outcome",
        "over",
        "received",
        "seconds",
        "sent",
        "steps",
        "streams",
    )

    def __init__(self, number: int, asked: Request, ended: Callable[[Call], None]) -> None:
        self.number = number
        self.asked = asked
        self.began = perf_counter()
        self.steps: list[tuple[int, float]] = []
        self.engine = 0
        self.outcome = ""
        self.error: SwarmError | None = None
        self.answer: Json | None = None
        self.answered = self.seconds = 0.0
        self.received = 0 if asked.body is None else asked.body.held
        self.sent = 0
        self.streams = self.over = False
        self._lasts = asked.verb in CONVERSATIONS
        self._ended = ended

    def observed(self) -> Request:
        """Return the request to send on, whose replies and streams are seen here."""
        asked = self.asked
        asked.reply.on_gone(self.gone)
        upload = None if asked.upload is None else _Upload(asked.upload, self).alike
        return asked.replace(upload=upload, reply=_CallReplies(asked.reply, self))

    def at(self, stage: int) -> None:
        """Note that it came to a stage."""
        if len(self.steps) < MAX_STEPS:
            self.steps.append((stage, perf_counter() - self.began))

    def see(self, reply: Reply) -> Reply:
        """Take a reply into account; return the one to forward."""
        if isinstance(reply, Error):
            self._lasts = False
            self.outcome, self.error = reply.error.code, reply.error
        elif isinstance(reply, Log):
            self.sent += len(reply.line)
        elif reply.value is not None:
            self.sent += 0 if self.answer is None else self.answer.held
            self.answer = reply.value
        if isinstance(reply, FINAL):
            self.answered = self.answered or perf_counter() - self.began
        if isinstance(reply, Ack):
            self.outcome = OK
            self.streams = self._lasts or reply.stream is not None
            if reply.stream is not None:
                return reply.replace(stream=_Stream(reply.stream, self).alike)
        return reply

    def delivered(self) -> None:
        """Note that a reply has reached the client: the call has ended, unless more follows it."""
        if self.outcome and not self.streams:
            self.end()

    def closed(self) -> None:
        """Note the end of the replies."""
        if self._lasts or not self.streams:
            self.end()

    def gone(self) -> None:
        """Note that the client disconnected. A stream of its own ends by itself."""
        if not self.streams or self._lasts:
            self.outcome = self.outcome or GONE
        self.closed()

    def failed(self, exc: BaseException) -> None:
        """Note that it was not sent on: a stage raised instead of answering, or the client has gone."""
        self.outcome = self.outcome or (INTERNAL if isinstance(exc, Exception) else GONE)
        self.closed()

    def end(self) -> None:
        """Note that it has ended; only the first time counts."""
        if not self.over:
            self.over, self.streams = True, False
            self.outcome = self.outcome or UNANSWERED
            self.seconds = perf_counter() - self.began
            if self.answer is not None:
                self.sent += self.answer.held  # now: a value of this process is encoded when it is delivered
            self._ended(self)


current: Final[ContextVar[Call | None]] = ContextVar("call", default=None)
"""The call in whose tasks this is read."""


class _Through(ReplySender):
    """A reply channel that is another one, whose contract and state it shares: it only sees what is sent."""

    def __init__(self, inner: ReplySender) -> None:
        self._inner = inner

    def pass_to(self, owner: object) -> None:
        """See `ReplySender.pass_to`."""
        self._inner.pass_to(owner)

    def is_with(self, owner: object) -> bool:
        """See `ReplySender.is_with`."""
        return self._inner.is_with(owner)

    @property
    def answered(self) -> bool:
        """See `ReplySender.answered`."""
        return self._inner.answered

    @property
    def over(self) -> bool:
        """See `ReplySender.over`."""
        return self._inner.over

    @property
    def gone(self) -> bool:
        """See `ReplySender.gone`."""
        return self._inner.gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `ReplySender.on_gone`."""
        self._inner.on_gone(callback)

    async def aclose(self) -> None:
        """See `ReplySender.aclose`."""
        await self._inner.aclose()

    async def _deliver(self, reply: Reply) -> None:
        raise AssertionError(reply)  # `send` and `aclose` are the other channel's

    async def _finish(self) -> None:
        raise AssertionError


class _CallReplies(_Through):
    """The replies of a call."""

    def __init__(self, inner: ReplySender, call: Call) -> None:
        super().__init__(inner)
        self._call = call

    async def send(self, value: Reply) -> None:
        """See `ReplySender.send`."""
        await self._inner.send(self._call.see(value))
        self._call.delivered()

    async def aclose(self) -> None:
        """See `ReplySender.aclose`."""
        await super().aclose()
        self._call.closed()


class EngineReplies(_Through):
    """The replies of one request to an engine, whose time and outcome are noted at the final one."""

    def __init__(self, request: Request, answered: Callable[[Request, float, SwarmError | None], None]) -> None:
        super().__init__(request.reply)
        self._request = request
        self._answered = answered
        self._began = perf_counter()

    async def send(self, value: Reply) -> None:
        """See `ReplySender.send`."""
        if isinstance(value, FINAL):
            self._answered(self._request, perf_counter() - self._began, getattr(value, "error", None))
        await self._inner.send(value)


class _Upload(StreamWrapper):
    """A call's upload, whose bytes are counted."""

    def __init__(self, inner: trio.abc.ReceiveStream, call: Call) -> None:
        super().__init__(inner)
        self._call = call

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self.inner.receive_some(max_bytes)
        self._call.received += len(data)
        return data


class _Stream(StreamWrapper):
    """The stream of an answer, whose bytes are counted, and whose end is the call's."""

    def __init__(self, inner: trio.abc.ReceiveStream, call: Call) -> None:
        super().__init__(inner)
        self._call = call

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self.inner.receive_some(max_bytes)
        self._call.sent += len(data)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._call.received += len(data)
        await super().send_all(data)

    async def aclose(self) -> None:
        try:
            await self.inner.aclose()
        finally:
            self._call.end()
