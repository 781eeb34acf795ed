"""Descriptions of the workloads of the built-in leaves, for the conformance kit."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import trio

from swarmlib.client.multiplexed import Demultiplexer
from swarmlib.testing import Leaf


async def unframed(stream: trio.abc.ReceiveStream) -> AsyncGenerator[bytes]:
    """The payload of Docker's frames."""
    frames = Demultiplexer()
    async for data in stream:
        for _, piece in frames.feed(bytes(data)):
            yield piece
    frames.end()


def processes(**more: Any) -> Leaf:
    """Workloads in the Engine API's words that programs of this machine or of busybox can be; `more` goes into each."""
    base = {"Image": "busybox", "StopSignal": "SIGKILL", **more}
    return Leaf(
        idle={**base, "Cmd": ["sleep", "1000"]},
        talks={**base, "Cmd": ["sh", "-c", r"printf 'one\n\nthree\n'"]},
        lines=(b"one", b"", b"three"),
        echoes={**base, "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True},
        connect_params={"stream": "1", "stdin": "1", "stdout": "1"},
        unframed=unframed,
    )


def containers() -> Leaf:
    """A real engine's workloads. What echoes is not logged: 100 MiB as lines of JSON take it seconds."""
    host = {"NetworkMode": "none"}
    leaf = processes(HostConfig=host)
    echoes = {**leaf.echoes, "HostConfig": {**host, "LogConfig": {"Type": "none"}}}
    return replace(leaf, echoes=echoes, files=("archive",))
