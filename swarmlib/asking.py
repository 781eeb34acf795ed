"""The asking side of a request: it is sent, and its replies are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import trio

from .errors import BadAnswer
from .refusing import as_error, end_dropped, refuse
from .reply import Ack, Error, Log, Reply, Set
from .reply_channel import SendersTask
from .reply_pair import ReplyReceiver, open_reply
from .request import Request, Sender

MAX_ANSWER: Final = 512 * 1024 * 1024
"""The most bytes that the replies of one answer may take: more than the largest value that a backend returns."""
_EACH: Final = 512
"""Roughly the bytes that a reply takes besides its value."""


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


async def ask_onward(sender: Sender, request: Request) -> ReplyReceiver:
    """Do what `ask` does, for a stage that forwards a request and then only reads the replies: if it runs in the task
    of the request's sender, the stages behind it may do so too (see `SendersTask`).
    """
    task = request.reply.sender
    if task is None or trio.lowlevel.current_task() is not task.task:
        return await ask(sender, request)
    scope = trio.CancelScope()  # of its own: a stage behind that closes must not cancel the stages before this
    reply, replies = open_reply(sender=SendersTask(task.task, scope))
    try:
        with scope:
            await dispatch(sender, request.replace(reply=reply))
    except BaseException:
        await replies.aclose()
        raise
    if scope.cancelled_caught:
        await reply.aclose()
    return replies


async def call(sender: Sender, request: Request) -> Answer:
    """Send a request with the deadline that is in force here, and return its answer.

    Raises:
        SwarmError: the error of an `error` reply.
        BadAnswer: see `answer`.
    """
    async with await ask(sender, request, deadline=trio.current_effective_deadline()) as replies:
        return await answer(replies)


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
