"""Contexts that are held open: what breaks in one ends nothing else."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from swarmlib_backends.kubernetes.holding import held


@asynccontextmanager
async def breaking(*, at_first: bool) -> AsyncGenerator[str]:
    if at_first:
        raise trio.BrokenResourceError("at first")
    yield "value"
    raise trio.BrokenResourceError("in the end")


async def test_what_entering_raises_is_the_callers() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(trio.BrokenResourceError, match="at first"):
            await held(nursery, breaking(at_first=True), trio.Event())


async def test_what_leaving_raises_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    closed = trio.Event()
    async with trio.open_nursery() as nursery:
        with caplog.at_level(logging.ERROR):
            assert await held(nursery, breaking(at_first=False), closed) == "value"
            closed.set()
            await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks
        await trio.lowlevel.checkpoint()
    assert "a stream of a container failed: BrokenResourceError: in the end" in caplog.text
