"""What a session needs to know of this side's end of a channel or stream. Imports no trio."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, TypeAlias

from ..errors import SwarmError
from .events import Received

Step: TypeAlias = Coroutine[Any, Any, None] | None
"""What there is still to do about an event."""


class Endpoint(Protocol):
    """This side's end of a channel or stream: what it does about what comes. Nothing comes after `reset`."""

    def message(self, event: Received) -> Step:
        """Take a message."""

    def data(self, data: bytes) -> None:
        """Take bytes."""

    def ended(self) -> Step:
        """Take the word that nothing more will come."""

    def reset(self, error: SwarmError) -> Step:
        """Take the word that the peer neither sends nor reads any more, or that the session has ended."""

    def room(self) -> None:
        """Take note that more may be sent."""
