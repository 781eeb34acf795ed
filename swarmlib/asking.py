"""The asking side of a request: it is sent, and its replies are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import trio

from .errors import BadAnswer
from .reply import Ack, Error, Log, Reply, Set
from .reply_pair import ReplyReceiver, open_reply
from .request import Request, Sender
from .service import as_error, end_dropped, refuse

MAX_ANSWER: Final = 512 * 1024 * 1024
"""Bytes of the replies that one answer is made of, at most: more than the largest value that a backend gives."""
_EACH: Final = 512
"""Bytes that a reply takes besides its value, about."""


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
    """Send a request. What sending raises is given to its caller as the error reply, and so is that it was dropped."""
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
    """Send a request and give its replies: `async with await ask(…) as replies`, at whose end what works for it is
    cancelled. A copy is sent, which has a reply pair of its own.

    deadline: in place of the request's.
    """
    reply, replies = open_reply()
    try:
        await dispatch(sender, request.replace(reply=reply, deadline=deadline))
    except BaseException:
        await replies.aclose()
        raise
    return replies


async def call(sender: Sender, request: Request) -> Answer:
    """Send a request, with the deadline that is in force here, and give its answer.

    Raises:
        SwarmError: what an `error` says. BadAnswer: see `answer`.
    """
    async with await ask(sender, request, deadline=trio.current_effective_deadline()) as replies:
        return await answer(replies)


async def next_reply(replies: ReplyReceiver) -> Ack | Set | Log:
    """The next reply; an `error` is raised.

    Raises:
        SwarmError: what the error reply says.
        trio.EndOfChannel: there is none any more.
    """
    reply = await replies.receive()
    if isinstance(reply, Error):
        # A fresh traceback each time: the error object may be shared by several callers (a fan-out).
        raise reply.error.with_traceback(None)
    return reply


async def answer(replies: ReplyReceiver) -> Answer:
    """The final reply, and those before it.

    Raises:
        SwarmError: what an `error` says.
        BadAnswer: the replies before it are over MAX_ANSWER bytes.
    """
    before: list[Set | Log] = []
    size = 0
    while not isinstance(reply := await next_reply(replies), Ack):
        size += _EACH + held(reply)
        if size > MAX_ANSWER:
            raise BadAnswer(f"the answer is over {MAX_ANSWER} bytes, and has not ended yet")
        before.append(reply)
    return Answer(reply, before)


def held(reply: Reply) -> int:
    """The bytes in which a reply's value came."""
    if isinstance(reply, Log):
        return len(reply.line)
    return 0 if isinstance(reply, Error) or reply.value is None else reply.value.held
