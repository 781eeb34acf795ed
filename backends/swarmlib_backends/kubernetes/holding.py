"""Contexts that outlive the call that opens them, until what they gave is closed: they are held open in a task."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

import trio

from swarmlib.supervision import supervised

T = TypeVar("T")


async def held(nursery: trio.Nursery, context: AbstractAsyncContextManager[T], closed: trio.Event) -> T:
    """Enter a context in a task of the nursery, which leaves it when `closed` is set; returns what the context gives.

    Raises:
        Exception: what entering the context raises. What it raises later is logged, and ends only the task.
    """

    async def hold(*, task_status: trio.TaskStatus[T]) -> None:
        stack = AsyncExitStack()
        value = await stack.enter_async_context(context)
        task_status.started(value)
        await supervised("kubernetes: a stream of a container", _until, stack, closed)

    return await nursery.start(hold)  # type: ignore[no-any-return]


async def _until(stack: AsyncExitStack, closed: trio.Event) -> None:
    """Wait for an event in contexts that are entered already, and leave them."""
    async with stack:
        await closed.wait()
