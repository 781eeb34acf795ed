"""A trio loop in a thread of its own, and calls into it from other threads (`sync`) and from asyncio (`aio`).

What is open in the loop is a `Context`: a task that enters an async context manager, waits, and leaves it. Calls, and
contexts inside it, run in a nursery of that task, so whatever ends a context ends all that goes on in it.

    connect("…")      the loop's own context: its thread ends with it
      ├ ls()            a call
      └ watch()         a context inside it
          └ next()        a call

anyio's BlockingPortal was weighed for this. Its calls take longer, a task that is cancelled by its future is let
go before it has ended, and a stream that comes in that moment is dropped, not closed.
"""

from __future__ import annotations

import atexit
import io
import math
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from contextlib import AbstractAsyncContextManager
from functools import partial
from queue import SimpleQueue
from typing import IO, Any, Final, Generic, TypeAlias, TypeVar, cast

import trio

from .errors import Invalid, SwarmError, TimedOut, Unavailable, sole
from .reply_channel import CLEANUP_SECONDS

T = TypeVar("T")
Work: TypeAlias = Callable[[], Awaitable[T]]

EXIT_SECONDS: Final = 4 * CLEANUP_SECONDS
"""How long the end of the interpreter waits for a connection that was left open: several stages, each in its turn."""

_CHUNK: Final = 65_536


class Closed(Unavailable):
    """The connection, or what was opened in it, has ended: it was closed, or it failed; then that is the cause."""


