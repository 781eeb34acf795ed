"""The stream of a connection that httpx has upgraded."""

from __future__ import annotations

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx
import trio

from .received import why

_RECEIVE: Final = 64 * 1024


class NetworkStream(trio.abc.Stream):
    """The stream of a connection that was upgraded (101), with trio's errors. peer: names the other end, in errors."""

    def __init__(self, response: httpx.Response, peer: str) -> None:
        self._peer = peer
        self._network: Any = response.extensions["network_stream"]
        self._tls: Any = self._network.get_extra_info("ssl_object")
        self._failure: ssl.SSLError | None = None
        """What is wrong with the bytes behind those that were given."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`."""
        size = max_bytes or _RECEIVE
        if self._failure is not None:
            raise trio.BrokenResourceError(f"the connection to {self._peer} broke: {self._failure}") from self._failure
        with self._errors():
            data: bytes = await self._network.read(size)
        return b"".join((data, *self._decrypted(size - len(data)))) if data and self._tls else data

    def _decrypted(self, size: int) -> Generator[bytes]:
        """Yield what has arrived besides: a read gives one record of TLS, which has 16 KiB at most."""
        try:
            while size > 0 and (data := self._tls.read(size)):
                size -= len(data)
                yield data
        except ssl.SSLWantReadError:
            pass  # no other record is there as a whole
        except ssl.SSLError as exc:
            self._failure = exc  # OpenSSL says it once, and from then on that the connection has ended in order

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
