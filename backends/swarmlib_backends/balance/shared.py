"""What the members of a balance share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import trio

from .index import Index
from .kept import Kept

Announce: TypeAlias = Callable[[dict[str, Any]], None]
Hear: TypeAlias = Callable[[Mapping[str, Any]], None]
"""Takes an event of an engine."""


@dataclass
class Shared:
    """The objects of all, and what each tells and is limited by."""

    index: Index
    kept: Kept
    deadline: float
    """Seconds that one member may delay an answer of several."""
    announce: Announce
    """Takes balance's own events."""
    hear: Hear
    taking_stock: trio.CapacityLimiter
    """Held by each member that is asked for all that it has: of a thousand that come up at once, none misses its
    deadline because this process is busy with the others."""
