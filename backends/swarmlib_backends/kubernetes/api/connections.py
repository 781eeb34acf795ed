"""The connections to an apiserver: any number, made again when certificates change."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import trio

from swarmlib import SwarmError, Unsupported

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

        It serves another call when this one has ended, but not if that was cancelled: if that comes when it has just
        connected, httpcore keeps the connection for ever, and never uses it.

        Raises:
            Invalid: a certificate can't be read.
            Unsupported: the proxy can't be used.
        """
        context, stamp = await self._current(self._access.tls_for(shown))
        transport = self._idle.pop() if self._idle else _transport(self._access, context)
        usable = False
        try:
            yield transport
            usable = True
        except SwarmError:  # an answer, too, or none
            usable = True
            raise
        finally:
            if usable and stamp == self._stamp and len(self._idle) < _MAX_IDLE:
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
