"""`dockerserver`: a Docker API server at the head of a chain. HTTP requests become messages, by the routing table.

Each connection has one task that reads requests (`connection`). A reply channel writes its response to the connection
itself, in the task of whichever stage replies (`reply`): there is no queue between them. While a call is under way the
connection's task goes on reading, so a client that goes away is seen at once, and the call cancelled in every stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from swarmlib import Source, argument, option

from ..dockerapi.sockets import lean
from .connection import Connection
from .listen import listening

__all__ = ["DockerServer"]


@dataclass
class DockerServer(Source):
    """A Docker API endpoint for the chain that follows it."""

    addresses: list[str] = argument("where to listen: tcp://HOST:PORT or unix:///PATH")
    insecure: bool = option("listen where other machines reach it, though anyone there gets root here", default=False)
    group: str = option("let this group use the unix sockets too (mode 0660)", default="")

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Bind every address, then serve until cancelled."""
        async with listening(self.addresses, insecure=self.insecure, group=self.group) as listeners:
            task_status.started()
            await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            await Connection(lean(stream), self.next).serve()
