"""What is open in a session, by its number: which numbers may be used next, how many are in use. Imports no trio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import UNSENT, Unavailable
from .errors import WireError
from .limits import Limits
from .opened import Channel, Opened
from .references import Ref, RefKind, Refs
from .states import State

SERVICE: Final = 0
"""The channel to the peer's service; and, in the other direction, to this side's."""


class Table(dict[int, Opened]):
    """The channels, streams and values that are open on either side, by number; the initiator's numbers are odd.

    next_own: the next number of this side.
    theirs: the limits that the peer has told.
    """

    def __init__(self, *, initiator: bool, limits: Limits) -> None:
        super().__init__()
        self.next_own = 1 if initiator else 2
        self._next_theirs = 2 if initiator else 1
        self._own = int(initiator)
        """The last bit of this side's numbers."""
        self._limits = limits
        self.theirs: Mapping[str, int] = {}
        self._count = {"channels": [0, 0], "streams": [0, 0]}
        """Of each that is open: this side's, and the peer's."""

    def begin(self, theirs: Mapping[str, int], service: Channel) -> None:
        """Take the limits that the peer has told, and open the service. What it lets this side open is kept below this
        side's own limits too, for it is this side that holds what a peer does not read.
        """
        own = {name: getattr(self._limits, name) for name in self._count}
        self.theirs = {name: min(most, own.get(name, most)) for name, most in theirs.items()}
        self[SERVICE] = service

    def find(self, id: int) -> Opened | None:
        """Return what the number of a frame stands for; None if that is closed: then what came is late.

        Raises:
            WireError: it was never opened.
        """
        found = self.get(id)
        if found is None:
            if id >= (self.next_own if id & 1 == self._own else self._next_theirs):
                raise WireError(f"unexpected frame on {id}, which was never opened")
        elif type(found) is Channel and found.state is State.CLOSED:
            return None
        return found

    def check_theirs(self, refs: Refs) -> None:
        """Check what a message of the peer opens, and count its numbers as used.

        Raises:
            WireError: a number is not the peer's, or is not higher than all before; or a value is too long.
        """
        for ref in refs:
            if ref is None:
                continue
            if ref.id < self._next_theirs or ref.id & 1 == self._own:
                raise WireError(f"invalid number {ref.id}: the peer's next number is {self._next_theirs}")
            self._next_theirs = ref.id + 2
        if refs.value is not None and refs.value.length > self._limits.value:
            raise WireError(
                f"the value has {refs.value.length} bytes: the maximum is {self._limits.value} (limit value)"
            )

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
            if count and self._count[name][False] + count > self.theirs[name]:
                text = f"too many {name}: the peer accepts {self.theirs[name]}"
                raise Unavailable(text, details={UNSENT: True})

    def open(self, id: int, what: Opened) -> None:
        """Open a number.

        Raises:
            WireError: the peer has more open than this side takes.
        """
        self[id] = what
        name, theirs = _counted_as(what), id & 1 != self._own
        self._count[name][theirs] += 1
        most: int = getattr(self._limits, name)
        if theirs and self._count[name][True] > most:
            raise WireError(f"more than {most} open {name} (limit {name})")

    def close(self, id: int) -> Opened:
        """Close a number; return what it stood for."""
        what = self.pop(id)
        self._count[_counted_as(what)][id & 1 != self._own] -= 1
        return what


def _counted_as(what: Opened) -> str:
    return "channels" if type(what) is Channel else "streams"
