"""Tasks that live as long as balance itself: one that fails or ends is run again, after a pause that grows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

import trio

from swarmlib.supervision import supervised

_FIRST_PAUSE: Final = 0.2
_LAST_PAUSE: Final = 30.0


async def lasting(what: str, run: Callable[..., Awaitable[Any]], *args: Any) -> NoReturn:
    """Await `run(*args)` again and again; what it raises is logged. A run that lasted makes the next pause short again.

    what: names the task in the log.
    """
    pause = _FIRST_PAUSE
    while True:
        begun = trio.current_time()
        await supervised(what, run, *args)
        pause = _FIRST_PAUSE if trio.current_time() - begun > _LAST_PAUSE else pause
        await trio.sleep(pause)
        pause = min(pause * 2, _LAST_PAUSE)
