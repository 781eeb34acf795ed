"""A process's stdin in memory."""

from __future__ import annotations

from typing import Final

import trio

_PIPE_PIECES: Final = 64


class Pipe(trio.abc.ReceiveStream):
    """A process's stdin: what is written waits here until it is read; a writer waits when it is full."""

    def __init__(self) -> None:
        self._sender, self._receiver = trio.open_memory_channel[bytes](_PIPE_PIECES)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes. Raises `trio.BrokenResourceError` when nobody will read them."""
        try:
            await self._sender.send(bytes(data))
        except trio.ClosedResourceError as exc:
            raise trio.BrokenResourceError("stdin is closed") from exc

    def end(self) -> None:
        """No more will be written."""
        self._sender.close()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next piece, whole; b"" at the end."""
        try:
            return await self._receiver.receive()
        except trio.EndOfChannel:
            return b""

    async def aclose(self) -> None:
        """Read no more: who writes is told."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Do the same as `aclose`."""
        self._receiver.close()
