"""A trio loop in a thread of its own, and calls into it from other threads (`sync`) and from asyncio (`aio`).

Everything that is open in the loop is a `Context`: a task that enters an async context manager, waits, and leaves it.
Calls, and contexts inside it, run in a nursery of that task, so whatever ends a context ends everything inside it.

    connect("…")      the loop's own context: its thread ends with it
      ├ ls()            a call
      └ watch()         a context inside it
          └ next()        a call

anyio's BlockingPortal was considered for this. Its calls take longer, it does not wait for a task that is cancelled
through its future, and a stream that arrives in that moment is dropped, not closed.
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

from ..errors import Invalid, SwarmError, TimedOut, Unavailable, sole
from ..reply_channel import CLEANUP_SECONDS

T = TypeVar("T")
Work: TypeAlias = Callable[[], Awaitable[T]]

EXIT_SECONDS: Final = 4 * CLEANUP_SECONDS
"""How long the exit of the interpreter waits for a connection that was left open: several stages close in turn."""

_CHUNK: Final = 65_536


class Closed(Unavailable):
    """The connection, or what was opened in it, was closed or has failed; a failure is the cause of this error."""


class Loop:
    """A thread for one context. It is a daemon, so that it can't keep the interpreter from ending."""

    def __init__(self) -> None:
        self._started: SimpleQueue[trio.lowlevel.TrioToken] = SimpleQueue()
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread = threading.Thread(target=self._run, name="swarmlib", daemon=True)
        self._call: LoopCall[Any]

    @property
    def loop(self) -> Loop:
        """The loop itself, as the place of its one call."""
        return self

    def admit(self, call: LoopCall[Any]) -> None:
        """Start the thread for `call`; it ends with the call, at the latest when the interpreter exits."""
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
        """Whether the thread runs; it doesn't in a process that was forked from its own."""
        return self._thread.is_alive()

    @property
    def is_here(self) -> bool:
        """Whether this code runs in the loop."""
        return threading.current_thread() is self._thread

    def soon(self, function: Callable[..., object], *args: Any) -> bool:
        """Schedule `function` in the loop, after what was scheduled before; return False if the loop has ended."""
        if not self.alive:
            return False
        if self._token is None:
            self._token = self._started.get()
        try:
            self._token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            return False
        return True

    def refuse(self, call: LoopCall[Any]) -> None:
        """Fail the one call, if the loop itself was cancelled."""
        call.ended.fail(CancelledError())

    def join(self) -> None:
        """Wait until the thread has ended."""
        if self.alive:
            self._thread.join()


