"""The other process of `tests.bench.wire`: a chain behind `listen`, and beside it the same over bare TCP streams.

    python -m tests.bench.far

prints two ports: of `listen`, and of a server that does what each line of a connection asks: `echo REQUEST REPLY`
(bytes of each), `send MIB`, or `lines COUNT` (msgpack).
"""

from __future__ import annotations

from typing import Any

import msgpack
import trio

from swarmlib import Chain, Filter, Json, Request, Verb
from tests.support.engines import free_port

CHUNK = bytes(256 * 1024)
MIB = 1 << 20
LINE = b"one line of a workload's log, as long as such a line often is"


class Zeros(trio.abc.ReceiveStream):
    """So many bytes, up to 256 KiB at a time, as from a socket that is always full."""

    def __init__(self, size: int) -> None:
        self._left = size

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        part = CHUNK[: min(self._left, max_bytes or len(CHUNK))]
        self._left -= len(part)
        return part

    async def aclose(self) -> None:
        """Nothing to close."""


class Far(Filter):
    """Answers in the task that brings the request: what is measured is the wire, not a stage."""

    _answer = Json(b'{"Id":"0123456789abcdef"}')

    async def send(self, request: Request) -> None:
        reply = request.reply
        if request.verb is Verb.GET:
            await reply.ack(self._answer)
            await reply.aclose()
        elif request.verb is Verb.ATTACH:
            await reply.ack()
            for _ in range(int(request.params["lines"])):
                await reply.log(LINE, details={"stream": "stdout"})
            await reply.aclose()
        elif request.verb is Verb.CONNECT:
            await reply.ack(stream=Zeros(int(request.params["mib"]) * MIB))
            await reply.aclose()
        elif request.verb is Verb.WATCH:
            await reply.ack()
            kept.append(reply)


kept: list[Any] = []


async def bare(stream: trio.SocketStream) -> None:
    """Do what each line asks for."""
    async with stream:
        try:
            while line := await _line(stream):
                what, *sizes = line.split()
                numbers = [int(size) for size in sizes]
                await {b"echo": _echo, b"send": _send, b"lines": _lines}[what](stream, *numbers)
        except trio.BrokenResourceError:
            return


async def _line(stream: trio.SocketStream) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (byte := await stream.receive_some(1)):
        line += byte
    return line


async def _echo(stream: trio.SocketStream, request: int, reply: int) -> None:
    answer = bytes(reply)
    while True:
        missing = request
        while missing:
            part = await stream.receive_some(missing)
            if not part:
                return
            missing -= len(part)
        await stream.send_all(answer)


async def _send(stream: trio.SocketStream, mib: int) -> None:
    for _ in range(mib * MIB // len(CHUNK)):
        await stream.send_all(CHUNK)


async def _lines(stream: trio.SocketStream, count: int) -> None:
    packer = msgpack.Packer(autoreset=False)
    for _ in range(count):
        packer.pack(["log", {"stream": "stdout"}, LINE])
        if len(packer.getbuffer()) >= 64 * 1024:
            await stream.send_all(packer.bytes())
            packer.reset()
    await stream.send_all(packer.bytes())


async def main() -> None:
    """Serve until killed."""
    port = free_port()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with Chain(*Chain.read(f"listen tcp://127.0.0.1:{port}").backends, Far()).open():
        print(port, listeners[0].socket.getsockname()[1], flush=True)
        await trio.serve_listeners(bare, listeners)


if __name__ == "__main__":
    trio.run(main)
