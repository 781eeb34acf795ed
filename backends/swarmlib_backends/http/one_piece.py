"""A request's body for httpx, in one piece. Only backends that use httpx import this."""

from __future__ import annotations

from typing import Self

import httpx


class OnePiece(httpx.AsyncByteStream):
    """A body in one piece. httpx's own body is a generator, which a cancelled request leaves unfinished."""

    def __init__(self, data: bytes) -> None:
        self._left = [data]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()
