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
