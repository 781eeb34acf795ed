"""What rules are written with: asking, waiting, and saying what is wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from ..channel import CLEANUP_SECONDS, Replies, Sender, open_reply
from ..errors import SwarmError
from ..message import FINAL, Message, Path, Verb
from ..request import dispatch, next_reply
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
async def asking(sender: Sender, verb: Verb, path: Path, message: Message | None = None) -> AsyncGenerator[Replies]:
    """Send a request, its other fields those of `message`; leaving the context ends the call."""
    ret, replies = open_reply()
    async with replies:
        request = (message or Message(verb)).but(verb=verb, path=(), ret=ret)
        request.path = path  # unchecked: no backend may depend on it that whoever made the message checked its path
        await dispatch(sender, request, ret)
        del ret, request  # only the stages hold the channel now: one that drops it must be found out
        yield replies


def different(verb: Verb, count: int) -> list[Message]:
    """Messages that ask for as many different things: a stage may make one call of those that ask the same."""
    return [Message(verb, args={"call": str(number)}) for number in range(count)]


async def finals(replies: Replies, verb: Verb) -> list[Message]:
    """The final replies; up to the first one of a conversation, which goes on. A stream among them is closed."""
    found: list[Message] = []
    async for reply in replies:
        if reply.att is not None:
            await trio.aclose_forcefully(reply.att)
        if reply.verb in FINAL:
            found.append(reply)
            if verb in _CONVERSATIONS:
                break
    return found


async def error_of(sender: Sender, verb: Verb, path: Path, message: Message | None = None) -> SwarmError | None:
    """The error that a request is answered with; None where it is acknowledged."""
    async with asking(sender, verb, path, message) as replies:
        found = await finals(replies, verb)
    must(found, f"{verb} {'/'.join(path)} ended without a final reply")
    return found[0].error if found[0].verb is Verb.ERROR else None


async def acked(replies: Replies) -> Message:
    """The `ack` among the next replies. Raises what an `error` says."""
    while (reply := await next_reply(replies)).verb is not Verb.ACK:
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
