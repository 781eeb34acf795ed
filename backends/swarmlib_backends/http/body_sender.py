"""The body of a message that is written, as a stream into which another one is relayed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from swarmlib.pieces import Buffer, Memory, PieceSender, Stretch, send_pieces

from .outgoing import chunked


class BodySender(PieceSender):
    """Sends a body on the stream of a connection. The message's owner ends the body, and closes the stream.

    send: awaits what is sent, and turns the stream's errors into the owner's.
    chunks: whether the body is in chunks; else it ends with the connection.
    """

    def __init__(
        self,
        stream: trio.abc.SendStream,
        send: Callable[[Awaitable[None]], Awaitable[object]],
        *,
        chunks: bool = True,
    ) -> None:
        self._stream = stream
        self._send = send
        self._chunks = chunks
        self.in_stretch = False
        """Whether a thread may be sending."""

    async def send_all(self, data: Buffer) -> None:
        """See `trio.abc.SendStream`."""
        if data:
            await self.send_pieces([data])

    async def send_pieces(self, pieces: Sequence[Buffer]) -> None:
        """See `PieceSender`: all of the pieces make one chunk."""
        await self._send(send_pieces(self._stream, chunked(pieces) if self._chunks else pieces))

    def stretch(self, memory: Memory) -> Stretch | None:
        """See `PieceSender`."""
        found = self._stream.stretch(memory) if isinstance(self._stream, PieceSender) else None
        if found is not None and self._chunks:
            found.frame = chunked
        self.in_stretch = found is not None
        return found

    async def end_stretch(self, stretch: Stretch) -> None:
        """See `PieceSender`."""
        assert isinstance(self._stream, PieceSender)
        await self._send(self._stream.end_stretch(stretch))
        self.in_stretch = False

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._send(self._stream.wait_send_all_might_not_block())

    async def aclose(self) -> None:
        """Do nothing: the stream is its owner's."""
        await trio.lowlevel.checkpoint()
