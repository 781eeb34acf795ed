"""Streams that are made for a test."""

from collections.abc import Sequence

import trio


class Given(trio.abc.ReceiveStream):
    """A stream whose reads are given."""

    def __init__(self, reads: Sequence[bytes]) -> None:
        self._reads = iter(reads)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return next(self._reads, b"")

    async def aclose(self) -> None:
        pass
