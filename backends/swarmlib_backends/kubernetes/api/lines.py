"""The lines of a stream, bounded."""

from __future__ import annotations

from typing import Final

import trio

from swarmlib import TooLarge

_MAX_EMPTY: Final = 1000
"""The most empty lines in a row."""


class Lines:
    """The lines of a stream, one after another, of up to `limit` bytes each."""

    def __init__(self, stream: trio.abc.ReceiveStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._waiting = bytearray()
        self._searched = 0
        """How many of the bytes that wait have been searched for the end of a line."""
        self._empty = 0

    async def receive(self) -> bytes:
        """Return the next line without its end; b"" at the end of the stream, where a line without an end is dropped.

        Empty lines are left out.

        Raises:
            TooLarge: the line is too long, or too many empty ones come before it.
            trio.BrokenResourceError: the stream broke.
        """
        while True:
            end = self._waiting.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._waiting[:end])
                del self._waiting[: end + 1]
                self._searched = 0
                if line.strip():
                    self._empty = 0
                    return line
                self._note_empty()
                continue
            self._searched = len(self._waiting)
            if self._searched > self._limit:
                raise TooLarge(f"the cluster sent a line of more than {self._limit} bytes")
            if not (piece := await self._stream.receive_some()):
                return b""
            self._waiting += piece

    def _note_empty(self) -> None:
        self._empty += 1
        if self._empty > _MAX_EMPTY:
            raise TooLarge(f"the cluster sent more than {_MAX_EMPTY} empty lines in a row")
