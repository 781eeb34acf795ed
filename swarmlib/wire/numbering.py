"""The numbers of what is open in a session, on either side: which may be used next, and how many are in use. Imports no
trio.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UNSENT, Unavailable
from .errors import WireError
from .limits import Limits
from .opened import Channel, Opened
from .references import Ref, RefKind, Refs


class Numbers:
    """The numbers that both sides have given to channels and streams; the initiator's are odd.

    next_own: the next of this side.
    """

    def __init__(self, *, initiator: bool, limits: Limits) -> None:
        self.next_own = 1 if initiator else 2
        self._next_theirs = 2 if initiator else 1
        self._own = int(initiator)
        """The last bit of this side's numbers."""
        self._limits = limits
        self._theirs: Mapping[str, int] = {}
        self._count = {"channels": [0, 0], "streams": [0, 0]}
        """Of each that is open: this side's, and the peer's."""

    def begin(self, theirs: Mapping[str, int]) -> None:
        """The peer has told its limits."""
        self._theirs = theirs

    def check_used(self, id: int) -> None:
        """Check that a number has been used.

        Raises:
            WireError: it was never opened.
        """
        if id >= (self.next_own if id & 1 == self._own else self._next_theirs):
            raise WireError(f"a frame on {id}, which was never opened")

    def check_theirs(self, refs: Refs) -> None:
        """Check what a message of the peer opens, and count its numbers as used.

        Raises:
            WireError: a number is not the peer's, or is not higher than all before; or a value is too long.
        """
        for ref in refs:
            if ref is None:
                continue
            if ref.id < self._next_theirs or ref.id & 1 == self._own:
                raise WireError(f"{ref.id} is not the peer's to open: its next number is {self._next_theirs}")
            self._next_theirs = ref.id + 2
        if refs.value is not None and refs.value.length > self._limits.value:
            raise WireError(f"a value of {refs.value.length} bytes: this side takes {self._limits.value} (limit value)")

    def given(self, *, reply: bool, stream: RefKind | None) -> tuple[Refs, int]:
        """Numbers for what a request or reply of this side opens, its value left out; and the number after them."""
        next_own = self.next_own
        replies = given = None
        if reply:
            replies, next_own = Ref(RefKind.CHANNEL, next_own), next_own + 2
        if stream is not None:
            given, next_own = Ref(stream, next_own), next_own + 2
        return Refs(replies, given), next_own

    def check_room(self, refs: Refs) -> None:
        """Check that the peer takes what a message of this side opens.

        Raises:
            Unavailable: as many channels or streams are open as it takes.
        """
        reply, stream, value = refs
        more = {"channels": reply is not None, "streams": (stream is not None) + (value is not None)}
        for name, count in more.items():
            if count and self._count[name][False] + count > self._theirs[name]:
                text = f"as many {name} are open as the peer takes: {self._theirs[name]}"
                raise Unavailable(text, details={UNSENT: True})

    def opened(self, id: int, what: Opened) -> None:
        """Count what has been opened.

        Raises:
            WireError: the peer has more open than this side takes.
        """
        name, theirs = _counted_as(what), id & 1 != self._own
        self._count[name][theirs] += 1
        most: int = getattr(self._limits, name)
        if theirs and self._count[name][True] > most:
            raise WireError(f"over {most} {name} open at once (limit {name})")

    def closed(self, id: int, what: Opened) -> None:
        """Count no more what has been closed."""
        self._count[_counted_as(what)][id & 1 != self._own] -= 1


def _counted_as(what: Opened) -> str:
    return "channels" if type(what) is Channel else "streams"
