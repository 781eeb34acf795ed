"""The same API on asyncio: each awaited call runs in a trio loop that has a thread of its own (`portal`).

async with swarmlib.aio.connect("debug | docker") as swarm:
    print(await swarm.ls())

It has the trio API's own types: clients, handles, watches and streams have the same methods, to be awaited in the
asyncio loop that opened the connection; anywhere else they raise RuntimeError. Cancelling the task that awaits cancels
the call in every stage; the task continues once the call has ended. Deadlines are asyncio's (`asyncio.timeout`), or the
calls' own (`timeout=`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, Final, NoReturn, TypeVar, cast

from ..chain import Stages
from . import client, handles
from .limits import current_trio_loop
from .portal import Closed, Context, FileStream, Held, Loop, LoopCall, Work

__all__ = ["FileStream", "connect"]

T = TypeVar("T")

_LIVE: Final = (client.Client, handles.Handle, AbstractAsyncContextManager, AsyncIterator)
"""The types of objects that belong to the trio loop; anything else is data."""
_ENTER: Final = "write `async with aio.connect(…) as swarm`, and likewise for `watch`, `attach` and `follow`"


def connect(*stages: Stages) -> AbstractAsyncContextManager[client.Client]:
    """Open a chain in a thread of its own, and yield a client of it; leaving the context closes every stage.

    Raises: as `swarmlib.connect`.
    """
    return cast("AbstractAsyncContextManager[client.Client]", _Context(None, client.connect(*stages)))


class _Loop(Loop):
    """The trio loop of a connection, which belongs to the asyncio loop that opened the connection."""

    def __init__(self) -> None:
        super().__init__()
        self._opener = _running_loop()

    def check_caller(self) -> None:
        """Raise RuntimeError unless the running asyncio loop is the one that opened the connection."""
        if _running_loop() is not self._opener:
            raise RuntimeError(
                "wrong event loop: this connection was opened in another asyncio loop; "
                "open one in each loop, or share one of swarmlib.sync"
            )


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        where = "on trio, use swarmlib.connect" if current_trio_loop() else "from threads, use swarmlib.sync"
        raise RuntimeError(f"wrong event loop: swarmlib.aio is for asyncio, which does not run here; {where}") from None


class _Bridged:
    """An object of the trio loop, for use from asyncio: its coroutines are awaited in the trio loop."""

    def __init__(self, held: Held[Any] | None, inner: Any) -> None:
        self._held = held
        self._inner = inner
        self._entered: Held[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return _shown(self._held, value)

        @wraps(value)
        def call(*args: Any, **kwargs: Any) -> Any:
            if iscoroutinefunction(value):
                return _awaited(self._held, partial(value, *args, **kwargs))
            return _shown(self._held, value(*args, **kwargs))

        return call

    def __dir__(self) -> list[str]:
        return dir(self._inner)

    def __repr__(self) -> str:
        return f"<{self._inner!r} on asyncio>"

    async def __aenter__(self) -> Any:
        context: Context[Any] = Context(self._held.context if self._held else _Loop(), self._inner)
        self._entered = Held(context, self._held)
        try:
            return _shown(self._entered, await _result(context))
        except BaseException:
            self._join()
            raise

    async def __aexit__(self, *_: object) -> None:
        assert self._entered is not None
        context = self._entered.leave()
        await _end_of(context)
        self._join()
        with suppress(Closed):  # the context that it was opened in has ended
            context.ended.get()

    def _join(self) -> None:
        """Wait until the thread of a connection has ended; its work has ended already."""
        if self._held is None and self._entered is not None:
            self._entered.context.loop.join()

    def __aiter__(self) -> _Bridged:
        return self

    async def __anext__(self) -> Any:
        return await _awaited(self._held, self._inner.__anext__)


class _Context(_Bridged):
    """A context that has to be entered before what is open in it can be used."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and not hasattr(self._inner, name):
            raise RuntimeError(f"can't use {name!r} before the context is entered: {_ENTER}")
        return super().__getattr__(name)

    def __await__(self) -> NoReturn:
        raise RuntimeError(f"this is a context, and can't be awaited: {_ENTER}")


def _shown(held: Held[Any] | None, value: Any) -> Any:
    if not isinstance(value, _LIVE):
        return value
    return (_Context if isinstance(value, AbstractAsyncContextManager) else _Bridged)(held, value)


async def _awaited(held: Held[Any] | None, work: Work[Any]) -> Any:
    assert held is not None
    return _shown(held, await _result(LoopCall(held.context, work)))


async def _result(call: LoopCall[T]) -> T:
    """Launch a call and await its result. Cancelling this cancels the call, and waits until the call has ended."""
    if isinstance(call.loop, _Loop):
        call.loop.check_caller()
    try:
        await _told_by(call.launch)
    except asyncio.CancelledError:
        call.abandon()
        with suppress(asyncio.CancelledError):  # the first cancellation is re-raised below
            await _end_of(call)
        raise
    return call.result.get()


async def _end_of(call: LoopCall[Any]) -> None:
    """Wait until a call has ended, even when cancelled: the stages bound how long that takes."""
    cancelled: asyncio.CancelledError | None = None
    while not call.ended.done:
        try:
            await _told_by(call.when_ended)
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled


async def _told_by(ask: Callable[[Callable[[], object]], None]) -> None:
    """Wait until the listener that is passed to `ask` has been called in the trio loop."""
    loop = _running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def told() -> None:
        with suppress(RuntimeError):  # the asyncio loop is closed, and nobody waits
            loop.call_soon_threadsafe(_wake, waiter)

    ask(told)
    await waiter


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
