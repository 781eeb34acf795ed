"""Tasks that live as long as balance itself: one that fails or ends is run again, after a pause that grows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NoReturn

import trio

from swarmlib.supervision import supervised

_FIRST_PAUSE: Final = 0.2
_LAST_PAUSE: Final = 30.0


def pauses(longest: float = _LAST_PAUSE) -> Iterator[float]:
    """Seconds to wait before each new try, without end: each pause is twice the one before, and `longest` at most."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, longest)


async def lasting(what: str, run: Callable[..., Awaitable[Any]], *args: Any) -> NoReturn:
    """Await `run(*args)` again and again; what it raises is logged. A run that lasted makes the next pause short again.

    what: names the task in the log.
    """
    waits = pauses()
    while True:
        begun = trio.current_time()
        await supervised(what, run, *args)
        if trio.current_time() - begun > _LAST_PAUSE:
            waits = pauses()
        await trio.sleep(next(waits))
