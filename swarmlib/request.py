"""A request from the asking side: it is sent, and its replies are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .channel import Replies, Reply, Sender, open_reply
from .errors import SwarmError
from .message import CONVERSATIONS, Message, Verb
from .service import as_error, break_off


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
    """The final reply, and those before it. Raises what an `error` says."""
    before: list[Message] = []
    while (reply := await next_reply(replies)).verb is not Verb.ACK:
        before.append(reply)
    return Answer(reply, before)
