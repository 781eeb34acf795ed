"""Warnings that are logged sparingly: what a cluster does again and again must not fill the gateway's log."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Final

import trio

MOST: Final = 20
"""The most warnings that are logged within `SECONDS`."""
SECONDS: Final = 60.0


@dataclass(eq=False)
class Sparing:
    """Logs the first warnings of each period, and at the first one after it how many others there were."""

    log: logging.Logger
    _until: float = -math.inf
    _count: int = 0

    def warning(self, message: str, *arguments: object) -> None:
        """Log a warning, unless there were too many. message, arguments: as for a logger."""
        now = trio.current_time()
        if now >= self._until:
            if self._count > MOST:
                self.log.warning("kubernetes: %d more warnings like the last ones were not logged", self._count - MOST)
            self._until, self._count = now + SECONDS, 0
        self._count += 1
        if self._count <= MOST:
            self.log.warning(message, *arguments)
