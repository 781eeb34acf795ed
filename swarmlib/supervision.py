"""Supervision: an exception in one connection, member or background reader ends only that one, and is logged once.

Every task that serves one of many (a client's connection, a wire session, an engine's events) runs supervised, so that
its exceptions do not reach the nursery that it shares with the others.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from .errors import sole

_log = logging.getLogger(__name__)


async def supervised(
    what: str | Callable[[], str],
    run: Callable[..., Awaitable[Any]],
    *args: Any,
    expected: tuple[type[Exception], ...] = (),
) -> None:
    """Await `run(*args)`; an exception ends it and is logged, a cancellation is raised.

    what: names the task in the log, such as "dockerserver: the connection of ip:10.0.0.7"; a callable is called only
        when there is something to log.
    expected: exceptions of normal operation (a client that disconnects); they are logged at INFO, all others at ERROR
        with a traceback.
    """
    try:
        await run(*args)
    except* Exception as group:  # noqa: BLE001 - the one place that may catch all: only this task ends
        found = sole(group)
        name = what() if callable(what) else what
        if expected and group.split(expected)[1] is None:
            _log.info("%s ended: %s", name, str(found) or type(found).__name__)
        else:
            _log.error("%s failed: %s: %s", name, type(found).__name__, found, exc_info=group)
