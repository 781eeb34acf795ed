"""`dockerserver`: a Docker API server at the head of a chain. HTTP requests become messages, by the routing table.

Each connection has one task that reads requests (`connection`). A reply channel writes its response to the connection
itself, in the task of whichever stage replies (`reply`): there is no queue between them. While a call is under way the
connection's task goes on reading, so a client that goes away is seen at once, and the call cancelled in every stage.
"""

from __future__ import annotations

import logging
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Final

import trio

from swarmlib import Invalid, Source, Unavailable, argument, option

from ..dockerapi.sockets import lean
from ..dockerapi.tls import TlsStream
from .connection import Connection
from .listen import listening

__all__ = ["DockerServer"]

HANDSHAKE_SECONDS: Final = 10.0
"""How long a client may take over a TLS handshake."""
_log = logging.getLogger("swarmlib")


@dataclass
class DockerServer(Source):
    """A Docker API endpoint for the chain that follows it."""

    addresses: list[str] = argument("where to listen: tcp://HOST:PORT, unix:///PATH, or fd:// (socket activation)")
    tls: bool = option("speak TLS on tcp addresses", default=False)
    tlsverify: bool = option("speak TLS, and serve only who has a certificate of the authority", default=False)
    tlscacert: str = option("the authority's certificate", default="~/.docker/ca.pem")
    tlscert: str = option("this server's certificate", default="~/.docker/cert.pem")
    tlskey: str = option("this server's key", default="~/.docker/key.pem")
    insecure: bool = option("listen where other machines reach it, though anyone there gets root here", default=False)
    group: str = option("let this group use the unix sockets too (mode 0660)", default="")

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Bind every address, then serve until cancelled."""
        self._tls = self._tls_context() if self.tls or self.tlsverify else None
        exposed = self.insecure or self.tlsverify
        async with listening(self.addresses, exposed=exposed, group=self.group) as listeners:
            task_status.started()
            await trio.serve_listeners(self._serve, listeners)

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        file = self.tlscert
        try:
            context.load_cert_chain(_user_file(self.tlscert), _user_file(self.tlskey))
            if self.tlsverify:
                file = self.tlscacert
                context.load_verify_locations(_user_file(self.tlscacert))
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as exc:  # ssl.SSLError is one
            raise Invalid(f"the TLS material can't be read ({file}): {exc}") from exc
        return context

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            if self._tls is None or stream.socket.family == socket.AF_UNIX:
                await Connection(lean(stream), self.next).serve()
            elif (secured := await _secured(stream, self._tls)) is not None:
                async with secured:
                    await Connection(secured, self.next).serve()


async def _secured(stream: trio.SocketStream, context: ssl.SSLContext) -> TlsStream | None:
    """The connection with TLS on it; None where the peer speaks none, or has no certificate of ours."""
    with trio.move_on_after(HANDSHAKE_SECONDS):
        try:
            return await TlsStream.handshake(lean(stream), context, server=True)
        except Unavailable as exc:
            _log.info("dockerserver: a client was refused: %s", exc)
    return None


def _user_file(path: str) -> str:
    return str(FilePath(path).expanduser())
