"""What a session needs to know of this side's end of a channel or stream. Imports no trio."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, TypeAlias

from ..errors import SwarmError
from .events import Received

Step: TypeAlias = Coroutine[Any, Any, None] | None
"""What there is still to do about an event."""


class Endpoint(ABC):
    """This side's end of a channel or stream: what it does about what comes. Nothing comes after `reset`.

    A subclass overrides what may come there; the session lets nothing else through.
    """

    __slots__ = ()

    def message(self, event: Received) -> Step:
        """Take a message."""
        raise AssertionError(event)

    def data(self, data: bytes | memoryview) -> None:
        """Take bytes."""
        raise AssertionError(data)

    def ended(self) -> Step:
        """Take the word that nothing more will come."""
        raise AssertionError

    @abstractmethod
    def reset(self, error: SwarmError) -> Step:
        """Take the word that the peer neither sends nor reads any more, or that the session has ended."""

    def room(self) -> None:  # noqa: B027 - most have nothing to do then
        """Note that more may be sent."""
