"""The body of an answer that httpx received, as it arrives. Only backends that use httpx import this."""

from __future__ import annotations

import httpx
import trio

from swarmlib import TooLarge


class Body(trio.abc.ReceiveStream):
    """The body of an answer, as it arrives. Closing it early closes the connection.

    sender: names who answers, in errors.
    """

    def __init__(self, response: httpx.Response, sender: str) -> None:
        self._sender = sender
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream = response.stream
        self._pieces = response.stream.__aiter__()
        self._rest = b""
        self._closed = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`."""
        if self._closed:
            raise trio.ClosedResourceError("this body is closed")
        if not self._rest:
            self._rest = await self._next()
        piece, self._rest = self._rest[:max_bytes], self._rest[max_bytes:] if max_bytes else b""
        return piece

    async def _next(self) -> bytes:
        try:
            async for piece in self._pieces:
                if piece:
                    return piece
        except httpx.HTTPError as exc:
            raise trio.BrokenResourceError(f"the connection to {self._sender} broke: {why(exc)}") from exc
        return b""

    async def whole(self, limit: int) -> bytes:
        """Return all of it.

        Raises:
            TooLarge: it has more bytes than `limit`.
            trio.BrokenResourceError: it broke off.
        """
        gathered = bytearray()
        while piece := await self.receive_some():
            gathered += piece
            if len(gathered) > limit:
                raise TooLarge(f"the answer of {self._sender} is longer than {limit} bytes")
        return bytes(gathered)

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        if self._closed:
            return
        self._closed = True
        try:
            with trio.CancelScope() as at_once:
                at_once.cancel()
                # httpx's generators, one in another, only end well by an exception in the innermost one.
                async for _ in self._pieces:
                    pass
        except httpx.HTTPError:
            pass  # it was broken before
        finally:
            with trio.CancelScope(shield=True):  # closing a socket does not block
                await self._stream.aclose()


def why(exc: BaseException) -> str:
    """Return the first message in a chain of causes: httpx's own error often has none."""
    cause: BaseException | None = exc
    while cause is not None and not str(cause):
        cause = cause.__cause__ or cause.__context__
    return str(cause or type(exc).__name__)
