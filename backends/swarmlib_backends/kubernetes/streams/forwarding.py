"""Port-forward: connections to the ports of a Pod.

Each has an upgraded connection of its own. Kubernetes could carry several on one, but as its servers keep no windows,
one of them whose reader is slow would hold back the others.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import trio

from swarmlib.errors import ungrouped

from ..api.client import Api
from ..api.resources import PODS
from .carrier import Carrier, carrying
from .channels import FORWARD_CHANNELS, Channels, Tunnel
from .events import Data, Ended, Multiplexing
from .negotiate import FORWARD, Dialect, Dialects
from .spdy import Spdy

MAX_ERROR: Final = 16 * 1024
"""How much is kept of an error that the cluster reports about a connection, in bytes."""

_PORT_BYTES: Final = 2
_REFUSED: Final = "connection refused"
"""What every kubelet's words contain where nothing listens at a port."""


class PortRefused(trio.BrokenResourceError):
    """Nothing listens at the port: nobody has received what was sent."""


class ForwardedStream(trio.abc.HalfCloseableStream):
    """A connection to a port of a Pod. Its errors are trio's, with the cluster's words."""

    def __init__(self, carrier: Carrier, data: int, error: int, *, skip: int = 0, ends: bool = True) -> None:
        self._carrier = carrier
        self._data, self._error = data, error
        self._skip = {data: skip, error: skip}  # bytes to come that repeat the port
        self._ends = ends  # the end of the data is said, and not only that of the connection
        self._text = bytearray()
        self._rest = b""
        self._at_end = False
        self.closed = trio.Event()
        """Set when the connection is to be closed."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`.

        Raises:
            PortRefused: nothing listens at the port.
            trio.BrokenResourceError: the connection broke.
        """
        while not self._rest and not self._at_end:
            match await self._carrier.receive():
                case Data(self._data, data):
                    self._rest = self._unread(self._data, data)
                case Data(_, data):
                    self._text += self._unread(self._error, data)[: MAX_ERROR - len(self._text)]
                case Ended(self._data):
                    self._end()
                case Ended():
                    pass  # no error will come
                case event:  # the connection ended, or the stream was reset
                    if self.closed.is_set():
                        raise trio.ClosedResourceError("this connection was closed")
                    if event is not None or self._ends:
                        raise self._broken()
                    self._end()
        if not max_bytes:
            data, self._rest = self._rest, b""
        else:
            data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    def _unread(self, channel: int, data: bytes) -> bytes:
        skip = self._skip[channel]
        self._skip[channel] = max(0, skip - len(data))
        return data[skip:] if skip else data

    def _end(self) -> None:
        if self._text:
            raise self._broken()
        self._at_end = True

    def _broken(self) -> trio.BrokenResourceError:
        said = self._text.decode("utf-8", "replace")
        if _REFUSED in said.lower():
            return PortRefused(said)
        return trio.BrokenResourceError(said or self._carrier.ended or "the forwarded connection broke")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        await self._carrier.send(self._data, data)

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`. Raises Unsupported if the cluster speaks only WebSocket v4."""
        await self._carrier.end(self._data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`; it returns at once, since the connection below does not tell."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close the connection, in both directions."""
        self.closed.set()
        await trio.lowlevel.checkpoint()


class Forward:
    """The connections to one Pod."""

    def __init__(self, api: Api, path: str, dialects: Dialects, nursery: trio.Nursery) -> None:
        self._api = api
        self._path = path
        self._dialects = dialects
        self._nursery = nursery

    async def connect(self, port: int) -> ForwardedStream:
        """Open a connection to a port. If nothing listens there, the stream says so when it is read.

        Raises:
            SwarmError: the apiserver's error, such as NotFound and Denied; Unavailable if it can't be reached.
        """
        with ungrouped():
            stream: ForwardedStream = await self._nursery.start(self._keep, port)
        return stream

    async def _keep(self, port: int, *, task_status: trio.TaskStatus[ForwardedStream]) -> None:
        async with self._connected(port) as stream:
            task_status.started(stream)
            await stream.closed.wait()

    @asynccontextmanager
    async def _connected(self, port: int) -> AsyncGenerator[ForwardedStream]:
        ports = [("ports", str(port))]
        # Repeatable: at most, a connection on which nothing is sent is opened. Of hundreds, an apiserver drops some.
        upgrading = self._dialects.upgraded(self._api, self._path, (), FORWARD, v4=ports, repeatable=True)
        async with upgrading as (dialect, stream):
            if dialect is Dialect.V4:
                async with carrying(stream, Channels(client=True, count=len(FORWARD_CHANNELS), version=4)) as carrier:
                    yield ForwardedStream(carrier, **FORWARD_CHANNELS, skip=_PORT_BYTES, ends=False)
            else:
                framing = Spdy(client=True) if dialect is Dialect.SPDY else Tunnel(client=True)
                async with carrying(stream, framing) as carrier:
                    yield await _streams(carrier, framing, port)


async def _streams(carrier: Carrier, framing: Multiplexing, port: int) -> ForwardedStream:
    """Open the two streams of a connection: its bytes, and the error, of which only the peer speaks."""
    kinds = ("error", "data")
    headers = ({"streamtype": kind, "port": str(port), "requestid": "0"} for kind in kinds)
    error, data = await carrier.open(framing, *headers)
    await carrier.end(error)
    return ForwardedStream(carrier, data, error)


@asynccontextmanager
async def port_forward(api: Api, namespace: str, pod: str, *, dialects: Dialects) -> AsyncGenerator[Forward]:
    """Give the way to open connections to a Pod's ports; all are closed at the end of the context.

    dialects: what the cluster was found to speak.
    """
    path = PODS.path(namespace, pod, "portforward")
    with ungrouped():
        async with trio.open_nursery() as nursery:
            yield Forward(api, path, dialects, nursery)
            nursery.cancel_scope.cancel()
