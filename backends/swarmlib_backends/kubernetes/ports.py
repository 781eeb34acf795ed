"""The published ports of containers: the gateway listens, and each connection is forwarded to the Pod on its own.

A port is on this machine's loopback unless its publication says another address. The gateway that starts a container
chooses its ports and writes them into its record; every other gateway, and itself when it comes again, listens there
while the container runs.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from swarmlib import SwarmError
from swarmlib.supervision import supervised

from .cluster import Cluster
from .container import PodContainer
from .forwards import forward
from .pods.publishing import Binding, PortMap, bindings, written
from .pods.status import State
from .publishers import no_connectivity

_log = logging.getLogger(__name__)
_BACKLOG: Final = 1024


@dataclass
class _Published:
    """The ports at which this gateway listens for a container."""

    sockets: list[tuple[int, trio.socket.SocketType]] = field(default_factory=list[tuple[int, trio.socket.SocketType]])
    """With the ports of the container."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def close(self) -> None:
        """Listen no longer. Connections go on until the Pod ends."""
        self.scope.cancel()  # before the sockets are closed, for which their tasks wait
        for _, each in self.sockets:
            each.close()


class Ports:
    """The published ports of the containers that run."""

    def __init__(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        self._cluster = cluster
        self._nursery = nursery
        self._published: dict[str, _Published] = {}
        """By the ids of the containers."""
        self._starting: set[str] = set()
        cluster.mirror.listeners.append(self._changed)

    @asynccontextmanager
    async def starting(self, container: PodContainer) -> AsyncGenerator[PortMap]:
        """See `Publisher`."""
        wanted = bindings(container.record, "forward")
        self._starting.add(container.id)
        try:
            self._give_up(container)
            yield self._publish(container, wanted)
        except BaseException:
            self._give_up(container)
            raise
        finally:
            self._starting.discard(container.id)
        self._changed(container, None)

    def close(self) -> None:
        """Give up all ports."""
        for each in self._published.values():
            each.close()

    def _changed(self, container: PodContainer, before: State | None) -> None:
        """Listen for a container that runs, and no longer for one that does not."""
        if container.id in self._starting:
            return
        if not container.running or container.removed.is_set():
            self._give_up(container)
        elif container.record.ports and container.record.via == "forward" and container.id not in self._published:
            try:
                self._publish(container, list(written(container.record)))
            except SwarmError as exc:
                _log.warning("kubernetes: the ports of %s are not published here: %s", container.name, exc)

    def _publish(self, container: PodContainer, wanted: list[Binding]) -> PortMap:
        published, ports = _Published(), PortMap()
        try:
            for each in wanted:
                listening = self._listening(container, each)
                published.sockets.append((each.port, trio.socket.from_stdlib_socket(listening)))
                host, port = listening.getsockname()[:2]
                ports.setdefault(each.name, []).append({"HostIp": host, "HostPort": str(port)})
        except BaseException:
            published.close()
            raise
        if published.sockets:
            self._published[container.id] = published
            self._nursery.start_soon(
                supervised, f"kubernetes: the ports of {container.name}", self._serve, container, published
            )
        return ports

    def _listening(self, container: PodContainer, wanted: Binding) -> socket.socket:
        """Return a socket that listens at the first port of a range that is free. Raises `SwarmError`."""
        family = socket.AF_INET6 if ":" in wanted.listening_host else socket.AF_INET
        for port in range(wanted.first, wanted.last + 1):
            try:
                return socket.create_server((wanted.listening_host, port), family=family, backlog=_BACKLOG)
            except OSError as exc:
                if port == wanted.last or exc.errno != errno.EADDRINUSE:
                    raise self._unavailable(container, wanted.listening_host, port, exc) from exc
        raise AssertionError("a range has a port")

    def _unavailable(self, container: PodContainer, host: str, port: int, exc: OSError) -> SwarmError:
        own = (each for published in self._published.values() for _, each in published.sockets)
        if exc.errno == errno.EADDRINUSE and any(each.fileno() >= 0 and each.getsockname()[1] == port for each in own):
            why = f"Bind for {host}:{port} failed: port is already allocated"
        else:
            where = f"tcp6 [{host}]" if ":" in host else f"tcp4 {host}"
            why = f"Error starting userland proxy: listen {where}:{port}: bind: {os.strerror(exc.errno or 0).lower()}"
        return no_connectivity(container, why)

    async def _serve(self, container: PodContainer, published: _Published) -> None:
        with published.scope:
            async with trio.open_nursery() as nursery:
                for port, each in published.sockets:
                    handler = partial(self._connected, container, port)
                    listeners = [trio.SocketListener(each)]
                    serve = partial(trio.serve_listeners, handler, listeners, handler_nursery=self._nursery)
                    nursery.start_soon(serve)

    async def _connected(self, container: PodContainer, port: int, client: trio.SocketStream) -> None:
        name = f"kubernetes: a connection to the port {port} of {container.name}"
        await supervised(name, forward, self._cluster, container, port, client, expected=(SwarmError,))

    def _give_up(self, container: PodContainer) -> None:
        if (published := self._published.pop(container.id, None)) is not None:
            published.close()
