"""Byte streams of data that is in memory."""

from __future__ import annotations

from typing import Final

import trio

_PIECE: Final = 64 * 1024


class BytesStream(trio.abc.ReceiveStream):
    """Some bytes as a stream, to be uploaded: `swarm.file("containers", "web", "archive", upload=BytesStream(tar))`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._closed = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next bytes, 64 KiB by default; b"" at the end.

        Raises:
            trio.ClosedResourceError: the stream is closed.
        """
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")
        piece = self._data[self._at : self._at + (max_bytes or _PIECE)]
        self._at += len(piece)
        return piece

    async def aclose(self) -> None:
        """Close it. Twice is harmless."""
        self._closed = True
        await trio.lowlevel.checkpoint()
