"""Reading a stream ahead: small pieces become large ones, in bounds, and its end comes after all that it had."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib_backends.kubernetes.read_ahead import AHEAD, read_ahead


class Pieces(trio.abc.ReceiveStream):
    """Gives so many pieces of some bytes, and then ends or breaks."""

    def __init__(self, count: int, size: int, *, breaks: bool = False) -> None:
        self.count, self._size, self._breaks = count, size, breaks

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self.count:
            self.count -= 1
            return b"x" * self._size
        if self._breaks:
            raise trio.BrokenResourceError("cut")
        return b""

    async def aclose(self) -> None:
        pass


@asynccontextmanager
async def opened(pieces: Pieces) -> AsyncGenerator[trio.abc.ReceiveStream]:
    yield pieces


async def test_what_is_at_hand_comes_in_one_piece() -> None:
    async with read_ahead(opened(Pieces(1000, 10))) as stream:
        await wait_all_tasks_blocked()
        assert await stream.receive_some() == b"x" * 10_000
        assert await stream.receive_some() == b""


async def test_no_more_is_read_than_there_is_room_for() -> None:
    source = Pieces(1000, 4096)
    async with read_ahead(opened(source)) as stream:
        await wait_all_tasks_blocked()
        assert source.count == 1000 - AHEAD // 4096
        received = 0
        while piece := await stream.receive_some():
            assert len(piece) <= AHEAD
            received += len(piece)
    assert received == 1000 * 4096


async def test_a_break_is_told_after_all_that_came_before_it() -> None:
    async with read_ahead(opened(Pieces(3, 1, breaks=True))) as stream:
        assert await stream.receive_some() == b"xxx"
        with pytest.raises(trio.BrokenResourceError, match="cut"):
            await stream.receive_some()
