"""Tasks that live as long as balance itself: one that fails or ends is restarted after a growing pause."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NoReturn

import trio

from swarmlib.supervision import supervised

_FIRST_PAUSE: Final = 0.2
_LAST_PAUSE: Final = 30.0


def pauses(longest: float = _LAST_PAUSE) -> Iterator[float]:
    """Yield the seconds to wait before each new attempt, without end: each pause doubles, up to `longest`."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, longest)


async def lasting(what: str, run: Callable[..., Awaitable[Any]], *args: Any) -> NoReturn:
    """Await `run(*args)` repeatedly; log what it raises. After a run that lasted, the next pause is short again.

    what: names the task in the log.
    """
    waits = pauses()
    while True:
        begun = trio.current_time()
        await supervised(what, run, *args)
        if trio.current_time() - begun > _LAST_PAUSE:
            waits = pauses()
        await trio.sleep(next(waits))
