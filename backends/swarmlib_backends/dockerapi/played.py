"""What the engine that `simulator` and `exec` play refuses before it looks for anything, and another engine may do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from swarmlib import Invalid, Message, Verb
from swarmlib.service import Handler

from . import platforms
from .canonical import canonical
from .versions import check_spoken


def played(handlers: Mapping[Verb, Handler]) -> Mapping[Verb, Handler]:
    """Handlers of a backend that plays an engine: each gets the canonical form of its message, unless that engine
    refuses it.
    """
    return {verb: partial(_play, handler) for verb, handler in handlers.items()}


async def _play(handler: Handler, message: Message) -> Any:
    check_spoken(message)
    known = canonical(message)
    _check_experimental(known)
    _check_platform(known)
    return await handler(known)


def _check_experimental(message: Message) -> None:
    if message.verb is Verb.START and message.args.get("checkpoint"):
        raise Invalid("checkpoint is only supported in experimental mode")


def _check_platform(message: Message) -> None:
    """Refuse what is no platform; a build says so only when it has begun."""
    platform = message.args.get("platform")
    if platform and message.verb is Verb.SPAWN and message.path[0] in ("containers", "images"):
        platforms.read(str(platform))
