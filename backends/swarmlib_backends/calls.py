"""What several stages share: what tells calls and members apart, and handing replies on."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

import orjson
import trio

from swarmlib import CALLER, Message, Reply, Verb

LOOKS: Final = frozenset({Verb.LS, Verb.GET})
"""The verbs that change nothing and are answered with one value: asking twice is as asking once."""


async def hand_over(reply: Message, ret: Reply) -> None:
    """Pass a reply on; its stream is closed where it can't be, so that it never stays open unowned."""
    try:
        await ret.send(reply)
    except BaseException:
        if reply.att is not None:
            await trio.aclose_forcefully(reply.att)
        raise


def key_of(message: Message, *, args: Mapping[str, Any], value: Any = None, upload: bool = False) -> bytes:
    """What tells requests apart: equal for those that ask the same, whoever asks."""
    asked = {name: given for name, given in args.items() if name != CALLER}
    return orjson.dumps((message.verb, message.path, asked, value, upload), default=_apart, option=orjson.OPT_SORT_KEYS)


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


def _apart(value: Any) -> Any:
    """What JSON has no form for, as something that equals no JSON value of a request."""
    return {f":{type(value).__name__}": repr(value)}
