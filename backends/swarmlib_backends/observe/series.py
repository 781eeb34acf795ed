"""Counts and durations of calls of one kind."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""The upper bounds, in seconds, of the durations that are counted together; one more count is for longer ones."""


class Series:
    """How many calls have ended, how long they took together, and how many took how long.

    Attributes:
        count: the calls.
        seconds: what they took together.
        within: how many took each of the durations of `BOUNDS`, and longer.
    """

    __slots__ = ("count", "seconds", "within")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.within = [0] * (len(BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        """Count a call."""
        self.count += 1
        self.seconds += seconds
        self.within[bisect_left(BOUNDS, seconds)] += 1
