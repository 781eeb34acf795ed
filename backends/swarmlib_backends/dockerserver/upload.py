"""A request's body as a stream for a stage; the connection learns when the client breaks it off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import trio

from swarmlib import Invalid, TooLarge, Unavailable
from swarmlib.net.listening import ENDS
from swarmlib.pieces import Buffer, Memory, Stretch

from ..dockerapi.bodies import BodyStream
from ..http.incoming import Incoming

_Received = TypeVar("_Received")


class Upload(BodyStream):
    """A request's body. `cut` is called when it ends before it is complete."""

    def __init__(
        self, incoming: Incoming, *, cut: Callable[[], object], before: Callable[[BodyStream], Awaitable[object]] | None
    ) -> None:
        super().__init__(incoming, before=before)
        self._requests = incoming
        self._cut = cut
        self._lock = trio.Lock()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `BodyStream.receive_some`."""
        return await self._read(partial(super().receive_some, max_bytes))

    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """See `PieceReceiver`."""
        return await self._read(partial(super().receive_pieces, memory))

    async def move(self, stretch: Stretch) -> None:
        """See `PieceReceiver`."""
        await self._read(partial(super().move, stretch))

    async def _read(self, receive: Callable[[], Awaitable[_Received]]) -> _Received:
        if self._lock.locked():
            await self._lock.acquire()
        else:
            self._lock.acquire_nowait()  # to acquire it would yield to the other tasks once more for each piece
        try:
            return await receive()
        except ENDS as exc:
            if isinstance(exc.__cause__, Invalid | TooLarge):
                raise  # what arrived is not HTTP, but the client is there to be told so
            self._cut()
            raise trio.BrokenResourceError("the client aborted the upload") from exc
        finally:
            self._lock.release()

    async def read_ahead(self) -> bool:
        """Read what the client has sent into memory, now that no more will come (the kernel's buffers bound its size).

        Return whether the body is complete, or malformed, as its reader will learn; else cut the connection.
        """
        async with self._lock:
            try:
                while not (self.complete or self._requests.body_here):
                    if not await self._requests.read():
                        break
            except Unavailable:
                pass  # it broke: the body will never be whole
        whole = self.complete or self._requests.body_here
        if not whole:
            self._cut()
        return whole