class Pending(Generic[T]):
    """The future result of something in the loop.

    It is not a `Future`, whose lock would stay locked for ever if a Ctrl-C came between two steps of the standard
    library. This has no lock, as only the loop's thread changes it once it is known there.
    """

    def __init__(self) -> None:
        self.done = False
        self.error: BaseException | None = None
        self._value: Any = None
        self._listeners: list[Callable[[], object]] = []

    def succeed(self, value: T) -> None:
        """Set the value."""
        self._value = value
        self._settle()

    def fail(self, error: BaseException) -> None:
        """Set the error."""
        self.error = error
        self._settle()

    def _settle(self) -> None:
        self.done = True
        for listener in self._listeners:
            listener()

    def listen(self, listener: Callable[[], object]) -> None:
        """Call `listener` in the loop once the result is known, or now if it already is."""
        if self.done:
            listener()
        else:
            self._listeners.append(listener)

    def get(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        value: T = self._value
        return value


class LoopCall(Generic[T]):
    """Work in the loop. Its caller waits for `result`; `ended` is known once all of its work has ended.

    place: where it runs. seconds: how long it may take from its launch on.
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
        """Schedule the call; `listener` is called in the loop once `result` is known."""
        self.result.listen(listener)
        self._place.admit(self)

    def begin(self, nursery: trio.Nursery | None) -> None:
        """Begin the call, in the loop; without a nursery, refuse it."""
        self._begun = True
        if nursery is None:
            self._place.refuse(self)
        else:
            nursery.start_soon(self.run)

    async def run(self) -> None:
        """Do the work, in the loop. Raises nothing: every outcome is reported to the caller."""
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
        late = TimedOut("timed out waiting for the answer")
        self.ended.fail(CancelledError() if self._abandoned else late)

    def abandon(self) -> None:
        """Cancel the call, whose result is no longer wanted. A stream that it still returns is closed.

        Ctrl-C can come between any two steps of the caller, so the call may not even have been launched.
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
            LoopCall[None](self._place, partial(trio.aclose_forcefully, stream)).launch(_nothing)

    def when_ended(self, listener: Callable[[], object]) -> None:
        """Call `listener`, from any thread, once all of the call's work has ended."""
        if not self.loop.soon(self.ended.listen, listener):
            listener()


def _nothing() -> None:
    """Do nothing: the listener of calls that nobody waits for."""


def _without_cancellation(exc: BaseException) -> BaseException | None:
    """Return what is left of `exc` without the cancellation that came from outside."""
    if isinstance(exc, BaseExceptionGroup):
        rest = cast("BaseExceptionGroup[BaseException]", exc).split(trio.Cancelled)[1]
        return None if rest is None else sole(rest)
    return None if isinstance(exc, trio.Cancelled) else exc


class Context(LoopCall[T]):
    """An async context manager that is held open; its `result` is what entering it returned. Calls run inside it."""

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
            self.result.fail(self.ended.error or Closed("the connection ended before it was open"))

    def leave(self) -> None:
        """Begin to close it, with everything inside it; `ended` tells when that is done, and how it went."""
        self.loop.soon(self._leaving.set)

    def admit(self, call: LoopCall[Any]) -> None:
        """Schedule a call inside this context, from any thread."""
        if not self.loop.soon(lambda: call.begin(self._nursery)):
            self.refuse(call)

    def refuse(self, call: LoopCall[Any]) -> None:
        """Fail a call that can't run here, once the context has ended: only then is the reason known."""
        if self.ended.done or self.loop.alive:
            self.ended.listen(lambda: call.ended.fail(_closed_by(self.ended.error)))
        else:
            call.ended.fail(Closed("this connection belongs to the process that forked this one"))


def _closed_by(failure: BaseException | None) -> SwarmError:
    if failure is None:
        return Closed("this connection is closed")
    if isinstance(failure, TimedOut):  # its deadline also applied to the calls inside it
        return TimedOut(failure.message)
    if isinstance(failure, Closed):  # the context around it ended, for the same reason
        return _caused_by(failure.__cause__, Closed(failure.message))
    return _caused_by(failure, Closed(f"this connection has ended: {failure}"))


def _caused_by(cause: BaseException | None, error: Closed) -> Closed:
    error.__cause__ = cause
    return error


class Held(Generic[T]):
    """A user's reference to an open context, which is closed explicitly, or when nothing refers to this any more.

    Nothing in the loop refers to this object, else it would never be collected. It keeps `outer` open as long as it
    lives.
    """

    def __init__(self, context: Context[T], outer: Held[Any] | None = None) -> None:
        self.context = context
        self._outer = outer
        self._forgotten = weakref.finalize(self, _forget, context, outer is None)
        self._forgotten.atexit = False  # the loop closes it then, and waits

    def leave(self) -> Context[T]:
        """Close the context, and return it for its end to be waited for."""
        self._forgotten.detach()
        self.context.leave()
        return self.context


def _forget(context: Context[Any], is_connection: bool) -> None:
    """Close a context that nobody else can close, without waiting: the collector may call this in any thread."""
    if context.ended.done:
        return
    context.leave()
    if is_connection:
        warnings.warn("a connection of swarmlib was not closed", ResourceWarning, stacklevel=2)


class FileStream(trio.abc.ReceiveStream):
    """A binary file that is open for reading, as a stream that the loop reads, in threads."""

    def __init__(self, file: IO[bytes]) -> None:
        """Wrap a file.

        Raises:
            Invalid: the file is open in text mode.
        """
        if isinstance(file, io.TextIOBase):
            raise Invalid(f"{file!r} returns text: expected a file opened in binary mode")
        self._file = file

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Read the next bytes. If cancelled, the read that is under way goes on in its thread."""
        return await trio.to_thread.run_sync(self._file.read, max_bytes or _CHUNK, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """Do nothing: whoever opened the file closes it."""
        await trio.lowlevel.checkpoint()
