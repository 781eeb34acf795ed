"""What the stages that follow a call to its end share: what tells calls apart, and handing replies on."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
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
    """What tells requests apart, in 32 bytes: equal for those that ask the same, whoever asks."""
    asked = {name: given for name, given in args.items() if name != CALLER}
    told = orjson.dumps((message.verb, message.path, asked, value, upload), default=_apart, option=orjson.OPT_SORT_KEYS)
    return blake2b(told, digest_size=32).digest()


def _apart(value: Any) -> Any:
    """What JSON has no form for, so that it equals nothing that JSON has one for."""
    return {f":{type(value).__name__}": repr(value)}
