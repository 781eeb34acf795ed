"""What several stages share: what tells calls and members apart, and how replies are passed on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Any, Final, TypeAlias

import orjson

from swarmlib import Reply, ReplyReceiver, ReplySender, Request, Verb, discard

LOOKS: Final = frozenset({Verb.LS, Verb.GET})
"""The verbs that change nothing and are answered with one value: asking twice is as asking once."""


Take: TypeAlias = Callable[[Reply], Awaitable[bool | None]]
"""Takes a reply, and passes it on or keeps it; True says that it was the last one that is wanted."""


async def relay(replies: ReplyReceiver, take: Take) -> None:
    """Give each reply of a call to `take`; at the end what still works for the call is cancelled."""
    async with replies:
        async for reply in replies:
            if await take(reply):
                return


async def forward(reply: Reply, to: ReplySender) -> None:
    """Pass a reply on; its stream is closed where it can't be, so that it never stays open unowned."""
    try:
        await to.send(reply)
    except BaseException:
        await discard(reply)
        raise


def key_of(request: Request) -> bytes:
    """What tells requests apart, but for their bodies and uploads: equal for those that ask the same, whoever asks."""
    asked = (request.verb, request.path, request.params, request.meta.version, request.meta.headers)
    return orjson.dumps(asked, default=apart, option=orjson.OPT_SORT_KEYS)


def distinct(name: str, taken: Container[str]) -> str:
    """The name, with a number behind it where it is taken.

    >>> distinct("docker", {"docker"})
    'docker#2'
    """
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}#{number}"
    return found


def apart(value: Any) -> Any:
    """What JSON has no form for, as something that equals no JSON value of a request."""
    return {f":{type(value).__name__}": repr(value)}
