"""Tasks that live as long as balance itself: one that fails or ends is restarted after a growing pause."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import trio

from swarmlib.supervision import supervised

from ..pauses import LONGEST, pauses


async def lasting(what: str, run: Callable[..., Awaitable[Any]], *args: Any) -> NoReturn:
    """Await `run(*args)` repeatedly; log what it raises. After a run that lasted, the next pause is short again.

    what: names the task in the log.
    """
    waits = pauses()
    while True:
        begun = trio.current_time()
        await supervised(what, run, *args)
        if trio.current_time() - begun > LONGEST:
            waits = pauses()
        await trio.sleep(next(waits))
