"""What the engine that `simulator` and `exec` play refuses before it looks for anything, and another engine may do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from swarmlib import Invalid, Request, Verb
from swarmlib.service import Handler

from . import platforms
from .canonical import canonical
from .versions import check_spoken


def played(handlers: Mapping[Verb, Handler]) -> Mapping[Verb, Handler]:
    """Handlers of a backend that plays an engine: each gets the canonical form of its request, unless that engine
    refuses it.
    """
    return {verb: partial(_play, handler) for verb, handler in handlers.items()}


async def _play(handler: Handler, request: Request) -> Any:
    check_spoken(request)
    known = canonical(request)
    _check_experimental(known)
    _check_platform(known)
    return await handler(known)


def _check_experimental(request: Request) -> None:
    if request.verb is Verb.START and request.params.get("checkpoint"):
        raise Invalid("checkpoint is only supported in experimental mode")


def _check_platform(request: Request) -> None:
    """Refuse what is no platform; a build says so only when it has begun."""
    platform = request.params.get("platform")
    if platform and request.verb is Verb.SPAWN and request.path[0] in ("containers", "images"):
        platforms.read(str(platform))
