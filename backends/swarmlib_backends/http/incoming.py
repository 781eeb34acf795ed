"""The HTTP/1.1 requests that arrive on a byte stream."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

import trio

from swarmlib import SwarmError, Unavailable
from swarmlib.pieces import Buffer, Memory, Stretch, move, receive

from .head import Head
from .repeated import RepeatedHeads
from .request_parser import END, RequestParser, raise_error

_Read = TypeVar("_Read")
_HEAD_OR_ERROR: Final = (Head, SwarmError)


class Incoming(RequestParser):
    """The requests that arrive on a stream: call `next_head`, then `stay` (or `converse`), then `next_chunk` until it
    returns b"".
    """

    def __init__(self, stream: trio.abc.ReceiveStream, repeated: RepeatedHeads | None = None) -> None:
        super().__init__()
        self._stream = stream
        self._repeated = repeated
        self.repeatable = b""
        """What was read last, if that is a request, and nothing but its head."""

    def buffered_head(self) -> bool:
        """Return whether `next_head` can return or raise without reading from the stream."""
        events = self.events
        if events and isinstance(events[0], _HEAD_OR_ERROR):  # as nearly always
            return True
        return bool(events) and any(isinstance(event, _HEAD_OR_ERROR) for event in events)

    @property
    def body_here(self) -> bool:
        """Whether the whole body, or an error that ends it, has come from the stream, if not yet by `next_chunk`."""
        return any(event is END or isinstance(event, SwarmError) for event in self.events)

    async def read(self) -> bool:
        """Read once more from the stream; return False at its end.

        Raises:
            Unavailable: the connection broke.
        """
        try:
            data = await self._stream.receive_some()
        except trio.BrokenResourceError as exc:
            raise Unavailable("the connection broke") from exc
        if not data:
            return False
        data = data if isinstance(data, bytes) else bytes(data)
        self.repeatable = b""
        if self._repeated is None or not self.is_between:
            self.feed(data)
        elif (head := self._repeated.find(data)) is not None:
            self.recall(head)
        else:
            self.feed(data)
            self.repeatable = data if self.has_one_head else b""
        return True

    async def next_head(self) -> Head | None:
        """Return the next message's head; None at the stream's end.

        Raises:
            Invalid: what came is not HTTP. TooLarge: the head is too large.
            Unavailable: the connection broke, or ended within the head.
        """
        while True:
            while self.events:
                raise_error(self.events[0])
                if isinstance(event := self.events.popleft(), Head):
                    self.given = event
                    return event
            if not await self.read():
                if self.in_head:
                    raise Unavailable("the connection ended in the middle of a head")
                return None

    async def next_chunk(self) -> bytes:
        """Return the next piece of the body, b"" at its end. Raises as `next_head`; Unavailable if it is cut short."""
        while not self.events:
            if not await self.read():
                return self._cut_short()
        raise_error(self.events[0])
        event = self.events.popleft()
        if event is END:
            return b""
        if not (self.events and type(self.events[0]) is bytes):
            return event  # type: ignore[no-any-return]
        pieces = [event]  # one write for all that one read brought
        while self.events and type(self.events[0]) is bytes:
            pieces.append(self.events.popleft())
        return b"".join(pieces)

    def skip_empty(self) -> bool:
        """Skip a body that is empty, and whose end has come; return whether it is so."""
        if self.events and self.events[0] is END:
            self.events.popleft()
            return True
        return False

    async def next_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """Return the next pieces of the body; see `PieceReceiver.receive_pieces`. Raises as `next_chunk`."""
        while (plain := self.plain) is not None and not self.events:
            data = await _unbroken(receive(self._stream, memory)) or self._cut_short()
            if pieces := self.cut(plain, memoryview(data)):
                return pieces
        piece = await self.next_chunk()
        return [piece] if piece else ()

    async def move(self, stretch: Stretch) -> None:
        """Have the next pieces of the body moved; see `PieceReceiver.move`. Raises as `next_chunk`."""
        if (plain := self.plain) is not None and not self.events:
            stretch.cut = lambda data: (self.cut(plain, data), self.plain is not None and not self.events)
            await _unbroken(move(self._stream, stretch))

    def _cut_short(self) -> bytes:
        if self.is_framed:
            raise Unavailable("the connection ended in the middle of a body")
        return b""


async def _unbroken(reading: Awaitable[_Read]) -> _Read:
    try:
        return await reading
    except trio.BrokenResourceError as exc:
        raise Unavailable("the connection broke") from exc
