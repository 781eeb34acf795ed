"""A TCP relay with delay and jitter that can be cut, in place of `tc netem`, which not every kernel has.

    python -m tests.support.relay TARGET-PORT [--delay-ms 50] [--jitter-ms 0] [--window-kib 8192]

prints the port that it listens on, on the loopback.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeAlias

import trio

_CHUNK = 256 * 1024
_Due: TypeAlias = tuple[float, bytes]
"""When bytes are to arrive, and the bytes."""


class _Way:
    """One way through a relay, with room for so many bytes: however small the pieces are in which they come."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting = trio.lowlevel.ParkingLot()

    async def enter(self, count: int) -> None:
        """Take room for bytes, once there is any."""
        while self._room <= 0:
            await self._waiting.park()
        self._room -= count

    def leave(self, count: int) -> None:
        """Free the room of bytes that have arrived."""
        self._room += count
        self._waiting.unpark_all()


class Relay:
    """Passes on what comes to `port` of the loopback to `target` there, and back.

    delay, jitter: seconds that bytes take each way; jitter comes on top of it, and never changes their order.
    window: bytes under way, each way, at most; more are not taken from their sender.
    """

    def __init__(self, target: int, delay: float = 0, jitter: float = 0, window: int = 8 << 20) -> None:
        self.port = 0
        self.target = target
        self.delay = delay
        self.jitter = jitter
        self.window = window
        self.passed = 0
        self._open = trio.Event()
        self._open.set()
        self._links: set[trio.CancelScope] = set()

    def cut(self) -> None:
        """Let nothing through from now on, and tell nobody, as a cable that is pulled out."""
        self._open = trio.Event()

    def mend(self) -> None:
        """Let through again, what waits first."""
        self._open.set()

    def reset(self) -> None:
        """Break every connection."""
        for scope in self._links:
            scope.cancel()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, near: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            self._links.add(scope)
            try:
                await self._open.wait()
                far = await trio.open_tcp_stream("127.0.0.1", self.target)
                async with near, far, trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, near, far, scope)
                    nursery.start_soon(self._carry, far, near, scope)
            except OSError:
                pass  # nobody is at the target
            finally:
                self._links.discard(scope)

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        way = _Way(self.window)
        out, under_way = trio.open_memory_channel[_Due](math.inf)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, way, under_way, sink, scope)
            try:
                while data := await source.receive_some(_CHUNK):
                    await way.enter(len(data))
                    out.send_nowait((trio.current_time() + self.delay + random.random() * self.jitter, bytes(data)))
            except trio.BrokenResourceError:
                scope.cancel()
            await out.aclose()

    async def _deliver(
        self, way: _Way, under_way: trio.MemoryReceiveChannel[_Due], sink: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            async for due, data in under_way:
                await trio.sleep_until(due)
                await self._open.wait()
                await sink.send_all(data)
                way.leave(len(data))
                self.passed += len(data)
            await sink.send_eof()
        except trio.BrokenResourceError:
            scope.cancel()


@asynccontextmanager
async def relay(target: int, delay: float = 0, jitter: float = 0) -> AsyncGenerator[Relay]:
    """A relay that runs as long as the context."""
    made = Relay(target, delay, jitter)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.serve)
        yield made
        nursery.cancel_scope.cancel()


async def _main(made: Relay) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(made.serve)
        print(made.port, flush=True)


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=int)
    parser.add_argument("--delay-ms", type=float, default=50)
    parser.add_argument("--jitter-ms", type=float, default=0)
    parser.add_argument("--window-kib", type=int, default=8192)
    given = parser.parse_args()
    trio.run(_main, Relay(given.target, given.delay_ms / 1e3, given.jitter_ms / 1e3, given.window_kib << 10))


if __name__ == "__main__":
    main()
