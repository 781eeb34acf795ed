"""The stream of a connection that httpx has upgraded."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx
import trio

from .received import why


class NetworkStream(trio.abc.Stream):
    """The stream of a connection that was upgraded (101), with trio's errors. peer: names the other end, in errors."""

    def __init__(self, response: httpx.Response, peer: str) -> None:
        self._peer = peer
        self._network: Any = response.extensions["network_stream"]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`."""
        with self._errors():
            data: bytes = await self._network.read(max_bytes or 64 * 1024)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        with self._errors():
            await self._network.write(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`; httpx does not tell, so this returns at once."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        await self._network.aclose()

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except (httpcore.NetworkError, httpcore.TimeoutException) as exc:
            closed = isinstance(exc.__cause__, trio.ClosedResourceError)
            kind = trio.ClosedResourceError if closed else trio.BrokenResourceError
            raise kind(f"the connection to {self._peer} broke: {why(exc)}") from exc
