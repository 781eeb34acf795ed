"""What the stages that follow a call to its end share: asking the next stage anew, and handing its replies on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
import trio

from swarmlib import CALLER, Message, Replies, Reply, Sender, Verb, dispatch, open_reply

LOOKS: Final = frozenset({Verb.LS, Verb.GET})
"""The verbs that change nothing and are answered with one value: asking twice is as asking once."""


async def ask(next: Sender, message: Message) -> Replies:
    """Send a request on with a reply pair of its own: `async with await ask(…) as replies`, at whose end what works for
    it is cancelled. Its deadline stays as it is.
    """
    # Only the stages hold `ret` when this returns: if they drop it, that ends the call.
    ret, replies = open_reply()
    try:
        await dispatch(next, message.but(ret=ret), ret)
    except BaseException:
        await replies.aclose()
        raise
    return replies


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
    return orjson.dumps((message.verb, message.path, asked, value, upload), default=repr, option=orjson.OPT_SORT_KEYS)
