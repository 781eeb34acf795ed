"""A Ryuk container on a simulator, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import trio

from swarmlib import Client
from swarmlib.client.multiplexed import lines
from swarmlib_backends.simulator import Clock
from tests.backends.simulator.test_simulator import answer_stream, swarm

IMAGE = "testcontainers/ryuk:0.8.1"
ACK = b"ACK\n"


class Ryuk:
    """The container, on a clock that the test moves."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client = client
        self.clock = clock

    async def ports(self) -> list[dict[str, str]]:
        """Where it is published."""
        return list((await self.client.get("containers", "ryuk"))["NetworkSettings"]["Ports"]["8080/tcp"])

    async def connect(self, host: str = "127.0.0.1") -> trio.SocketStream:
        return await trio.open_tcp_stream(host, int((await self.ports())[0]["HostPort"]))

    async def state(self) -> dict[str, Any]:
        return dict((await self.client.get("containers", "ryuk"))["State"])

    async def until_said(self, text: str, times: int = 1) -> list[str]:
        """Wait for lines of its log with a text; gives all until then, without their times."""
        said: list[str] = []
        stream = await answer_stream(self.client, "ryuk", stdout="1", stderr="1", follow="1")
        async with stream, aclosing(lines(stream, tty=False)) as log:
            async for line in log:
                said.append(line.text.partition(" ")[2].partition(" ")[2])
                if sum(text in each for each in said) == times:
                    return said
        raise AssertionError(f"it has not said {text!r} but {said}")


def body(*env: str, port: str = "", ip: str = "", **host: Any) -> dict[str, Any]:
    """What is created of it; it is published at that address and port of the host, by default at a free one."""
    bindings = {"8080/tcp": [{"HostIp": ip, "HostPort": port}]}
    binds = ["/var/run/docker.sock:/var/run/docker.sock"]
    host = {"PortBindings": bindings, "Binds": binds, **host}
    return {"Image": IMAGE, "Env": list(env), "ExposedPorts": {"8080/tcp": {}}, "HostConfig": host}


@asynccontextmanager
async def ryuk(*env: str, **host: Any) -> AsyncGenerator[Ryuk]:
    """One that has started."""
    clock = Clock()
    async with swarm(image=[IMAGE], clock=clock) as client:
        made = await client.spawn(body(*env, **host), name="ryuk")
        await made.start()
        running = Ryuk(client, clock)
        await running.until_said("Started!")
        yield running


async def ask(stream: trio.abc.Stream, data: bytes) -> bytes:
    """Send bytes, and give the next ones that come; none where the connection was closed."""
    try:
        await stream.send_all(data)
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        return b""
