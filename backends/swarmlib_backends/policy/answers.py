"""The replies to a request that was allowed, as its client may see them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from swarmlib import Error, Log, Reply, ReplySender, Tap
from swarmlib.values import as_json


def showing(reply: ReplySender, show: Callable[[Any], Any]) -> ReplySender:
    """Return the reply channel of a request whose caller is to see each value as `show` returns it.

    An answer that can't be read is not forwarded: the caller gets an error.
    """
    return Tap(reply, partial(_shown, show))


def _shown(show: Callable[[Any], Any], reply: Reply) -> Reply:
    if isinstance(reply, Error | Log) or reply.value is None:
        return reply
    value = reply.json
    left = show(value)
    return reply if left == value else reply.replace(value=as_json(left))
