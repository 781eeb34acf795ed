"""The connections to an apiserver: any number, made again when certificates change; and the bodies that they carry."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import trio

from swarmlib import TooLarge, Unsupported

from .access import Access
from .credentials import Shown
from .tls import Stamp, Tls

_KEEP_SECONDS: Final = 60.0
"""How long an idle connection may be used again; load balancers in front of apiservers close theirs after some minutes.
"""
_MAX_IDLE: Final = 32
"""The most connections that are kept while nobody uses them."""
_KEEPALIVE: Final = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
]
"""Has the kernel find a peer that is gone: a silent stream (a watch, logs) would wait for it for ever."""


class Connections:
    """The connections for an access, each with a transport of its own: as many as there are calls and streams.

    A transport with all of them looks at each one for each call, and has a maximum, where a thousand watches are held.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._idle: list[httpx.AsyncHTTPTransport] = []
        self._context: ssl.SSLContext | None = None
        self._stamp: Stamp | None = None
        """That of the certificates in the context; None at the end."""

    @asynccontextmanager
    async def transport(self, shown: Shown) -> AsyncGenerator[httpx.AsyncHTTPTransport]:
        """Give a transport for one call, with the certificates as they are now.

        Raises:
            Invalid: a certificate can't be read.
            Unsupported: the proxy can't be used.
        """
        context, stamp = await self._current(self._access.tls_for(shown))
        transport = self._idle.pop() if self._idle else _transport(self._access, context)
        try:
            yield transport
        finally:
            if stamp == self._stamp and len(self._idle) < _MAX_IDLE:
                self._idle.append(transport)
            else:
                await _close([transport])

    async def _current(self, tls: Tls) -> tuple[ssl.SSLContext, Stamp]:
        stamp = tls.stamp()
        if self._context is None or stamp != self._stamp:
            self._context, self._stamp = self._made_of(tls), stamp
            outdated, self._idle = self._idle, []
            await _close(outdated)
        return self._context, stamp

    def _made_of(self, tls: Tls) -> ssl.SSLContext:
        if self._access.server.startswith("https:"):
            return tls.context()
        # For plain HTTP, nothing is read: the system's authorities take long. This context trusts nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def aclose(self) -> None:
        """Close the connections that nobody uses; the others are closed by their users."""
        idle, self._idle, self._stamp = self._idle, [], None
        await _close(idle)


async def _close(transports: list[httpx.AsyncHTTPTransport]) -> None:
    with trio.CancelScope(shield=True):  # closing sockets does not block
        for transport in transports:
            await transport.aclose()


def _transport(access: Access, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    limits = httpx.Limits(max_connections=1, keepalive_expiry=_KEEP_SECONDS)
    try:
        return httpx.AsyncHTTPTransport(
            verify=context, limits=limits, proxy=access.proxy or None, socket_options=_KEEPALIVE
        )
    except ImportError as exc:
        raise Unsupported("a SOCKS proxy requires the package socksio: pip install 'httpx[socks]'") from exc


class Body(trio.abc.ReceiveStream):
    """The body of an answer, as it arrives. Closing it early closes the connection.

    sender: names who answers, in errors.
    """

    def __init__(self, response: httpx.Response, sender: str = "the cluster") -> None:
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
