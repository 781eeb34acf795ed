"""A stream that is read a little ahead: what comes in many small pieces is handed on in few large ones.

An apiserver sends each line of a log as a chunk of its own, and each piece that is handed on costs a write to the
client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import trio

from swarmlib.errors import ungrouped

AHEAD: Final = 256 * 1024
"""About the most bytes that are read ahead."""


@asynccontextmanager
async def read_ahead(opened: AbstractAsyncContextManager[trio.abc.ReceiveStream]) -> AsyncGenerator[ReadAhead]:
    """Open a stream, and read ahead in it for the time of the context. Raises what opening it does."""
    with ungrouped():
        async with opened as source, trio.open_nursery() as nursery:
            ahead = ReadAhead(source)
            nursery.start_soon(ahead.read)
            yield ahead
            nursery.cancel_scope.cancel()


class ReadAhead(trio.abc.ReceiveStream):
    """What has been read of a stream."""

    def __init__(self, source: trio.abc.ReceiveStream) -> None:
        self._source = source
        self._waiting = bytearray()
        self._over = False
        self._failure: trio.BrokenResourceError | None = None
        self._came = trio.Event()
        self._taken = trio.Event()

    async def read(self) -> None:
        """Read to the end, while there is room for what comes."""
        try:
            while piece := await self._source.receive_some():
                self._waiting += piece
                self._came.set()
                while len(self._waiting) >= AHEAD:
                    self._taken = trio.Event()
                    await self._taken.wait()
        except trio.BrokenResourceError as exc:
            self._failure = exc
        finally:
            self._over = True
            self._came.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return all that has come; b"" at the end.

        Raises:
            trio.BrokenResourceError: the stream broke, and all that came before that was returned.
        """
        while not (self._waiting or self._over):
            self._came = trio.Event()
            await self._came.wait()
        if not self._waiting and self._failure is not None:
            raise self._failure
        data, self._waiting = bytes(self._waiting), bytearray()
        self._taken.set()
        return data

    async def aclose(self) -> None:
        """Do nothing: the stream ends with its context."""
        await trio.lowlevel.checkpoint()
