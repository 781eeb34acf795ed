"""The connections to an apiserver: any number, made again when certificates change; and the bodies that they carry."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
import trio

from swarmlib import TooLarge, Unsupported

from .access import Access
from .credentials import Shown
from .tls import Stamp, Tls

_KEEP_SECONDS: Final = 60.0
"""How long an idle connection is kept; load balancers in front of apiservers close theirs after some minutes."""
_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEP_SECONDS)
"""Each watch, follow of logs and attach has a connection of its own, so that a maximum would block later calls."""
_KEEPALIVE: Final = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
]
"""Has the kernel find a peer that is gone: a silent stream (a watch, logs) would wait for it for ever."""


@dataclass
class _Pool:
    """A transport with its connections, and how many calls use it. One that is outdated is closed by its last user."""

    transport: httpx.AsyncHTTPTransport
    stamp: Stamp
    users: int = 0
    outdated: bool = False


class Connections:
    """The connections for an access. Not safe for use after `aclose`."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._pools: list[_Pool] = []
        """The current one last; before it those that are outdated, and still in use."""

    @asynccontextmanager
    async def transport(self, shown: Shown) -> AsyncGenerator[httpx.AsyncHTTPTransport]:
        """Give the transport for one call, with the certificates as they are now.

        Raises:
            Invalid: a certificate can't be read.
        """
        pool = await self._current(self._access.tls_for(shown))
        pool.users += 1
        try:
            yield pool.transport
        finally:
            pool.users -= 1
            await self._close_outdated()

    async def _current(self, tls: Tls) -> _Pool:
        stamp = tls.stamp()
        if not self._pools or self._pools[-1].stamp != stamp:
            made = _Pool(_transport(self._access, tls.context()), stamp)
            for pool in self._pools:
                pool.outdated = True
            self._pools.append(made)
            await self._close_outdated()
        return self._pools[-1]

    async def _close_outdated(self) -> None:
        unused = [pool for pool in self._pools if pool.outdated and not pool.users]
        for pool in unused:
            self._pools.remove(pool)
        await _close(unused)

    async def aclose(self) -> None:
        """Close all connections."""
        pools, self._pools = self._pools, []
        await _close(pools)


async def _close(pools: list[_Pool]) -> None:
    with trio.CancelScope(shield=True):  # closing sockets does not block
        for pool in pools:
            await pool.transport.aclose()


def _transport(access: Access, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    try:
        return httpx.AsyncHTTPTransport(
            verify=context, limits=_LIMITS, proxy=access.proxy or None, socket_options=_KEEPALIVE
        )
    except ImportError as exc:
        raise Unsupported("a SOCKS proxy requires the package socksio: pip install 'httpx[socks]'") from exc


class Body(trio.abc.ReceiveStream):
    """The body of an answer, as it arrives. Closing it early closes the connection."""

    def __init__(self, response: httpx.Response) -> None:
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
            raise trio.BrokenResourceError(f"the connection to the cluster broke: {why(exc)}") from exc
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
                raise TooLarge(f"the cluster's answer is longer than {limit} bytes")
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
