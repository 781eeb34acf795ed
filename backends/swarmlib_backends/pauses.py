"""The pauses between attempts at what has failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

LONGEST: Final = 30.0
"""Seconds, where nothing else is said."""


def pauses(longest: float = LONGEST, *, first: float = 0.2) -> Iterator[float]:
    """Yield the seconds to wait before each new attempt, without end: each pause doubles, up to `longest`."""
    pause = min(first, longest)
    while True:
        yield pause
        pause = min(pause * 2, longest)
