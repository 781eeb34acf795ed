"""What rules are written with: asking, waiting, and saying what is wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from ..asking import dispatch, next_reply
from ..errors import SwarmError
from ..names import Path
from ..reply import Ack, Error
from ..reply_channel import CLEANUP_SECONDS
from ..reply_pair import ReplyReceiver, discard, open_reply
from ..request import Request, Sender
from ..verbs import Verb
from .transcript import short

STALL_SECONDS: Final = 0.1
"""How long nothing must move for it to count as held up."""
_CONVERSATIONS: Final = frozenset({Verb.ATTACH, Verb.WATCH, Verb.CONNECT})


class Broken(Exception):
    """A rule is broken; the text says what was seen."""


def must(condition: object, problem: str) -> None:
    """Raise `Broken` unless it is so."""
    if not condition:
        raise Broken(problem)


@asynccontextmanager
async def asking(sender: Sender, verb: Verb, path: Path, like: Request | None = None) -> AsyncGenerator[ReplyReceiver]:
    """Send a request, its other fields those of `like`; leaving the context ends the call."""
    reply, replies = open_reply()
    async with replies:
        request = (like or Request(verb)).replace(verb=verb, path=(), reply=reply)
        request.path = path  # unchecked: no backend may depend on it that whoever made the request checked its path
        await dispatch(sender, request)
        yield replies


def different(verb: Verb, count: int) -> list[Request]:
    """Requests that ask for as many different things: a stage may make one call of those that ask the same."""
    return [Request(verb, params={"call": str(number)}) for number in range(count)]


async def finals(replies: ReplyReceiver, verb: Verb) -> list[Ack | Error]:
    """The final replies; up to the first one of a conversation, which goes on. A stream among them is closed."""
    found: list[Ack | Error] = []
    async for reply in replies:
        await discard(reply)
        if isinstance(reply, Ack | Error):
            found.append(reply)
            if verb in _CONVERSATIONS:
                break
    return found


async def error_of(sender: Sender, verb: Verb, path: Path, like: Request | None = None) -> SwarmError | None:
    """The error that a request is answered with; None where it is acknowledged."""
    async with asking(sender, verb, path, like) as replies:
        found = await finals(replies, verb)
    must(found, f"{verb} {'/'.join(path)} ended without a final reply")
    return found[0].error if isinstance(found[0], Error) else None


async def acked(replies: ReplyReceiver) -> Ack:
    """The `ack` among the next replies. Raises what an `error` says."""
    while not isinstance(reply := await next_reply(replies), Ack):
        pass
    return reply


async def stalled(progress: Callable[[], int]) -> None:
    """Wait until `progress` has not changed for STALL_SECONDS."""
    seen = -1
    while seen != (seen := progress()):  # noqa: ASYNC110 - that nothing happens is no event
        await trio.sleep(STALL_SECONDS)


async def becomes(ready: Callable[[], bool]) -> bool:
    """Wait for something that no event tells of, for CLEANUP_SECONDS at most; gives whether it came."""
    with trio.move_on_after(CLEANUP_SECONDS):
        while not ready():  # noqa: ASYNC110 - see above
            await trio.sleep(STALL_SECONDS / 10)
        return True
    return False


def told(error: SwarmError | None) -> str:
    """An error, or that there was none."""
    return "an ack" if error is None else f"{error.code} ({short(error.message)})"
