"""The asking side of a request: it is sent, and its replies are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import trio

from .collecting import Before, Collector
from .refusing import as_error, end_dropped, refuse
from .reply import Ack, Error, Log, Set
from .reply_channel import SendersTask
from .reply_pair import ReplyReceiver, open_reply
from .request import Request, Sender


@dataclass(frozen=True, slots=True)
class Answer:
    """The final `ack` of a call, and the `set` and `log` replies before it."""

    ack: Ack
    before: Sequence[Set | Log]

    @property
    def value(self) -> Any:
        """The decoded object: of the last `set`, else of the `ack`; None where neither has one."""
        return self.holder.json

    @property
    def raw(self) -> bytes:
        """The bytes of the object; b"" where there is none."""
        found = self.holder.value
        return b"" if found is None else found.raw

    @property
    def holder(self) -> Set | Ack:
        """The reply that has the object: the last `set`, else the `ack`."""
        for reply in reversed(self.before):
            if isinstance(reply, Set):
                return reply
        return self.ack


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


async def collect(sender: Sender, request: Request, deadline: float) -> tuple[Sequence[Set | Log], Ack | Error]:
    """Send a copy of a request, and return the replies before the final one, and that one. It is handled in this task,
    which waits for the end of the call, unless it has a stream.

    deadline: when the call is given up, on trio's clock, unless the request's comes before.

    Raises:
        trio.TooSlowError: that has passed.
    """
    deadline = min(deadline, request.deadline)
    scope = trio.CancelScope(deadline=deadline)  # a stage that closes cancels this part of the task, and not its caller
    replies = Collector(request, SendersTask(trio.lowlevel.current_task(), scope, deadline))
    with scope:
        try:
            await dispatch(sender, request.replace(reply=replies, deadline=deadline))
            await replies.until_final()
        except BaseException:
            await replies.drop()
            raise
        finally:
            replies.leave()
    if (final := replies.final) is None:
        await trio.lowlevel.checkpoint_if_cancelled()  # what waits for this call may have the same deadline
        raise trio.TooSlowError
    return replies.before, final


async def call(sender: Sender, request: Request, deadline: float = math.inf) -> Answer:
    """Send a request, and return its answer.

    deadline: when to give it up, on trio's clock; by default the one that is in force here.

    Raises:
        SwarmError: the error of an `error` reply.
        BadAnswer: the replies before the final one are over MAX_ANSWER bytes.
        trio.TooSlowError: the deadline has passed.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    if deadline == math.inf:
        deadline = trio.current_effective_deadline()
    before, final = await collect(sender, request, deadline)
    if isinstance(final, Error):
        try:
            raise final.error.with_traceback(None)  # a fresh one: several callers may share the error (a fan-out)
        finally:
            del final  # or the error would refer to itself by its traceback, and keep what the call held in memory
    return Answer(final, before)


async def next_reply(replies: ReplyReceiver) -> Ack | Set | Log:
    """Return the next reply, or raise the error of an `error` reply.

    Raises:
        SwarmError: the next reply is an `error`.
        trio.EndOfChannel: there are no more replies.
    """
    reply = await replies.receive()
    if isinstance(reply, Error):
        try:
            raise reply.error.with_traceback(None)  # as in `call`
        finally:
            del reply
    return reply


async def answer(replies: ReplyReceiver) -> Answer:
    """Read the replies up to the final one, and return them all.

    Raises:
        SwarmError: a reply is an `error`.
        BadAnswer: the replies before the final one are over MAX_ANSWER bytes.
    """
    before = Before()
    while not isinstance(reply := await next_reply(replies), Ack):
        before.add(reply)
    return Answer(reply, before.replies)
