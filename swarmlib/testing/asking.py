"""The helpers that rules are written with: send requests, wait, and report what is wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from ..asking import dispatch, next_reply
from ..errors import SwarmError
from ..names import Path
from ..reply import Ack, Error
from ..reply_channel import CLEANUP_SECONDS, discard
from ..reply_pair import ReplyReceiver, open_reply
from ..request import Request, Sender
from ..verbs import Verb
from .transcript import short

STALL_SECONDS: Final = 0.1
"""How long there must be no progress to count as held up."""
_CONVERSATIONS: Final = frozenset({Verb.ATTACH, Verb.WATCH, Verb.CONNECT})


class Broken(Exception):
    """A rule is broken; the text says what was observed."""


def must(condition: object, problem: str) -> None:
    """Raise `Broken` unless the condition holds."""
    if not condition:
        raise Broken(problem)


@asynccontextmanager
async def asking(sender: Sender, verb: Verb, path: Path, like: Request | None = None) -> AsyncGenerator[ReplyReceiver]:
    """Send a request, with the other fields of `like`, and yield its replies; leaving the context ends the call."""
    reply, replies = open_reply()
    async with replies:
        request = (like or Request(verb)).replace(verb=verb, path=(), reply=reply)
        request.path = path  # unchecked: no backend may rely on whoever made the request to have checked its path
        await dispatch(sender, request)
        yield replies


def different(verb: Verb, count: int) -> list[Request]:
    """Make `count` requests that differ: a stage may merge requests that are the same into one call."""
    return [Request(verb, params={"call": str(number)}) for number in range(count)]


async def finals(replies: ReplyReceiver, verb: Verb) -> list[Ack | Error]:
    """Return the final replies; of a conversation, which goes on, only the first. Their streams are closed."""
    found: list[Ack | Error] = []
    async for reply in replies:
        await discard(reply)
        if isinstance(reply, Ack | Error):
            found.append(reply)
            if verb in _CONVERSATIONS:
                break
    return found


async def error_of(sender: Sender, verb: Verb, path: Path, like: Request | None = None) -> SwarmError | None:
    """Send a request and return the error that answers it; None if it is acknowledged."""
    async with asking(sender, verb, path, like) as replies:
        found = await finals(replies, verb)
    must(found, f"{verb} {'/'.join(path)} ended without a final reply")
    return found[0].error if isinstance(found[0], Error) else None


async def acked(replies: ReplyReceiver) -> Ack:
    """Wait for the `ack` among the next replies, and return it. Raises the error of an `error` reply."""
    while not isinstance(reply := await next_reply(replies), Ack):
        pass
    return reply


async def stalled(progress: Callable[[], int]) -> None:
    """Wait until `progress` has not changed for STALL_SECONDS."""
    seen = -1
    while seen != (seen := progress()):  # noqa: ASYNC110 - no event tells that nothing happens
        await trio.sleep(STALL_SECONDS)


async def becomes(ready: Callable[[], bool]) -> bool:
    """Wait for a condition that has no event, for CLEANUP_SECONDS at most, and return whether it came true."""
    with trio.move_on_after(CLEANUP_SECONDS):
        while not ready():  # noqa: ASYNC110 - see above
            await trio.sleep(STALL_SECONDS / 10)
        return True
    return False


def told(error: SwarmError | None) -> str:
    """Describe an error, or say that there was none."""
    return "an ack" if error is None else f"{error.code} ({short(error.message)})"
