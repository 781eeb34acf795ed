"""`dockerserver`: a Docker API server at the head of a chain. HTTP requests become messages, by the routing table.

Each connection has one task that reads requests (`connection`). A reply channel writes its response to the connection
itself, in the task of whichever stage replies (`reply`): there is no queue between them. While a call is under way the
connection's task goes on reading, so a client that goes away is seen at once, and the call cancelled in every stage.
"""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Final

import trio

from swarmlib import Invalid, Source, Unavailable, argument, option

from ..dockerapi.sockets import lean
from ..dockerapi.tls import TlsStream
from . import callers
from .connection import Connection
from .crowd import Crowd
from .listen import listening
from .reply import error_response

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
    max_connections: int = option("clients at once, at most; then who has been idle the longest goes", default=10_000)
    group: str = option("let this group use the unix sockets too (mode 0660)", default="")

    if TYPE_CHECKING:

        def __init__(
            self,
            *addresses: str,
            tls: bool = False,
            tlsverify: bool = False,
            tlscacert: str = "~/.docker/ca.pem",
            tlscert: str = "~/.docker/cert.pem",
            tlskey: str = "~/.docker/key.pem",
            insecure: bool = False,
            max_connections: int = 10_000,
            group: str = "",
        ) -> None: ...

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Bind every address, then serve until cancelled."""
        if self.max_connections < 1:
            raise Invalid(f"--max-connections should be 1 or more, not {self.max_connections}")
        self._crowd = Crowd(self.max_connections)
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
        tls = None if self._tls is None or stream.socket.family == socket.AF_UNIX else self._tls
        async with stream:
            with self._crowd.place() as found:
                if not found:
                    await _turn_away(stream, in_words=tls is None)
                elif tls is None:
                    await self._converse(lean(stream), callers.by_socket(stream.socket))
                elif (secured := await _secured(stream, tls)) is not None:
                    async with secured:
                        caller = callers.by_certificate(secured.peer_certificate)
                        await self._converse(secured, caller or callers.by_socket(stream.socket))

    async def _converse(self, stream: trio.abc.HalfCloseableStream, caller: str) -> None:
        await Connection(stream, self.next, self._crowd, caller).serve()


async def _turn_away(stream: trio.SocketStream, *, in_words: bool) -> None:
    full = Unavailable("too many clients are connected, all in the middle of a call; try again later")
    if in_words:
        with suppress(trio.BrokenResourceError):  # it did not wait to be told
            await stream.send_all(error_response(full, keep_alive=False))


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
