"""The asking side of a request: it is sent, and its replies are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import trio

from .errors import BadAnswer, SwarmError
from .refusing import as_error, end_dropped, refuse
from .reply import Ack, Error, Log, Reply, Set
from .reply_channel import ReplySender, SendersTask
from .reply_pair import ReplyReceiver, discard, open_reply
from .request import Request, Sender
from .verbs import CONVERSATIONS, Verb

MAX_ANSWER: Final = 512 * 1024 * 1024
"""The most bytes that the replies of one answer may take: more than the largest value that a backend returns."""
_EACH: Final = 512
"""Roughly the bytes that a reply takes besides its value."""
_STREAMS: Final = CONVERSATIONS | {Verb.CONNECT, Verb.FILE}
"""The verbs whose answers may be streams, or go on after the `ack`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The final `ack` of a call, and the `set` and `log` replies before it."""

    ack: Ack
    before: list[Set | Log]

    @property
    def value(self) -> Any:
        """The decoded object: of the last `set`, else of the `ack`; None where neither has one."""
        sets = [reply for reply in self.before if isinstance(reply, Set)]
        return sets[-1].json if sets else self.ack.json


async def dispatch(sender: Sender, request: Request) -> None:
    """Send a request. If sending raises, or a stage drops the request, the caller gets an `error` reply."""
    reply = request.reply
    reply.pass_to(request)
    try:
        await sender.send(request)
    except Exception as exc:  # noqa: BLE001 - the contract: whatever happens, the caller is answered
        await refuse(request, as_error(exc, "", request))
    else:
        if reply.is_with(request):
            await end_dropped(request, "")


async def ask(sender: Sender, request: Request, *, deadline: float | None = None) -> ReplyReceiver:
    """Send a copy of a request with a reply pair of its own, and return the replies.

    Use it as `async with await ask(…) as replies`: leaving the context cancels all work for the request.

    deadline: replaces the request's.
    """
    reply, replies = open_reply()
    try:
        await dispatch(sender, request.replace(reply=reply, deadline=deadline))
    except BaseException:
        await replies.aclose()
        raise
    return replies


async def call(sender: Sender, request: Request) -> Answer:
    """Send a request with the deadline that is in force here, and return its answer.

    Raises:
        SwarmError: the error of an `error` reply.
        BadAnswer: the replies before the final one are over MAX_ANSWER bytes.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    scope, deadline = trio.CancelScope(), trio.current_effective_deadline()
    replies = _Collector(request, SendersTask(trio.lowlevel.current_task(), scope, deadline))
    with scope:
        try:
            await dispatch(sender, request.replace(reply=replies, deadline=deadline))
            await replies.until_final()
        except BaseException:
            await replies.drop()
            raise
        finally:
            replies.leave()
    return replies.answer()


class _Collector(ReplySender):
    """Collects the replies of a call whose caller waits for the final one, and does nothing else meanwhile.

    A call with a stream may go on after its final reply, and so needs a task of its own.
    """

    def __init__(self, request: Request, sender: SendersTask) -> None:
        super().__init__()
        self._sender = sender
        self._in_task = request.upload is None and request.verb not in _STREAMS
        self._before: list[Set | Log] = []
        self._size = 0
        self._final: Ack | SwarmError | None = None
        self._came: trio.Event | None = None

    @property
    def sender(self) -> SendersTask | None:
        """See `ReplySender.sender`."""
        return self._sender if self._in_task else None

    async def _deliver(self, reply: Reply) -> None:
        if self.gone:
            raise trio.BrokenResourceError("the caller disconnected")
        if isinstance(reply, Error):
            self._fail(reply.error)
        elif isinstance(reply, Ack):
            self._end(reply)
        else:
            self._size += _EACH + held(reply)
            self._before.append(reply)
            if self._size > MAX_ANSWER:
                self._fail(BadAnswer(f"the answer is longer than {MAX_ANSWER} bytes"))

    async def _finish(self) -> None:
        """Do nothing: the final reply has come."""

    def _fail(self, error: SwarmError) -> None:
        """End the call, and what may still work for it: another task may have found that it has failed."""
        self._end(error)
        self.leave()
        self._sender.cancel()

    def _end(self, final: Ack | SwarmError) -> None:
        self._final = final
        if self._came is not None:
            self._came.set()

    async def until_final(self) -> None:
        """Wait for the final reply, which may come from another task."""
        if self._final is None:
            self._came = trio.Event()
            await self._came.wait()

    async def drop(self) -> None:
        """Close the stream of an answer that came when the caller was cancelled."""
        if isinstance(self._final, Ack):
            await discard(self._final)

    def answer(self) -> Answer:
        """Return the answer, or raise the error."""
        if isinstance(self._final, Ack):
            return Answer(self._final, self._before)
        assert self._final is not None
        raise self._final.with_traceback(None)  # a fresh one: several callers may share the error (a fan-out)


async def next_reply(replies: ReplyReceiver) -> Ack | Set | Log:
    """Return the next reply, or raise the error of an `error` reply.

    Raises:
        SwarmError: the next reply is an `error`.
        trio.EndOfChannel: there are no more replies.
    """
    reply = await replies.receive()
    if isinstance(reply, Error):
        # A fresh traceback each time: the error object may be shared by several callers (a fan-out).
        raise reply.error.with_traceback(None)
    return reply


async def answer(replies: ReplyReceiver) -> Answer:
    """Read the replies up to the final one, and return them all.

    Raises:
        SwarmError: a reply is an `error`.
        BadAnswer: the replies before the final one are over MAX_ANSWER bytes.
    """
    before: list[Set | Log] = []
    size = 0
    while not isinstance(reply := await next_reply(replies), Ack):
        size += _EACH + held(reply)
        if size > MAX_ANSWER:
            raise BadAnswer(f"the answer is longer than {MAX_ANSWER} bytes")
        before.append(reply)
    return Answer(reply, before)


def held(reply: Reply) -> int:
    """Return the number of bytes in which a reply's value arrived."""
    if isinstance(reply, Log):
        return len(reply.line)
    return 0 if isinstance(reply, Error) or reply.value is None else reply.value.held
