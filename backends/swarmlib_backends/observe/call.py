"""One call of a client on its way through a chain: what is known of it, until it has ended."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from typing import Final, TypeAlias, cast

import trio

from swarmlib import Ack, Error, Json, Log, Reply, ReplySender, Request, Set, SwarmError, Verb
from swarmlib.reply import FINAL
from swarmlib.verbs import CONVERSATIONS

from ..notes import Notes, observed_call
from ..stream_wrappers import CountingWrapper

INTERNAL: Final = "internal"
MAX_STEPS: Final = 64
"""The most stages of a call's way that are kept."""
OK: Final = "ok"
GONE: Final = "gone"
"""The outcome of a call whose client disconnected before its end."""


Answered: TypeAlias = Callable[[Verb, float, SwarmError | None], None]
"""Notes an answer of an engine: to what, how many seconds it took, and the error that it was."""


class Call:
    """A call under way, or one that has ended.

    Attributes:
        number: counts the calls.
        verb, path, params, body, meta: of the request, as it came to the first observed stage.
        uploads: whether it has an upload.
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
        notes: what stages have found out about it; None if nobody looks.
    """

    engine = 0
    outcome = ""
    error: SwarmError | None = None
    answer: Json | None = None
    notes: Notes | None = None
    answered = seconds = 0.0
    received = sent = 0
    streams = over = False  # here, since most calls change few of these
    _engine_answered: Answered | None = None
    _sent_on = 0.0

    def __init__(self, number: int, asked: Request, stage: int, ended: Callable[[Call], None]) -> None:
        self.number = number
        self.verb = asked.verb
        self.path = asked.path
        self.params = asked.params
        self.body = asked.body
        self.meta = asked.meta
        self.uploads = asked.upload is not None
        self._reply: ReplySender | None = asked.reply  # until the end: it keeps this call, and a ring must not last
        self.began = perf_counter()
        self.steps = [(stage, 0.0)]
        self._lasts = asked.verb in CONVERSATIONS
        self._ended = ended

    def observed(self, asked: Request) -> Request:
        """Return the request to send on, whose replies and streams are seen here."""
        asked.reply.watch(self)
        return asked if asked.upload is None else asked.replace(upload=_Upload(asked.upload, self).alike)

    def is_answered_by(self, reply: ReplySender, answered: Answered) -> bool:
        """Have `answered` told what an engine answers that was sent the request now, if its replies are those of the
        call, so that they need no other watcher. Return whether they are.
        """
        if reply is not self._reply or self._engine_answered is not None:
            return False
        self._engine_answered, self._sent_on = answered, perf_counter()
        return True

    def request(self) -> Request:
        """Return the request as data, without its streams and replies."""
        return Request(self.verb, self.path, self.params, self.body, self.meta)

    def at(self, stage: int) -> None:
        """Note that it came to a stage."""
        if len(self.steps) < MAX_STEPS:
            self.steps.append((stage, perf_counter() - self.began))

    def see(self, reply: Reply) -> Reply:
        """See `swarmlib.reply_channel.Watcher`."""
        if isinstance(reply, Log):
            self.sent += len(reply.line)
            return reply
        if isinstance(reply, Error):
            if self._lasts:  # a conversation that breaks off
                self._lasts = self.streams = False
            self.outcome, self.error = reply.error.code, reply.error
        elif reply.value is not None:
            self.sent += 0 if self.answer is None else self.answer.held
            self.answer = reply.value
        if isinstance(reply, Set):
            return reply
        now = perf_counter()
        self.answered = self.answered or now - self.began
        if self._engine_answered is not None:
            self._engine_answered(self.verb, now - self._sent_on, self.error)
        if isinstance(reply, Ack):
            self.outcome = OK
            self.streams = self._lasts or reply.stream is not None
            if reply.stream is not None:
                return reply.replace(stream=_Stream(reply.stream, self).alike)
        return reply

    def delivered(self) -> None:
        """Note that the final reply has reached the client: the call has ended, unless more follows it."""
        if not self.streams:
            self.end()

    def closed(self) -> None:
        """Note the end of the replies: without a final one, since the client has disconnected."""
        if not self.over and (self._lasts or not self.streams):
            self.outcome = self.outcome or GONE
            self.end()

    def check(self) -> None:
        """End it if its client has disconnected, whatever the stages do about that. A stream of its own ends by itself.

        Stages close the replies then, so that this is seldom needed; a callback would cost each call a microsecond.
        """
        if self._reply is not None and self._reply.gone:
            self.closed()

    def failed(self, exc: BaseException) -> None:
        """Note that it was not sent on: a stage raised instead of answering, or the client has gone."""
        self.outcome = self.outcome or (INTERNAL if isinstance(exc, Exception) else GONE)
        self.closed()

    def end(self) -> None:
        """Note that it has ended; only the first time counts."""
        if not self.over:
            self.over, self.streams, self._reply = True, False, None
            self.seconds = perf_counter() - self.began
            if self.body is not None:
                self.received += len(self.body.raw)
            if self.answer is not None:
                self.sent += self.answer.held  # now: a value of this process is encoded when it is delivered
            self._ended(self)


current: Final = cast("ContextVar[Call | None]", observed_call)  # which holds nothing else
"""The call in whose tasks this is read."""


class _Upload(CountingWrapper):
    """A call's upload, whose bytes are counted."""

    def __init__(self, inner: trio.abc.ReceiveStream, call: Call) -> None:
        super().__init__(inner)
        self._call = call

    async def received(self, count: int) -> None:
        self._call.received += count


class _Stream(CountingWrapper):
    """The stream of an answer, whose bytes are counted, and whose end is the call's."""

    def __init__(self, inner: trio.abc.ReceiveStream, call: Call) -> None:
        super().__init__(inner)
        self._call = call

    async def received(self, count: int) -> None:
        self._call.sent += count

    async def sending(self, count: int) -> None:
        self._call.received += count

    async def aclose(self) -> None:
        try:
            await self.inner.aclose()
        finally:
            self._call.end()


class EngineAnswer:
    """Watches the answer of an engine to one request, and notes its time and outcome."""

    __slots__ = ("_answered", "_began", "_verb")

    def __init__(self, verb: Verb, answered: Answered) -> None:
        self._verb = verb
        self._answered = answered
        self._began = perf_counter()

    def see(self, reply: Reply) -> Reply:
        """See `swarmlib.reply_channel.Watcher`."""
        if isinstance(reply, FINAL):
            error = reply.error if isinstance(reply, Error) else None
            self._answered(self._verb, perf_counter() - self._began, error)
        return reply

    def delivered(self) -> None:
        """Do nothing."""

    def closed(self) -> None:
        """Do nothing."""
