"""What waits to be sent: messages in the order of sending, and streams that take turns. Imports no trio."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from .frames import HEAD, Type
from .limits import KIB

_MESSAGE: Final = int(Type.MESSAGE)

BATCH: Final = 256 * KIB
"""Bytes that are taken for sending at once, about: all messages that wait, then a frame of each stream in turn."""

PIECE: Final = 256 * KIB
"""Bytes of a stream that are sent in one turn, at most: messages and other streams wait for no more."""

QUEUE: Final = 256 * KIB
"""Bytes of one stream that wait here before its writer must wait."""


class Outgoing:
    """The half of a stream that this side sends."""

    __slots__ = ("closing", "ending", "id", "queue", "queued", "turn", "value", "window")

    def __init__(self, id: int, window: int, *, value: bool = False) -> None:
        self.id = id
        self.window = window
        """Bytes that the peer may be sent."""
        self.value = value
        """Whether these are the bytes of a message's value: then their number is known, and no END follows."""
        self.queue: deque[memoryview] = deque()
        self.queued = 0
        self.turn = False
        """Whether it stands in the line of those that take turns."""
        self.ending = False
        """Whether an END follows the last of the queue,"""
        self.closing = False
        """and a RESET that END."""

    @property
    def full(self) -> bool:
        """Whether its writer must wait."""
        return self.queued >= QUEUE

    def cut(self, most: int, into: list[bytes | memoryview]) -> None:
        """Move `most` bytes from the queue into a list; there are so many."""
        self.queued -= most
        queue = self.queue
        while most:
            piece = queue[0]
            if len(piece) > most:
                into.append(piece[:most])
                queue[0] = piece[most:]
                return
            into.append(queue.popleft())
            most -= len(piece)


class Outbox:
    """All that one session has still to send."""

    __slots__ = ("_last", "_pieces", "_turns", "most", "size")

    def __init__(self) -> None:
        self.most = 0
        """Bytes of one frame's payload that the peer takes."""
        self.size = 0
        """Bytes of frames that wait, those of streams not counted."""
        self._pieces: list[bytes | memoryview] = []
        self._turns: deque[Outgoing] = deque()
        self._last = -1

    def __bool__(self) -> bool:
        return bool(self._pieces or self._turns)

    def frame(self, type: Type, channel: int = 0, payload: bytes = b"") -> None:
        """Have a frame sent after those before it."""
        self.put(HEAD.pack(len(payload), type, channel) + payload)

    def put(self, data: bytes) -> None:
        """Have bytes sent after those before them."""
        self._pieces.append(data)
        self.size += len(data)
        self._last = -1

    def message(self, channel: int, payload: bytes) -> None:
        """Have a message sent."""
        self._pieces += (HEAD.pack(len(payload), _MESSAGE, channel), payload)
        self.size += HEAD.size + len(payload)
        self._last = channel

    def end(self, channel: int) -> None:
        """Have an END sent: together with the channel's last message, if nothing was put behind that."""
        if self._last == channel:
            payload = self._pieces[-1]
            self._pieces[-2] = HEAD.pack(len(payload), Type.LAST, channel)
            self._last = -1
        else:
            self.frame(Type.END, channel)

    def write(self, stream: Outgoing, data: bytes) -> None:
        """Have bytes of a stream sent, in turns with the others'."""
        stream.queue.append(memoryview(data))
        stream.queued += len(data)
        self.turn(stream)

    def turn(self, stream: Outgoing) -> None:
        """Stand a stream in the line, if it has something to send and may."""
        if stream.queued and stream.window and not stream.turn:
            stream.turn = True
            self._turns.append(stream)

    def forget(self, stream: Outgoing) -> None:
        """Send nothing more of a stream."""
        stream.queue.clear()
        stream.queued = 0

    def take(self, emptied: Callable[[Outgoing], None]) -> Sequence[bytes | memoryview]:
        """Take what to send next, in pieces. `emptied` is called with each stream that has no more."""
        room = max(BATCH - self.size, PIECE)
        self._pieces = [b"".join(self._pieces)] if self._pieces else self._pieces
        while self._turns and room > 0:
            room -= self._take_turn(self._turns.popleft(), emptied)
        pieces, self._pieces = self._pieces, []
        self.size, self._last = 0, -1
        return pieces

    def _take_turn(self, stream: Outgoing, emptied: Callable[[Outgoing], None]) -> int:
        stream.turn = False
        length = min(self.most, PIECE, stream.window, stream.queued)
        if length:
            stream.window -= length
            self._pieces.append(HEAD.pack(length, Type.DATA, stream.id))
            stream.cut(length, self._pieces)
            self._last = -1
            self.turn(stream)
            if not stream.queued:
                emptied(stream)
        return length
