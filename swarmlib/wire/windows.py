"""How much a peer may send of each stream: windows that grow where the way is long. Imports no trio.

A stream runs at its window's bytes a round trip, at most. So a window holds the stream back if, at the speed at which
bytes were read since the last grant, its half is read within one round trip. It is doubled, until the half lasts for
longer than that (it is then twice to four times what the way holds), or a bound is reached. A reader that is slow keeps
a small window: what it doesn't read, nobody sends.

On a way within a machine or a room, the speed is that of two whole windows; and while messages come beside the stream,
which wait behind what the sender was granted, a part of a large window is withheld. On a long way, a window becomes at
once as much larger as it was too small: four to sixteen times, so it may become eight times what the way holds. If even
sixteen times may be too small, it becomes as large as the largest one of the session so far, from one half of what all
may grow by: the other half is for streams that turn out to need it.

All windows of a session share a fund, from which they grow and into which a stream that ends puts its growth back.
Values share another: one that is longer than a first window is admitted when there is room for the whole of it, in the
order in which they came. So no two can wait for each other, and none for a stream.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, MutableSequence
from typing import Final

from .limits import MIB, Limits
from .references import OutOfBandValue

_SMALL: Final = 512
"""Bytes of a piece that is put together with the one before it."""
_GATHERED: Final = 4096
_SHORT: Final = 0.00025
"""Seconds in which no half of a window should be read, however short the way is: each costs a frame and a CREDIT."""
_NEAR: Final = 0.001
"""Seconds of a round trip up to which"""
_MEASURED: Final = 2
"""so many windows are read before one grows. A receiver that was kept from running finds a whole window waiting, and
reads it faster than the sender sends: that alone does not say that the window is too small. What waits in a window that
is too large is what a call waits behind.
"""
_BESIDE: Final = MIB // 2
"""Bytes of a stream that the sender may have under way, on a near way, while messages come beside it. A stream that has
the way to itself runs faster with four times as many, and nobody waits behind it.
"""
_RECENTLY: Final = 0.1
"""Seconds for which a message that came says that others are likely to follow."""

_GRANT: Final = 4 * MIB
"""Bytes that are read before they are granted again, at most: half of 32 MiB would be granted so late that the sender
might have used up the other half.
"""
_LONG_WAY: Final = 0.02
"""Seconds of a round trip from which a window grows by more than its double: each step takes such a time, and the fewer
they are, the sooner the way is full.
"""
_STEPS: Final = (4, 16)
"""How many times larger a window becomes there, at least and at most, until one has grown further: a burst of half a
first window may take 2 MiB of what all windows share, and no more.
"""


def gather(pieces: MutableSequence[bytes | memoryview], data: bytes | memoryview) -> None:
    """Keep bytes that came. Small pieces are put together: each for itself would take many times its size."""
    if len(data) < _SMALL and pieces and len(pieces[-1]) < _GATHERED:
        pieces[-1] = b"".join((pieces[-1], data))
    else:
        pieces.append(data)


class Incoming:
    """The half of a stream that this side receives."""

    __slots__ = ("allowed", "latest", "pause", "read", "seen", "since", "window", "withheld")

    def __init__(self, window: int, now: float) -> None:
        self.window = window
        self.allowed = window
        """Bytes that the peer may still send."""
        self.read = 0
        """Bytes that were read, and that the peer has not been granted again."""
        self.withheld = 0
        """Bytes of the window that the peer is not to be granted for now."""
        self.seen = 0
        """Bytes that were read and granted again since its speed was last measured,"""
        self.since = now
        """and when that was."""
        self.latest = math.inf
        """When bytes were last read; before the first of them, which wait for no grant, never."""
        self.pause = 0.0
        """Seconds that passed between two reads since then, at most."""


class Windows:
    """The windows of one session.

    measure: called whenever one grows, so that a round trip that was measured at a bad moment does not count for long.
    """

    __slots__ = ("_fund", "_largest", "_limits", "_measure", "_round_trip", "message_came")

    def __init__(self, limits: Limits, measure: Callable[[], None]) -> None:
        self._measure = measure
        self._limits = limits
        self._fund = limits.windows
        self._round_trip = math.inf
        self._largest = limits.window
        """Bytes of the largest window that a stream has needed so far."""
        self.message_came = -math.inf
        """When a message came last."""

    @property
    def grown(self) -> int:
        """Bytes by which its windows have grown, together."""
        return self._limits.windows - self._fund

    def measured(self, round_trip: float) -> None:
        """Take note of how many seconds a round trip took; the shortest counts, for the others had to wait."""
        self._round_trip = min(self._round_trip, round_trip)

    def open(self, now: float) -> Incoming:
        """Open the window of a new stream."""
        return Incoming(self._limits.window, now)

    def read(self, stream: Incoming, count: int, now: float) -> int:
        """Take note that `count` bytes were read; gives how many more the peer is to be granted now, often none."""
        stream.read += count
        stream.pause = max(stream.pause, now - stream.latest)
        stream.latest = now
        if stream.read < min((stream.window - stream.withheld) / 2, _GRANT):
            return 0
        grant = stream.read + stream.withheld + self._growth(stream, now)
        stream.withheld = min(self._withholds(stream, now), grant)
        grant -= stream.withheld
        stream.read = 0
        stream.allowed += grant
        return grant

    def _withholds(self, stream: Incoming, now: float) -> int:
        """Give how many bytes of a window the sender should do without now."""
        beside = self._round_trip <= _NEAR and now - self.message_came < _RECENTLY
        return max(stream.window - _BESIDE, 0) if beside else 0

    def _growth(self, stream: Incoming, now: float) -> int:
        """Give by how many bytes a window grows now, often none, for the speed at which it was read."""
        stream.seen += stream.read
        if self._round_trip <= _NEAR and stream.seen < _MEASURED * stream.window:
            return 0
        lasts = self._taken(stream) * stream.window / (2 * stream.seen)  # half a window, at this speed
        stream.seen, stream.since, stream.pause = 0, now, 0.0
        return self._grow(stream, lasts) if lasts < max(self._round_trip, _SHORT) else 0

    def _taken(self, stream: Incoming) -> float:
        """Give how many seconds it took to read what was read since the speed was last measured. Where the way is long,
        the time for which the sender may have waited for the last grant does not count: it says nothing about the line.
        """
        waited = min(stream.pause, self._round_trip) if self._round_trip > _LONG_WAY else 0.0
        return stream.latest - stream.since - waited

    def _grow(self, stream: Incoming, lasts: float) -> int:
        more = self._wanted(stream.window, lasts) - stream.window
        more = min(more, self._limits.window_max - stream.window, self._fund)
        if more <= 0:
            return 0
        self._fund -= more
        stream.window += more
        self._largest = max(self._largest, stream.window)
        self._measure()
        return more

    def _wanted(self, window: int, lasts: float) -> int:
        """Give how many bytes a window should have whose half lasts so many seconds."""
        if self._round_trip <= _LONG_WAY:
            return 2 * window
        least, most = _STEPS
        if lasts * most > self._round_trip:
            return window * max(least, int(self._round_trip / lasts))
        half = self._limits.windows // 2
        return max(window * most, min(self._largest, window + self._fund - half))

    def close(self, stream: Incoming) -> None:
        """Free what the window of a stream that has ended has grown by, for others."""
        self._fund += stream.window - self._limits.window


class Value:
    """A value that is being received: `length` bytes."""

    __slots__ = ("allowed", "id", "left", "parts", "reserved")

    def __init__(self, id: int, length: int, window: int) -> None:
        self.id = id
        self.left = length
        """Bytes that are still to come."""
        self.parts: list[bytes | memoryview] = []
        self.allowed = min(length, window)
        """Bytes that may come now."""
        self.reserved = 0
        """Bytes that it takes of the fund."""


class Admission:
    """Room for the values of one session that are being received."""

    __slots__ = ("_limits", "_waiting", "used")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.used = 0
        """Bytes that the values of which all is allowed take."""
        self._waiting: deque[Value] = deque()

    def open(self, apart: OutOfBandValue) -> Value:
        """Open a new value; its first window is allowed at once."""
        value = Value(apart.id, apart.length, self._limits.window)
        if value.left > value.allowed:
            self._waiting.append(value)
        return value

    def admit(self) -> list[tuple[int, int]]:
        """Give the numbers of those whose turn it is, each with the bytes that its sender is to be granted."""
        admitted: list[tuple[int, int]] = []
        while (
            self._waiting
            and (more := self._waiting[0].left - self._waiting[0].allowed) <= self._limits.values - self.used
        ):
            value = self._waiting.popleft()
            value.reserved = more
            value.allowed += more
            self.used += more
            admitted.append((value.id, more))
        return admitted

    def close(self, value: Value) -> None:
        """Free the room of a value that has come, or will not, for others."""
        self.used -= value.reserved
        value.reserved = 0
        if value in self._waiting:
            self._waiting.remove(value)
