"""The time that a call may take, and where it may be made."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import trio

from ..errors import TimedOut


@contextmanager
def within(seconds: float | None) -> Generator[None]:
    """Give what is inside so many seconds; None for any time. The deadline travels with the calls inside.

    Raises:
        TimedOut: it was not done by then, and has been cancelled.
        ValueError: `seconds` is negative, or not a number.
    """
    if seconds is None:
        yield
        return
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise TimedOut(f"timed out: there was no answer within {seconds:g} s")


def current_trio_loop() -> trio.lowlevel.TrioToken | None:
    """Return the trio loop that runs here; None if there is none."""
    try:
        return trio.lowlevel.current_trio_token()
    except RuntimeError:
        return None


def check_loop(home: trio.lowlevel.TrioToken | None) -> None:
    """Check that a client is used in the trio loop that it belongs to.

    home: the loop that it was made in; None if it was made outside of any.

    Raises:
        RuntimeError: it is used elsewhere; the error says what is meant for there.
    """
    here = current_trio_loop()
    if here is None:
        raise RuntimeError(
            "wrong event loop: swarmlib.connect is for trio, which does not run here; "
            "from asyncio, use swarmlib.aio, and from threads, swarmlib.sync"
        )
    if home not in (None, here):
        raise RuntimeError(
            "wrong event loop: this client was opened in another trio loop; "
            "open one in each loop, or share one of swarmlib.sync"
        )
