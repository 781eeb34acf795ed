"""A client's stream to a workload over a WebSocket (RFC 6455), as an engine serves it."""

from __future__ import annotations

import codecs

import trio
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed
from wsproto.utilities import generate_accept_token


class WebSocketStdio(trio.abc.HalfCloseableStream):
    """The far end of a client's WebSocket: its frames go in and come out, after the handshake.

    As from an engine, the client's close frame ends its input, and the output goes on; the answering close frame comes
    at the end of the output.

    stdio: the client's stream to the workload, whose output is not framed. It is closed with this one, and a pong
        interrupts a `receive_some` that waits: it must lose nothing by that.
    text: whether the output is sent as text, as clients of API versions before 1.28 expect it.
    """

    def __init__(self, stdio: trio.abc.HalfCloseableStream, *, text: bool) -> None:
        self._stdio = stdio
        self._frames = FrameProtocol(client=False, extensions=[])
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace") if text else None
        self._pong = b""
        """The answer to the last ping, until it is sent. The pings before need none (RFC 6455, 5.5.3)."""
        self._ending: CloseReason | None = None
        """Why the conversation ends; None while it goes on."""
        self._ended = False
        self._waiting = trio.CancelScope()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next frame, whole; b"" after the close frame. Raises what the workload's stream does."""
        while self._ending is None and not self._pong:
            with trio.CancelScope() as self._waiting:
                if data := await self._stdio.receive_some():
                    return self._message(bytes(data))
                self._ending = CloseReason.NORMAL_CLOSURE
        if self._pong:
            pong, self._pong = self._pong, b""
            return pong
        if self._ended:
            return b""
        self._ended = True
        return bytes(self._frames.close(self._ending))

    def _message(self, data: bytes) -> bytes:
        return bytes(self._frames.send_data(data if self._decoder is None else self._decoder.decode(data)))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes of frames. The first that break the protocol end the conversation, and nothing counts after them.

        Raises:
            trio.BrokenResourceError: the workload takes no more input.
        """
        if self._ending is not None:
            return
        self._frames.receive_bytes(bytes(data))
        try:
            for frame in self._frames.received_frames():
                await self._take(frame)
        except ParseFailed as exc:
            self._ending = exc.code
            self._waiting.cancel()
            await self.send_eof()

    async def _take(self, frame: Frame) -> None:
        payload = frame.payload
        if frame.opcode is Opcode.CLOSE:
            await self.send_eof()
        elif frame.opcode is Opcode.PING and isinstance(payload, bytes):
            self._pong = bytes(self._frames.pong(payload))
            self._waiting.cancel()
        elif not frame.opcode.iscontrol() and payload and not isinstance(payload, tuple):
            await self._stdio.send_all(payload.encode() if isinstance(payload, str) else payload)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until `send_all` might not wait."""
        await self._stdio.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """End the client's input: it has sent a close frame, or its side of the connection has ended."""
        await self._stdio.send_eof()

    async def aclose(self) -> None:
        """Leave; the workload goes on."""
        await self._stdio.aclose()


def accepted(key: str, protocol: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of the answer to a handshake, which an engine answers without its usual ones.

    key, protocol: the request's `Sec-WebSocket-Key`, and the one protocol that it offers; "" for none.
    """
    headers = [(b"Sec-WebSocket-Accept", generate_accept_token(key.encode("latin-1")))]
    return [*headers, (b"Sec-WebSocket-Protocol", protocol.encode("latin-1"))] if protocol else headers
