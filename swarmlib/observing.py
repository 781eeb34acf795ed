"""How a chain is observed while it is open: an observer sees what each stage is sent, and the chains that it opens.

`Chain.open` asks the observer for one of each stage, and puts what that makes of the stage's channel in its place. A
stage that opens chains itself, such as a balance of members, is their observer's parent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

from .request import Sender
from .service import Backend


class Observer(ABC):
    """Observes one stage, or whatever opens the outermost chain."""

    @abstractmethod
    def chain(self, label: str, backends: Sequence[Backend]) -> Sequence[Observer]:
        """Return an observer for each stage of a chain that is being opened here, in the chain's order."""

    @abstractmethod
    def inlet(self, inlet: Sender) -> Sender:
        """Return the channel that takes the place of an open stage's own. It must send each request on to `inlet`."""

    @abstractmethod
    def closed(self) -> None:
        """Note that the stage is closed, or that it could not be opened. Called once for each stage."""


here: Final[ContextVar[Observer | None]] = ContextVar("here", default=None)
"""The observer of the stage in whose tasks this is read; None where nobody observes."""
