"""A request from the asking side: it is sent, and its replies are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .channel import Replies, Reply, Sender, open_reply
from .errors import BadAnswer, SwarmError
from .message import CONVERSATIONS, Json, Message, Verb
from .service import as_error, break_off

MAX_ANSWER: Final = 512 * 1024 * 1024
"""Bytes of the replies that one answer is made of, at most: more than the largest value that a backend gives."""
_EACH: Final = 512
"""Bytes that a reply takes besides its value, about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The final `ack` of a call, and the `set` and `log` messages before it."""

    ack: Message
    before: list[Message]

    @property
    def value(self) -> Any:
        """The decoded object: of the last `set`, else of the `ack`; None where neither has one."""
        sets = [m for m in self.before if m.verb is Verb.SET]
        return sets[-1].json if sets else self.ack.json


async def dispatch(sender: Sender, message: Message, ret: Reply) -> None:
    """Send a request; what sending itself raises is given to `ret` as the error reply."""
    try:
        await sender.send(message)
    except Exception as exc:  # noqa: BLE001 - the contract: whatever happens, the caller is answered
        await break_off(ret, as_error(exc, "", message), begun=message.verb in CONVERSATIONS)


async def ask(sender: Sender, message: Message) -> Replies:
    """Send a request and give its replies: `async with await ask(…) as replies`, at whose end what works for it is
    cancelled. The message must be the caller's own (a copy, `message.but()`, of one that came): it gets its `ret` here.
    """
    # Only the stages hold `ret` when this returns: if they drop it, that ends the call.
    message.ret, replies = open_reply()
    try:
        await dispatch(sender, message, message.ret)
    except BaseException:
        await replies.aclose()
        raise
    return replies


async def next_reply(replies: Replies) -> Message:
    """The next reply; an `error` is raised.

    Raises:
        SwarmError: what the error reply says.
        trio.EndOfChannel: there is none any more.
    """
    reply = await replies.receive()
    if reply.verb is Verb.ERROR:
        # A fresh traceback each time: the error object may be shared by several callers (a fan-out).
        error: SwarmError = reply.error
        raise error.with_traceback(None)
    return reply


async def answer(replies: Replies) -> Answer:
    """The final reply, and those before it.

    Raises:
        SwarmError: what an `error` says.
        BadAnswer: the replies before it are over MAX_ANSWER bytes.
    """
    before: list[Message] = []
    size = 0
    while (reply := await next_reply(replies)).verb is not Verb.ACK:
        size += _EACH + _held(reply.value)
        if size > MAX_ANSWER:
            raise BadAnswer(f"the answer is over {MAX_ANSWER} bytes, and has not ended yet")
        before.append(reply)
    return Answer(reply, before)


def _held(value: Any) -> int:
    """The bytes in which a reply's value came."""
    if isinstance(value, Json):
        return value.held
    return len(value) if isinstance(value, bytes) else 0
