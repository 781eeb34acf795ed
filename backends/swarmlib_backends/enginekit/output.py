"""What a process wrote: kept for `logs`, and followed live by any number of readers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import trio

MAX_LAG: Final = 1 << 20
"""Bytes that a follower may be behind before the process is held back, as a pipe holds it back."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some output: the stream that it came on (1 or 2), when (seconds since the epoch), and its bytes."""

    stream: int
    at: float
    data: bytes


_RUN_ENDED: Final = 0
"""The stream of the empty piece that stands between two runs."""

Line = Piece
"""A piece that is a whole line, at the time of its end."""


class Lines:
    """Joins pieces to lines: only between those may a time stamp stand, and they are what a tail counts."""

    def __init__(self) -> None:
        self._partial: dict[int, Piece] = {}

    def add(self, piece: Piece) -> list[Line]:
        """Return the lines that end in this piece, with their line ends."""
        if piece.stream == _RUN_ENDED:
            return self.rest()
        before = self._partial.pop(piece.stream, None)
        data = before.data + piece.data if before else piece.data
        *whole, rest = data.split(b"\n")  # nothing else ends a line: a progress bar's \r does not
        if rest:
            self._partial[piece.stream] = Piece(piece.stream, piece.at, rest)
        return [Line(piece.stream, piece.at, line + b"\n") for line in whole]

    def rest(self) -> list[Line]:
        """Return the lines that had no end."""
        rest, self._partial = self._partial, {}
        return list(rest.values())


class Output:
    """The last `limit` bytes of a process's output; what a follower has not read yet is never dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces = deque[Piece]()
        self._first = 0
        self._size = 0
        self._followers: set[Follower] = set()
        self._changed = trio.Event()
        self.written = 0
        self.runs_ended = 0

    def pieces(self) -> list[Piece]:
        """Return all that is kept."""
        return list(self._pieces)

    async def add(self, piece: Piece) -> None:
        """Keep a piece; waits while a follower is too far behind."""
        self._pieces.append(piece)
        self._size += len(piece.data)
        self.written += len(piece.data)
        self._forget_oldest()
        self.wake()
        while any(self.written - follower.read > MAX_LAG for follower in self._followers):
            await self._changed.wait()

    def _forget_oldest(self) -> None:
        unread = min((follower.at for follower in self._followers), default=self._first + len(self._pieces))
        while self._size > self._limit and len(self._pieces) > 1 and self._first < unread:
            self._size -= len(self._pieces.popleft().data)
            self._first += 1

    def end_run(self) -> None:
        """No more will come in this run of the process."""
        self.runs_ended += 1
        self._pieces.append(Piece(_RUN_ENDED, 0, b""))
        self.wake()

    def wake(self) -> None:
        """Have all that wait look again."""
        self._changed.set()
        self._changed = trio.Event()

    def follow(self, *, from_start: bool = False, live: bool = True) -> Follower:
        """Return a reader of all that is kept or of what comes from now on, to the end of this run (or of the next one,
        where none is under way); to what is kept now, if not `live`. Close it.
        """
        at = self._first if from_start else self._first + len(self._pieces)
        since_run = self.runs_ended if live else -1
        follower = Follower(self, at, self.written - (self._size if from_start else 0), since_run)
        self._followers.add(follower)
        return follower

    async def next(self, follower: Follower) -> Piece | None:
        """Return the piece that `follower` is at, or None at the end."""
        while follower.at >= self._first + len(self._pieces):
            if self.runs_ended > follower.since_run:
                return None
            await self._changed.wait()
        piece = self._pieces[follower.at - self._first]
        follower.at += 1
        follower.read += len(piece.data)
        self.wake()
        return piece

    def leave(self, follower: Follower) -> None:
        """Forget a follower, and hold nothing back for it."""
        self._followers.discard(follower)
        self.wake()


@dataclass(eq=False)
class Follower:
    """A reader's place in the output: the number of its next piece, and the bytes before it."""

    output: Output
    at: int
    read: int
    since_run: int

    async def next(self) -> Piece | None:
        """Return the next piece, or None at the end."""
        return await self.output.next(self)

    def end(self) -> None:
        """Give what is there now, and then the end."""
        self.since_run = -1
        self.output.wake()

    def close(self) -> None:
        """Stop following."""
        self.output.leave(self)