class Loop:
    """A thread for one context. It is a daemon, so that it can't keep the interpreter from ending."""

    def __init__(self) -> None:
        self._started: SimpleQueue[trio.lowlevel.TrioToken] = SimpleQueue()
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread = threading.Thread(target=self._run, name="swarmlib", daemon=True)
        self._call: Call[Any]

    @property
    def loop(self) -> Loop:
        """Itself, as the place of its one call."""
        return self

    def admit(self, call: Call[Any]) -> None:
        """Start the thread, for `call`, and end it with that. If nothing has before, the interpreter's end ends it."""
        self._call = call
        self._thread.start()

    def _run(self) -> None:
        atexit.register(self._at_exit)
        try:
            trio.run(self._main)
        finally:
            atexit.unregister(self._at_exit)

    async def _main(self) -> None:
        self._started.put(trio.lowlevel.current_trio_token())
        await self._call.run()

    def _at_exit(self) -> None:
        self._call.abandon()
        self._thread.join(EXIT_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether the thread runs; in a process that was forked from the one that has it, it doesn't."""
        return self._thread.is_alive()

    @property
    def is_here(self) -> bool:
        """Whether this code runs in the loop."""
        return threading.current_thread() is self._thread

    def soon(self, function: Callable[..., object], *args: Any) -> bool:
        """Have the loop call `function`, after what it was given before; False where there is no loop any more."""
        if not self.alive:
            return False
        if self._token is None:
            self._token = self._started.get()
        try:
            self._token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            return False
        return True

    def refuse(self, call: Call[Any]) -> None:
        """Answer the one call, should the loop itself have been cancelled."""
        call.ended.fail(CancelledError())

    def join(self) -> None:
        """Wait until the thread is gone."""
        if self.alive:
            self._thread.join()


class Pending(Generic[T]):
    """What will come of something in the loop.

    Not a `Future`: that has a lock, which a Ctrl-C between two steps of the standard library leaves locked for ever.
    This has none, as nothing but the loop's thread changes it once it is known there.
    """

    def __init__(self) -> None:
        self.done = False
        self.error: BaseException | None = None
        self._value: Any = None
        self._listeners: list[Callable[[], object]] = []

    def succeed(self, value: T) -> None:
        """Take the value."""
        self._value = value
        self._settle()

    def fail(self, error: BaseException) -> None:
        """Take the error."""
        self.error = error
        self._settle()

    def _settle(self) -> None:
        self.done = True
        for listener in self._listeners:
            listener()

    def listen(self, listener: Callable[[], object]) -> None:
        """Have `listener` called, in the loop, when it is known, or now if it is."""
        if self.done:
            listener()
        else:
            self._listeners.append(listener)

    def get(self) -> T:
        """The value; raises the error."""
        if self.error is not None:
            raise self.error
        value: T = self._value
        return value


class Call(Generic[T]):
    """Work in the loop: `result` is what its caller waits for, `ended` is when nothing of it goes on any more.

    place: where it runs. seconds: the time that it has from its launch on.
    """

    def __init__(self, place: Loop | Context[Any], work: Work[Any], seconds: float = math.inf) -> None:
        self.ended: Pending[Any] = Pending()
        self.result: Pending[T] = self.ended
        self.loop: Loop = place.loop
        self._place = place
        self._work = work
        self._scope = trio.CancelScope(relative_deadline=max(seconds, 0))
        self._begun = False
        self._abandoned = False

    def launch(self, listener: Callable[[], object]) -> None:
        """Have it begin; `listener` is called, in the loop, when `result` is known."""
        self.result.listen(listener)
        self._place.admit(self)

    def begin(self, nursery: trio.Nursery | None) -> None:
        """Begin, in the loop; without a nursery, answer that it can't."""
        self._begun = True
        if nursery is None:
            self._place.refuse(self)
        else:
            nursery.start_soon(self.run)

    async def run(self) -> None:
        """Do it, in the loop. Raises nothing: whatever happens is the caller's to know."""
        self._begun = True
        try:
            with self._scope:
                self.ended.succeed(await self._work())
                return
        except BaseException as exc:  # noqa: BLE001 - see above
            failure = _without_cancellation(exc)
            if failure is None:
                self._place.refuse(self)
            else:
                self.ended.fail(failure)
            return
        late = TimedOut("no answer within the time that was given")
        self.ended.fail(CancelledError() if self._abandoned else late)

    def abandon(self) -> None:
        """Cancel it: nobody wants its result any more. A stream that it gives nevertheless is closed.

        Ctrl-C comes between any two steps of its caller, so it may not even have been launched.
        """
        if not self.loop.soon(self._cancel):
            self._cancel()

    def _cancel(self) -> None:
        self._abandoned = True
        self.result.listen(self._close_result)
        if self._begun:
            self._scope.cancel()
        elif not self.ended.done:
            self.ended.fail(CancelledError())

    def _close_result(self) -> None:
        if self.result.error is None and isinstance(stream := self.result.get(), trio.abc.AsyncResource):
            Call[None](self._place, partial(trio.aclose_forcefully, stream)).launch(_nothing)

    def when_ended(self, listener: Callable[[], object]) -> None:
        """Have `listener` called, from any thread, when nothing of it goes on any more."""
        if not self.loop.soon(self.ended.listen, listener):
            listener()


def _nothing() -> None:
    """For what nobody waits for."""


def _without_cancellation(exc: BaseException) -> BaseException | None:
    """What is left of `exc` when it is not the cancellation that came from outside."""
    if isinstance(exc, BaseExceptionGroup):
        rest = cast("BaseExceptionGroup[BaseException]", exc).split(trio.Cancelled)[1]
        return None if rest is None else sole(rest)
    return None if isinstance(exc, trio.Cancelled) else exc


class Context(Call[T]):
    """An async context manager that is held open; its `result` is what entering it gave. Calls run inside it."""

    def __init__(
        self, place: Loop | Context[Any], manager: AbstractAsyncContextManager[T], seconds: float = math.inf
    ) -> None:
        super().__init__(place, self._hold, seconds)
        self.result = Pending()
        self.ended.listen(self._not_entered)
        self._manager = manager
        self._leaving = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def _hold(self) -> None:
        async with self._manager as value, trio.open_nursery() as nursery:
            self._nursery = nursery
            self.result.succeed(value)
            try:
                await self._leaving.wait()
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()

    def _not_entered(self) -> None:
        if not self.result.done:
            self.result.fail(self.ended.error or Closed("it ended before it was open"))

    def leave(self) -> None:
        """Have it closed, with all that goes on in it; `ended` tells when that is done, and how it went."""
        self.loop.soon(self._leaving.set)

    def admit(self, call: Call[Any]) -> None:
        """Have a call begin inside this context, from any thread."""
        if not self.loop.soon(lambda: call.begin(self._nursery)):
            self.refuse(call)

    def refuse(self, call: Call[Any]) -> None:
        """Answer a call that can't go on here: when all has ended, as only then it is known why."""
        if self.ended.done or self.loop.alive:
            self.ended.listen(lambda: call.ended.fail(_closed_by(self.ended.error)))
        else:
            call.ended.fail(Closed("this connection belongs to the process that forked this one"))


def _closed_by(failure: BaseException | None) -> SwarmError:
    if failure is None:
        return Closed("this connection is closed")
    if isinstance(failure, TimedOut):  # the deadline around it was that of the calls in it too
        return TimedOut(failure.message)
    if isinstance(failure, Closed):  # this went with what it was in, for the same reason
        return _caused_by(failure.__cause__, Closed(failure.message))
    return _caused_by(failure, Closed(f"this connection has ended: {failure}"))


def _caused_by(cause: BaseException | None, error: Closed) -> Closed:
    error.__cause__ = cause
    return error


class Held(Generic[T]):
    """A user's hold of an open context: closed explicitly, or when the last that refers to it is gone.

    Nothing in the loop refers to this object, else it would never go. `outer` is kept open for as long as this.
    """

    def __init__(self, context: Context[T], outer: Held[Any] | None = None) -> None:
        self.context = context
        self._outer = outer
        self._forgotten = weakref.finalize(self, _forget, context, outer is None)
        self._forgotten.atexit = False  # the loop sees to that, and waits

    def leave(self) -> Context[T]:
        """Close it; gives what to wait for."""
        self._forgotten.detach()
        self.context.leave()
        return self.context


def _forget(context: Context[Any], is_connection: bool) -> None:
    """Close what nobody can close any more; the collector may call this in any thread, so nothing waits."""
    if context.ended.done:
        return
    context.leave()
    if is_connection:
        warnings.warn("a connection of swarmlib was not closed", ResourceWarning, stacklevel=2)


class FileStream(trio.abc.ReceiveStream):
    """A binary file that is open for reading, as a stream that the loop reads, in threads."""

    def __init__(self, file: IO[bytes]) -> None:
        """Take a file.

        Raises:
            Invalid: it gives text.
        """
        if isinstance(file, io.TextIOBase):
            raise Invalid(f"{file!r} gives text; what is sent should be opened in binary mode")
        self._file = file

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes. Cancelled, it leaves the read that is under way to its thread."""
        return await trio.to_thread.run_sync(self._file.read, max_bytes or _CHUNK, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """Nothing to do: the file is closed by who opened it."""
        await trio.lowlevel.checkpoint()
