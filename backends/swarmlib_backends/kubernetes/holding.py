"""Contexts that outlive the call that opens them, until what they gave is closed: they are held open in a task."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import trio

T = TypeVar("T")


async def held(
    nursery: trio.Nursery, context: AbstractAsyncContextManager[T], closed: trio.Event, after: trio.Event | None = None
) -> T:
    """Enter a context in a task of the nursery, which leaves it when `closed` is set; returns what the context gives.

    after: set when the context has been left.

    Raises:
        Exception: what entering the context raises. An exception of leaving it ends only the task.
    """

    async def hold(*, task_status: trio.TaskStatus[T]) -> None:
        try:
            async with context as value:
                task_status.started(value)
                await closed.wait()
        finally:
            if after is not None:
                after.set()

    return await nursery.start(hold)  # type: ignore[no-any-return]
