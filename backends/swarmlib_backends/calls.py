"""Helpers of several stages: keys that distinguish calls, distinct names of members, and the forwarding of replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Any, Final, TypeAlias

import orjson
import trio

from swarmlib import Reply, ReplyReceiver, ReplySender, Request, Sender, Verb, discard
from swarmlib.asking import ask, collect

LOOKS: Final = frozenset({Verb.LS, Verb.GET})
"""The verbs that change nothing and are answered with one value: asking twice has the effect of asking once."""


Take: TypeAlias = Callable[[Reply], Awaitable[bool | None]]
"""Takes a reply, and forwards it or keeps it; returns True if no further replies are wanted."""


async def relay(request: Request, to: Sender, take: Take) -> None:
    """Send a copy of a request on, and pass each reply to `take`; at the end, cancel all work for the call.

    Where the request's sender waits in this task for a call of one value (`SendersTask`), the stages behind may handle
    it in this task too, and `take` gets the replies when it has ended.
    """
    sender = request.reply.sender
    if sender is None or trio.lowlevel.current_task() is not sender.task:
        await relay_replies(await ask(to, request), take)
        return
    before, final = await collect(to, request, sender.deadline)
    try:
        for reply in (*before, final):
            if await take(reply):
                return
    except BaseException:
        await discard(final)
        raise


async def relay_replies(replies: ReplyReceiver, take: Take) -> None:
    """Pass each reply of a call to `take`; at the end, cancel all work for the call."""
    async with replies:
        async for reply in replies:
            if await take(reply):
                return


async def forward(reply: Reply, to: ReplySender) -> None:
    """Forward a reply; if that fails, close its stream, so that it never stays open without an owner."""
    try:
        await to.send(reply)
    except BaseException:
        await discard(reply)
        raise


def key_of(request: Request) -> bytes:
    """Return a key that is equal for requests that ask the same, whoever asks; bodies and uploads are not compared."""
    asked = (request.verb, request.path, request.params, request.meta.version, request.meta.headers)
    return orjson.dumps(asked, default=apart, option=orjson.OPT_SORT_KEYS)


def distinct(name: str, taken: Container[str]) -> str:
    """Return the name, with a number appended if it is taken.

    >>> distinct("docker", {"docker"})
    'docker#2'
    """
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}#{number}"
    return found


def apart(value: Any) -> Any:
    """Convert a value without a JSON form to one that equals no JSON value of a request."""
    return {f":{type(value).__name__}": repr(value)}
