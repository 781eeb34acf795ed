"""The cluster's side of exec, attach and port-forward: the handshake, and the channels of one connection.

    answer = handshake(headers, kind="exec", spoken=frozenset({Dialect.V5}))
    …  # write answer.status and answer.headers; go on if there is a dialect
    async with serving(answer.dialect, stream, ["stdin", "stdout", "stderr", "error"]) as served:
        await served.send("stdout", b"hello")
        await served.finish({"status": "Success"})

It speaks every dialect as the real servers do: v5 as KEP-4006 describes it, the others as 1.20 does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
import trio
from wsproto.utilities import generate_accept_token

from ..streams.carrier import Carrier, carrying
from ..streams.channels import COMMAND_CHANNELS, FORWARD_CHANNELS, Channels, Tunnel
from ..streams.events import Data, Ended, Multiplexing, Opened, Reset
from ..streams.negotiate import COMMAND, FORWARD, Dialect
from ..streams.spdy import Spdy


class Answer(NamedTuple):
    """The head of the answer to a request for an upgrade; `dialect` is None if it is refused."""

    status: int
    headers: dict[str, str]
    dialect: Dialect | None


def handshake(headers: Mapping[str, str], *, kind: str, spoken: Collection[Dialect]) -> Answer:
    """Answer a request for an upgrade.

    headers: the request's, their names in lower case. kind: "exec", "attach" or "portforward". spoken: what this
    cluster speaks.
    """
    protocols = FORWARD if kind == "portforward" else COMMAND
    spdy = headers.get("upgrade", "").lower() == "spdy/3.1"
    header = "X-Stream-Protocol-Version" if spdy else "Sec-WebSocket-Protocol"
    for asked in map(str.strip, headers.get(header.lower(), "").split(",")):
        for dialect, protocol in protocols.items():
            if dialect in spoken and protocol == asked and (dialect is Dialect.SPDY) is spdy:
                found = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1" if spdy else "websocket", header: protocol}
                if not spdy:
                    token = generate_accept_token(headers.get("sec-websocket-key", "").encode())
                    found["Sec-WebSocket-Accept"] = token.decode()
                return Answer(101, found, dialect)
    return Answer(403, {}, None)


class Served:
    """The channels of one connection, by their names."""

    def __init__(
        self, carrier: Carrier, numbers: Mapping[str, int], streams: Multiplexing | None, port: int = 0
    ) -> None:
        self._carrier = carrier
        self._numbers = numbers
        self._names = {number: name for name, number in numbers.items()}
        self._streams = streams
        self.port = port
        """The port of a port-forward by SPDY, whose streams name it; else 0."""

    def has(self, name: str) -> bool:
        """Return whether there is a channel of this name."""
        return name in self._numbers

    async def receive(self) -> tuple[str, bytes] | None:
        """Return the next bytes, with their channel; b"" where the client ends one, None at the end of all."""
        match await self._carrier.receive():
            case Data(channel, data):
                return self._names.get(channel, ""), data
            case Ended(channel) | Reset(channel):
                return self._names.get(channel, ""), b""
            case _:
                return None

    async def send(self, name: str, data: bytes) -> None:
        """Send bytes on a channel."""
        await self._carrier.send(self._numbers[name], data)

    async def end(self, name: str) -> None:
        """Send no more on a channel."""
        await self._carrier.end(self._numbers[name])

    async def finish(self, status: Mapping[str, Any]) -> None:
        """Say how a command ended, and end the connection as a kubelet does."""
        await self.send("error", orjson.dumps(status))
        await self.close()

    async def close(self) -> None:
        """End the connection as a kubelet does: it resets the streams that are open."""
        if self._streams:
            await self._carrier.write(b"".join(self._streams.reset(number) for number in self._numbers.values()))
        await self._carrier.close()


@asynccontextmanager
async def serving(
    dialect: Dialect, stream: trio.abc.Stream, names: Sequence[str], *, port: int = 0
) -> AsyncGenerator[Served]:
    """Serve the channels of a connection after its 101; the stream is closed at the end.

    names: the channels that the request asks for; those of a port-forward are "data" and "error". port: that of a
    port-forward by WebSocket v4, which repeats it.
    """
    async with stream:
        if dialect in (Dialect.SPDY, Dialect.TUNNEL):
            framing = Spdy(client=False) if dialect is Dialect.SPDY else Tunnel(client=False)
            async with carrying(stream, framing) as carrier:
                yield Served(carrier, *await _accepted(carrier, framing, names))
            return
        known = FORWARD_CHANNELS if "data" in names else COMMAND_CHANNELS
        numbers = {name: known[name] for name in names}
        channels = Channels(client=False, count=len(known), version=5 if dialect is Dialect.V5 else 4)
        async with carrying(stream, channels) as carrier:
            await carrier.write(_greeting(channels, names, port))
            yield Served(carrier, numbers, None)


async def _accepted(
    carrier: Carrier, framing: Multiplexing, names: Sequence[str]
) -> tuple[dict[str, int], Multiplexing, int]:
    """Accept the streams that a client opens, until there is one of each name, and return the port that they name."""
    numbers: dict[str, int] = {}
    port = 0
    while len(numbers) < len(names):
        event = await carrier.receive()
        if isinstance(event, Opened):
            numbers[event.headers["streamtype"]] = event.channel
            port = int(event.headers.get("port") or 0)
            await carrier.write(framing.accept(event.channel))
        elif event is None:
            break
    return numbers, framing, port


def _greeting(channels: Channels, names: Sequence[str], port: int) -> bytes:
    """Return what a WebSocket begins with: the port on both channels, or an empty message."""
    if "data" in names:
        return b"".join(channels.data(number, port.to_bytes(2, "little")) for number in FORWARD_CHANNELS.values())
    first = next(name for name in ("stdout", "stderr", "error") if name in names)
    return channels.data(COMMAND_CHANNELS[first], b"")
